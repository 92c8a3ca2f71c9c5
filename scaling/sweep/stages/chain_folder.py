"""A chain's folder: the folders of its stages, in order."""

import json
from pathlib import Path
from typing import Any

from scaling.errors import InputError
from scaling.files import write_text
from scaling.sweep.folder.progress import states
from scaling.sweep.folder.sweep_folder import SweepFolder

CHAIN = "chain.json"


def write_chain(folder: Path, name: str, stages: list[str]) -> None:
    """Writes the name of a chain and its stages in order."""
    write_text(folder / CHAIN, json.dumps({"name": name, "stages": stages}))


def stages_of(folder: Path) -> list[str] | None:
    """The names of a chain's stages in order; None for a folder that is none of a chain.

    Raises:
        InputError: the file that says so is damaged.
    """
    file = folder / CHAIN
    if not file.is_file():
        return None
    try:
        return [str(name) for name in json.loads(file.read_bytes())["stages"]]
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{file}: damaged; `scaling run` writes it again") from None


def all_states(folder: Path) -> list[dict[str, Any]]:
    """The state of every run of a sweep's or a chain's folder; see ``states``. Of a chain each also has its ``stage``.

    Raises:
        InputError: it is neither.
    """
    stages = stages_of(folder)
    if stages is None:
        return states(SweepFolder(folder))
    begun = [name for name in stages if (folder / name).is_dir()]
    return [{**row, "stage": name} for name in begun for row in states(SweepFolder(folder / name))]

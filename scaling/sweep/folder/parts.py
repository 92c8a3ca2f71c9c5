"""Folders of several sweeps: the stages of a chain, or the contenders of a comparison, each in a folder of its own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scaling.errors import InputError
from scaling.files import write_text
from scaling.sweep.folder.progress import states
from scaling.sweep.folder.sweep_folder import SweepFolder

PartKind = Literal["stage", "contender"]
# The file that lists the parts of a folder, and its key, by what they are.
_FILES: dict[PartKind, tuple[str, str]] = {
    "stage": ("chain.json", "stages"),
    "contender": ("contenders.json", "contenders"),
}


@dataclass(frozen=True)
class Parts:
    """The sweeps below a folder.

    Attributes:
        kind: what each is.
        names: of their folders, in order.
    """

    kind: PartKind
    names: tuple[str, ...]


def write_parts(folder: Path, name: str, parts: Parts) -> None:
    """Writes what a folder's sweeps are called, under the name of the whole."""
    file, key = _FILES[parts.kind]
    write_text(folder / file, json.dumps({"name": name, key: list(parts.names)}))


def parts_of(folder: Path) -> Parts | None:
    """The sweeps below a folder; None for a folder that is none of several.

    Raises:
        InputError: the file that says so is damaged.
    """
    for kind, (name, key) in _FILES.items():
        file = folder / name
        if file.is_file():
            try:
                return Parts(kind, tuple(map(str, json.loads(file.read_bytes())[key])))
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{file}: damaged; `scaling run` writes it again") from None
    return None


def all_states(folder: Path) -> list[dict[str, Any]]:
    """The state of every run of a folder, of one sweep or several; see ``states``.

    Of several each run also has its ``stage`` or ``contender``.

    Raises:
        InputError: it is no such folder.
    """
    parts = parts_of(folder)
    if parts is None:
        return states(SweepFolder(folder))
    begun: Sequence[str] = [name for name in parts.names if (folder / name).is_dir()]
    return [{**row, parts.kind: name} for name in begun for row in states(SweepFolder(folder / name))]

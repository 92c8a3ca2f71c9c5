"""A build of curated text: the steps of its data file first, and then what they leave."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from scaling.data.curate.curate import curate
from scaling.data.curate.curated import sources_of
from scaling.data.curate.engine.funnel import FUNNEL
from scaling.data.curate.engine.output import DROPPED_TABLE
from scaling.data.curate.engine.tasks import TaskRunner
from scaling.data.curate.running import CurateProgress
from scaling.data.shards import MANIFEST
from scaling.data.spec import BuildSpec
from scaling.errors import InputError


def check_place(out: Path) -> None:
    """Checks that a folder may be built, or is what was built.

    Raises:
        InputError: something else is there.
    """
    if out.exists() and not (out / MANIFEST).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out}: is there already, and is no built data; remove it, or choose another `out`")


def curated_beside(
    spec: BuildSpec,
    out: Path,
    tasks: Callable[[], AbstractContextManager[TaskRunner]],
    report: Callable[[CurateProgress], None],
    on_error: Literal["stop", "skip"],
) -> Path:
    """Curates the sources of a build into a hidden folder beside it; arguments as of :func:`curate`; returns it."""
    folder = out.absolute().with_name(f".{out.absolute().name}.curated")
    curate(spec, folder, tasks, report, on_error=on_error)
    return folder


def without_steps(spec: BuildSpec, folder: Path) -> BuildSpec:
    """The spec of a build from what a curation has left in a folder."""
    return spec.model_copy(update={"sources": tuple(sources_of(folder)), "curate": None})


def warnings_of_steps(folder: Path) -> list[dict[str, str]]:
    """The warnings of a curation."""
    found: list[dict[str, str]] = json.loads((folder / FUNNEL).read_bytes())["warnings"]
    return found


def keep_counts(folder: Path, out: Path) -> None:
    """Copies the counts of a curation and its table of dropped documents to data that was built from it."""
    for name in (DROPPED_TABLE, FUNNEL):
        if (folder / name).is_file() and not (out / name).exists():
            shutil.copyfile(folder / name, out / name)

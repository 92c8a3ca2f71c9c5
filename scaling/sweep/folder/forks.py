"""Forks: copies under ``forks/`` of a sweep folder's plan and results, made before another plan replaces them."""

import os
import shutil
import uuid
from pathlib import Path

from scaling.errors import InputError
from scaling.sweep.folder.file_names import PLAN, RESULTS, SOURCE

FORKS = "forks"
_MOST_SHOWN = 20


def keep(folder: Path) -> Path:
    """Copies a sweep's plan, file and results to ``forks/1``, or the next free number, atomically.

    Until another plan takes the place of the one that was copied, the fork can be taken back.
    """
    forks = folder / FORKS
    number = max(_numbers(forks), default=0) + 1
    temporary = forks / f".{uuid.uuid4().hex[:12]}"
    temporary.mkdir(parents=True)
    for name in (PLAN, SOURCE, *RESULTS):
        if (folder / name).is_file():
            shutil.copy2(folder / name, temporary / name)
    return temporary.rename(forks / str(number))


def discard_results(folder: Path) -> None:
    """Removes the results that were made from the runs of another plan."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)


def take_back(folder: Path) -> None:
    """Undoes an interrupted fork, whose copied plan is still the folder's: its results return."""
    forks = folder / FORKS
    if not forks.is_dir() or not (folder / PLAN).is_file():
        return
    for left in forks.glob(".*"):
        shutil.rmtree(left, ignore_errors=True)
    last = forks / str(max(_numbers(forks), default=0))
    if not (last / PLAN).is_file() or (last / PLAN).read_bytes() != (folder / PLAN).read_bytes():
        return
    for file in last.iterdir():
        temporary = folder / f".{file.name}.{uuid.uuid4().hex[:12]}"
        shutil.copy2(file, temporary)
        temporary.replace(folder / file.name)
    shutil.rmtree(last.rename(forks / f".{last.name}"))


def _numbers(forks: Path) -> list[int]:
    return [int(path.name) for path in forks.iterdir() if path.name.isdecimal()] if forks.is_dir() else []


def refuse_links(folder: Path) -> None:
    """Raises InputError if a link in a sweep's folder leads out of it, as files written there would be lost.

    The folder itself may be a link.
    """
    root = folder.resolve()
    outside = []
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                outside.append(path)
    if outside:
        raise InputError(f"{path}: a link that leads out of the sweep's folder" for path in outside[:_MOST_SHOWN])

"""The list of a run's checkpoints: ``checkpoints.jsonl`` beside ``checkpoints/``, lest it goes with them."""

import shutil
from pathlib import Path

from scaling.files import append_row, read_rows


def record_step(folder: Path, step: int) -> None:
    """Adds a step whose checkpoint was written into a folder."""
    append_row(_list(folder), {"step": step})


def last_step(folder: Path) -> int | None:
    """The step of the last checkpoint that was written into a folder, whether it is still there or not."""
    steps = [row["step"] for row in read_rows(_list(folder)) if isinstance(row.get("step"), int)]
    return steps[-1] if steps else None


def any_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint in a folder, or has been."""
    return folder.exists() or _list(folder).exists()


def forget(folder: Path) -> None:
    """Removes all checkpoints of a folder, and the list of them."""
    shutil.rmtree(folder, ignore_errors=True)
    _list(folder).unlink(missing_ok=True)


def _list(folder: Path) -> Path:
    return folder.with_suffix(".jsonl")

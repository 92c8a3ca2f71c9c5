"""The list of a run's checkpoints: ``checkpoints.jsonl`` next to ``checkpoints/``, so that it outlives them."""

import shutil
from pathlib import Path

from scaling.files import append_row, read_rows


def record_step(folder: Path, step: int) -> None:
    """Appends the step of a written checkpoint to the list."""
    append_row(_list(folder), {"step": step})


def last_step(folder: Path) -> int | None:
    """The step of the last checkpoint ever written into a folder."""
    steps = [row["step"] for row in read_rows(_list(folder)) if isinstance(row.get("step"), int)]
    return steps[-1] if steps else None


def any_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint was ever written into a folder."""
    return folder.exists() or _list(folder).exists()


def forget(folder: Path) -> None:
    """Removes all checkpoints of a folder and their list."""
    shutil.rmtree(folder, ignore_errors=True)
    _list(folder).unlink(missing_ok=True)


def _list(folder: Path) -> Path:
    return folder.with_suffix(".jsonl")

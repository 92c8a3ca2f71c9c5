"""The file that marks a folder as the mirror of one in shared storage."""

from pathlib import Path

ORIGIN = ".shared.json"


def is_mirror(folder: Path) -> bool:
    """Whether a folder is the mirror of one in shared storage."""
    return (folder / ORIGIN).exists()

"""By what a folder is known as the mirror of one in shared storage."""

from pathlib import Path

ORIGIN = ".shared.json"


def root_of(lock: Path) -> Path | None:
    """The mirror that a lock is in, the sweep's own or a run's; None if there is none."""
    for root in (lock.parent, lock.parents[2] if len(lock.parents) > 2 else lock.parent):
        if (root / ORIGIN).exists():
            return root
    return None

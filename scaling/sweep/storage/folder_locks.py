"""The locks of a sweep's folder, chosen when it is opened."""

from pathlib import Path

from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.locks.locks import Locks
from scaling.sweep.storage.origin import is_mirror


def locks_of(folder: Path) -> Locks:
    """The locks of a folder: those of this machine's disk, or of a mirror."""
    if not is_mirror(folder):
        return LocalLocks()
    from scaling.sweep.storage.mirror import mirror_at  # loads fsspec

    return mirror_at(folder)

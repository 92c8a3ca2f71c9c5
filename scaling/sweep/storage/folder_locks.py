"""The locks of a sweep's folder, chosen when it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.locks.locks import Locks
from scaling.sweep.storage.origin import is_mirror


@dataclass(frozen=True)
class MirrorLocks:
    """``Locks`` of a mirror; the storage behind it is opened, and fsspec imported, when a lock is taken or tested.

    Attributes:
        folder: the mirror.
    """

    folder: Path

    @contextmanager
    def locked(self, path: Path) -> Iterator[bool]:
        """Holds a lock; yields False at once if another process has it."""
        from scaling.sweep.storage.mirror import mirror_at

        with mirror_at(self.folder).locked(path) as mine:
            yield mine

    def free(self, path: Path) -> bool:
        """Whether no process holds a lock."""
        from scaling.sweep.storage.mirror import mirror_at

        return mirror_at(self.folder).free(path)


def locks_of(folder: Path) -> Locks:
    """The locks of a folder: those of this machine's disk, or of a mirror."""
    return MirrorLocks(folder) if is_mirror(folder) else LocalLocks()

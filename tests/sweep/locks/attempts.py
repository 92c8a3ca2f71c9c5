"""Attempts of this process at a lock."""

from pathlib import Path

from scaling.sweep.locks.local import LocalLocks

LOCKS = LocalLocks()


def mine(path: Path) -> bool:
    """Whether this process can take the lock now; it is given back at once."""
    with LOCKS.locked(path) as got:
        return got

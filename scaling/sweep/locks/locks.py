"""Locks of a folder: at most one process holds each."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from scaling.train.stop import Stopped, stop_requested

_WAIT_S = 0.2


@runtime_checkable
class Locks(Protocol):
    """The locks of a folder, of one kind for as long as it is open; a lock's name is its path."""

    def locked(self, path: Path) -> AbstractContextManager[bool]:
        """A context that holds a lock, which ends with its holder; yields False at once if another has it."""

    def free(self, path: Path) -> bool:
        """Whether no process holds a lock; makes no file."""


@contextmanager
def waited_for(locks: Locks, path: Path) -> Iterator[None]:
    """A context that waits for a lock and holds it.

    Raises:
        Stopped: this process was requested to stop before it had the lock.
    """
    while True:
        with locks.locked(path) as mine:
            if mine:
                yield
                return
        if stop_requested():
            raise Stopped
        time.sleep(_WAIT_S)

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
    """How the locks of a folder are taken; chosen once, when the folder is opened. A lock is known by its path."""

    def locked(self, path: Path) -> AbstractContextManager[bool]:
        """Holds a lock, which ends with its holder; yields False at once if another process has it."""

    def free(self, path: Path) -> bool:
        """Whether nobody has a lock; leaves nothing behind."""


@contextmanager
def waited_for(locks: Locks, path: Path) -> Iterator[None]:
    """Holds a lock as soon as nobody else has it.

    Raises:
        Stopped: this process was asked to stop, and has not got it.
    """
    while True:
        with locks.locked(path) as mine:
            if mine:
                yield
                return
        if stop_requested():
            raise Stopped
        time.sleep(_WAIT_S)

"""A folder that one process at a time works in."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaling.errors import InputError


@contextmanager
def locked(path: Path, why: str) -> Iterator[None]:
    """Holds a lock file while the context lasts; a process that dies lets it go.

    Raises:
        InputError: another process holds it: ``why``.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{path.parent}: {why}") from None
        yield

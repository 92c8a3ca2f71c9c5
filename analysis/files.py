"""Files that are whole or not there, whatever happens while they are written."""

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    replace(path, lambda temporary: synced(temporary, content))


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Lets a function write a file beside a path, which takes the path's name once it is whole."""
    with beside(path) as temporary:
        write(temporary)
        os.replace(temporary, path)


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name for a temporary file in a path's folder; what has it is gone afterwards, unless it was renamed."""
    # Not the process's number: on a shared disk another host may have the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def synced(path: Path, content: bytes) -> None:
    """Writes a new file and waits until the disk has it."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def save_text(path: Path, text: str) -> None:
    """Writes a text that a user asked for, and the folders it lies in: see :func:`save_bytes`."""
    save_bytes(path, text.encode(), folders=True)


def save_bytes(path: Path, content: bytes, folders: bool = False) -> None:
    """Writes a file that a user asked for whole or not at all, and the folders it lies in if ``folders``.

    Raises:
        InputError: it cannot be written there.
    """
    try:
        if folders:
            path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None


@contextmanager
def readable(path: Path | str, what: str) -> Iterator[None]:
    """Turns any failure to read a file's content into one line: ``PATH: not a readable WHAT (reason)``.

    Raises:
        InputError: in place of whatever was raised within; an ``InputError`` passes as it is.
    """
    try:
        yield
    except InputError:
        raise
    # What a library raises for content that it cannot read, pyarrow and json among them.
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        MemoryError,
        NotImplementedError,
    ) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable {what} ({reason[:200]})") from None


def check_figure(parameter: str, path: str | Path) -> None:
    """Checks the kind of a figure's file by its suffix, which can be done before any work.

    Raises:
        InputError: naming the parameter, for anything but a .png, .svg or .pdf.
    """
    if Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"`{parameter}` {path}: write .png, .svg or .pdf")

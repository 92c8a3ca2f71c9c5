"""Streams of bytes, decompressed where their first bytes say so; and the documents that a reader refuses."""

import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.errors import InputError

LONGEST = 2**26
"""Bytes that a document of a table has at most; more is a file of another kind."""
DAMAGED = (OSError, EOFError, lzma.LZMAError)
"""What reading a damaged or unreadable stream raises."""

_NAME = 40
_KINDS = {
    "int": "a number",
    "float": "a number",
    "Decimal": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list",
    "dict": "an object",
    "NoneType": "null",
}
_MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")


@dataclass(frozen=True)
class Refused:
    """A document that is none.

    Attributes:
        line: why, with its place.
        rest: the rest of its file cannot be read; else the documents behind it are.
    """

    line: str
    rest: bool = False


def compression_of(path: Path) -> str | None:
    """How a file is compressed, by its first bytes; None if it is not."""
    with path.open("rb") as stream:
        head = stream.read(10)
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if head[:3] == b"BZh" and head[4:10] in _BZ2_BLOCKS:
        return "bz2"
    # A frame that readers of zstd skip, as parallel compressors write first.
    return "zstd" if head[1:4] == b"\x2a\x4d\x18" and head[0] >> 4 == 5 else None


def open_stream(path: Path) -> Any:
    """A stream of a file's bytes, decompressed if it is compressed, whatever its suffix."""
    return open_compressed(path, compression_of(path))


def open_compressed(path: Path, compression: str | None) -> Any:
    """As :func:`open_stream`, of a file whose compression is known."""
    if compression is None:
        return path.open("rb")
    if compression == "xz":
        return lzma.open(path)
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression=compression))


def listed(names: Sequence[str]) -> str:
    """The first names of columns or keys, each cut to what a line holds."""
    return ", ".join(name if len(name) <= _NAME else f"{name[:_NAME]}..." for name in names[:10]) or "none"


def kind_of(value: object) -> str:
    """What a value of a table or of JSON is, with its article."""
    name = type(value).__name__
    return _KINDS.get(name, f"a {name}")


def text_violation(text: bytes, offset: int = 0) -> str | None:
    """Why bytes are no UTF-8 text without NUL, with the first wrong byte, counted from ``offset``; None if they are."""
    if b"\0" in text:
        return f"not text: it has a NUL byte at offset {offset + text.index(0)}"
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 text: byte {text[error.start]:#04x} at offset {offset + error.start}"
    return None


def checked(text: bytes, where: str, offset: int = 0) -> bytes:
    """Checks that a text is UTF-8 without NUL, and returns it.

    Raises:
        InputError: it is not; names ``where`` and the first wrong byte, counted from ``offset``.
    """
    violation = text_violation(text, offset)
    if violation is not None:
        raise InputError(f"{where}: {violation}")
    return text


def encoded(text: object, key: str) -> bytes:
    """A value of a table as UTF-8, null as an empty text.

    Raises:
        ValueError: it is no text, or too long.
    """
    if text is None:
        return b""
    if isinstance(text, bytes):  # as Parquet holds text whose writer did not say that it is UTF-8
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"'{key}' has bytes that are not UTF-8, at offset {error.start}") from None
    if not isinstance(text, str):
        raise ValueError(f"'{key}' is no text but {kind_of(text)}")
    if "\0" in text:
        raise ValueError(f"'{key}' has a NUL character, which text has not")
    try:
        content = text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{key}' has half a surrogate pair, which is no character") from None
    if len(content) > LONGEST:
        raise ValueError(f"a document longer than {LONGEST >> 20} MiB")
    return content

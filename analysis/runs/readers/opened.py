"""A table's file by its content: what format it holds, and whether it is compressed."""

import codecs
import zipfile
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from analysis.errors import InputError

_HEAD = 2**18
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\x04\x22\x4d\x18": "lz4"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Opened:
    """A file whose content is known.

    Attributes:
        path: the file.
        kind: ``csv``, ``jsonl``, ``json``, ``parquet`` or ``excel``.
        compression: as pyarrow calls it, or None.
        head: the first bytes of what is compressed.
    """

    path: Path
    kind: str
    compression: str | None
    head: bytes

    @classmethod
    def of(cls, path: Path) -> "Opened":
        """Looks at a file.

        Raises:
            InputError: if it is no table.
        """
        with path.open("rb") as file:
            start = file.read(8)
        compression = next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)
        with _stream(path, compression) as stream:
            head = stream.read(_HEAD)
        return cls(path, _kind(path, head), compression, head)

    @property
    def encoding(self) -> str:
        """Of its text: what is not UTF-8 is as Excel writes it."""
        return _encoding(self.head)

    def open(self) -> BufferedReader:
        """Its bytes, without compression."""
        return _stream(self.path, self.compression)

    @property
    def text(self) -> str:
        """The text of its head, without what marks the encoding."""
        return _text(self.head)


def _stream(path: Path, compression: str | None) -> BufferedReader:
    if compression is None:
        return path.open("rb")
    import pyarrow as pa

    return BufferedReader(pa.input_stream(str(path), compression=compression))


def _kind(path: Path, head: bytes) -> str:
    """What a file holds, whatever its suffix says.

    Raises:
        InputError: if it is no table.
    """
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK") and _is_workbook(path):
        return "excel"
    if head.startswith(b"SQLite format 3\0"):
        raise InputError(f"{path}: is a database; `scaling import-runs` reads those of MLflow")
    if not head.startswith(_UTF16) and b"\0" in head[: 2**16]:
        raise InputError(f"{path}: is no table: neither text (CSV, JSON lines) nor Parquet nor Excel")
    text = _text(head).lstrip()
    return "json" if text.startswith("[") else "jsonl" if text.startswith("{") else "csv"


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith("xl/") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _text(head: bytes) -> str:
    return head.decode(_encoding(head), errors="replace").removeprefix("\ufeff")


def _encoding(head: bytes) -> str:
    if head.startswith(_UTF16):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the head may end within a sign
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"

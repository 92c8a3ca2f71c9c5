"""Records of a web archive (WARC), each with where it begins: in a plain file, or in one compressed by record."""

import io
import re
import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any

from scaling.data.formats.streams import DAMAGED, compression_of, open_compressed

BROKEN = (*DAMAGED, zlib.error)
"""What reading a damaged archive raises."""
_LINE = 2**16
_CHUNK = 2**20
_VERSION = re.compile(rb"WARC/\d\.\d+\s*")
_BEGINS = re.compile(rb"(?<=\n)WARC/\d\.\d+\r?\n")
_MEMBER = re.compile(rb"\x1f\x8b\x08")


class Record:
    """A record whose content is read once, in order.

    Attributes:
        offset: of its first byte in the file; of a file compressed as a whole, within what is decompressed.
        kind: ``response``, ``conversion``, ...
        type: of its content.
        left: bytes of its content that are not read yet.
    """

    def __init__(self, offset: int, headers: dict[str, str], stream: Any) -> None:
        self.offset, self._stream = offset, stream
        self.kind, self.type = headers.get("warc-type", "").lower(), headers.get("content-type", "")
        size = headers.get("content-length", "")
        if not (size.isascii() and size.isdecimal()):
            raise OSError("a record without Content-Length")
        self.left = int(size)

    def read_line(self) -> bytes:
        """The next line of the content, or as much of it as a line may have."""
        line: bytes = self._stream.readline(min(self.left, _LINE))
        self.left -= len(line)
        return line

    def read(self) -> bytes:
        """The rest of the content.

        Raises:
            EOFError: the file ends before.
        """
        content: bytes = self._stream.read(self.left)
        self.left -= len(content)
        self.skip()
        return content

    def skip(self) -> None:
        """Passes over the rest of the content; as :meth:`read`."""
        while self.left:
            part = self._stream.read(min(self.left, _CHUNK))
            if not part:
                raise EOFError(f"the record is cut off, {self.left} bytes before its end")
            self.left -= len(part)


class Archive:
    """The records of an archive from a byte on.

    Args:
        path: of the file.
        begin: where a record begins; 0 where a file is compressed by another program than gzip.
    """

    def __init__(self, path: Path, begin: int = 0) -> None:
        self._path, self._compression = path, compression_of(path)
        self._file = path.open("rb")
        self._members = _Members(self._file, begin) if self._compression == "gzip" else None
        if self._compression is None:
            self._file.seek(begin)
            self._stream: Any = self._file
        else:
            unpacked = self._members or _Unpacked(open_compressed(path, self._compression))
            self._stream = io.BufferedReader(unpacked, _LINE)
        self._position = begin
        self._record: Record | None = None

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        self._file.close()

    @property
    def offset(self) -> int:
        """Where the record that is read begins, or what is there instead of one."""
        return self._record.offset if self._record is not None else self._here()

    def _here(self) -> int:
        return self._position if self._members is None else self._members.origin(self._position)

    def next_record(self) -> Record | None:
        """The next record, behind the rest of the one before; None at the end.

        Raises:
            OSError, EOFError, zlib.error, lzma.LZMAError: there is something else, or it is damaged.
        """
        if self._record is not None:
            self._record.skip()
            self._record, self._position = None, self._stream.tell()
        line = self._stream.readline(_LINE)
        while line and not line.strip(b"\r\n\0"):
            self._position = self._stream.tell()
            line = self._stream.readline(_LINE)
        if not line:
            return None
        if not _VERSION.fullmatch(line):
            raise OSError("no WARC record")
        self._record = Record(self._here(), self._headers(), self._stream)
        return self._record

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        while (line := self._stream.readline(_LINE)).strip():
            name, _, value = line.decode(errors="replace").partition(":")
            headers[name.strip().lower()] = value.strip()
        if not line:
            raise EOFError("the file ends in the header of a record")
        return headers

    def next_begin(self) -> int | None:
        """Where the next record begins behind :attr:`offset`; None if there is none, or it cannot be found."""
        pattern = {None: _BEGINS, "gzip": _MEMBER}.get(self._compression)
        at, before = self.offset + 1, b""
        with self._path.open("rb") as stream:
            stream.seek(at)
            while pattern is not None and (chunk := stream.read(_CHUNK)):
                window = before + chunk
                for found in pattern.finditer(window):
                    place = at - len(before) + found.start()
                    if self._compression is None or begins_record(self._path, place):
                        return place
                at, before = at + len(chunk), window[-16:]
        return None


def begins_record(path: Path, place: int) -> bool:
    """Whether a member of gzip begins at a byte of a file, and a record in it."""
    with path.open("rb") as stream:
        stream.seek(place)
        try:
            return zlib.decompressobj(31).decompress(stream.read(2**12), 5) == b"WARC/"
        except zlib.error:
            return False


class _Unpacked(io.RawIOBase):
    """A stream that knows how many bytes were read from it."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._out = stream, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes that were read."""
        return self._out

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer, or a part of it; 0 at the end."""
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._out += len(data)
        return len(data)


class _Members(io.RawIOBase):
    """The members of a gzip file one after another, from one that begins at a byte on.

    A read gives bytes of one member only, so that a damaged one takes nothing of those before it.
    """

    def __init__(self, file: Any, begin: int) -> None:
        file.seek(begin)
        self._file, self._at, self._out = file, begin, begin  # positions in the file, and in what it decompresses to
        self._member: Any = None
        self._rest = b""
        self._outs: list[int] = []
        self._origins: list[int] = []

    def readable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes decompressed, and those of the file before the first member."""
        return self._out

    def origin(self, position: int) -> int:
        """Where the member begins in the file that holds a position of what is decompressed."""
        number = bisect_right(self._outs, position) - 1
        del self._outs[: max(0, number)], self._origins[: max(0, number)]
        return self._origins[0] if self._origins else self._at

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer, or a part of it; 0 at the end of the file."""
        data = b""
        while not data:
            self._rest = self._rest or self._file.read(_LINE)
            if self._member is None:
                if not self._rest.strip(b"\0"):  # padding behind the last
                    return 0
                self._member = zlib.decompressobj(31)
                self._outs.append(self._out)
                self._origins.append(self._file.tell() - len(self._rest))
            ended = not self._rest
            data = self._member.decompress(self._rest, len(buffer))
            self._rest = self._member.unconsumed_tail or self._member.unused_data
            if self._member.eof:
                self._member = None
            elif ended and not data:
                raise EOFError("the file is cut off")
        buffer[: len(data)] = data
        self._out += len(data)
        return len(data)

"""Documents of text from web archives (WARC) and from files of HTML."""

import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from scaling.data.formats.archives import BROKEN, Archive, Record
from scaling.data.formats.pages import MOST_PAGE, begins_as_html, clean, decoded, has_tags, require_web, text_of
from scaling.data.formats.streams import DAMAGED, LONGEST, Refused, open_stream
from scaling.errors import InputError

_HTML = {"text/html", "application/xhtml+xml"}
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([^\s;\"']+)", re.IGNORECASE)
_MOST_HEADER = 2**17


def read_html(path: Path) -> Iterator[bytes | Refused]:
    """The text of a file of HTML; it may be empty.

    Raises:
        InputError: it cannot be read.
    """
    require_web(path)
    try:
        with open_stream(path) as stream:
            page = stream.read(MOST_PAGE + 1)
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    try:
        yield text_of(page, None)
    except ValueError as error:
        yield Refused(f"{path}: {error}")


def read_warc(path: Path) -> Iterator[bytes | Refused]:
    """Documents of a web archive: pages of HTML that a server sent, and text that was extracted from pages (WET).

    Other records, such as requests, images, redirects and errors, are none. A page without text is an empty document.
    Behind a damaged record reading goes on at the next, if records are compressed one by one or not at all.
    """
    require_web(path)
    begin: int | None = 0
    while begin is not None:
        with closing(Archive(path, begin)) as archive:
            try:
                while (record := archive.next_record()) is not None:
                    yield from _documents(record, f"{path}: record at byte {record.offset}")
                return
            except BROKEN as error:
                begin = archive.next_begin()
                yield Refused(f"{path}: damaged at byte {archive.offset}: {error}", rest=begin is None)


def _documents(record: Record, where: str) -> Iterator[bytes | Refused]:
    """The document of a record, if it has one.

    Raises:
        OSError, EOFError, zlib.error, lzma.LZMAError: it is damaged.
    """
    if record.kind == "response" and record.type.lower().startswith("application/http"):
        status, headers = _http(record)
    else:
        status, headers = 200 * (record.kind in ("resource", "conversion")), {"content-type": record.type}
    mime, charset = _type_of(headers)
    page, plain = mime in _HTML or not mime, mime == "text/plain" and record.kind != "response"
    if status != 200 or not (page or plain):
        return
    most = MOST_PAGE if page else LONGEST
    if record.left > most:
        if mime:
            yield Refused(f"{where}: a document of {record.left >> 20} MiB; {most >> 20} MiB are the most")
        return
    body = record.read()
    try:
        content = _content(body, headers)
        if plain:
            yield clean(decoded(content, charset))
        elif mime or begins_as_html(content):
            yield text_of(content, charset)
    except ValueError as error:
        yield Refused(f"{where}: {error}")


def _http(record: Record) -> tuple[int, dict[str, str]]:
    """Status of HTTP, 0 where there is none, and headers by their names in lower case; the record goes on behind."""
    words = record.read_line().decode("latin-1").split(None, 2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return 0, {}
    headers: dict[str, str] = {}
    size = 0
    while size < _MOST_HEADER and (line := record.read_line()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
        size += len(line)
    return int(words[1]), headers


def _type_of(headers: dict[str, str]) -> tuple[str, str | None]:
    """Media type in lower case and charset of a header."""
    value = headers.get("content-type", "")
    charset = _CHARSET.search(value)
    return value.partition(";")[0].strip().lower(), charset[1] if charset else None


def _content(body: bytes, headers: dict[str, str]) -> bytes:
    """The content of a body, joined from chunks and decompressed.

    Some archives have done so and kept the header that says otherwise: a body that is HTML as it is stays so.

    Raises:
        ValueError: it is damaged, or too long.
    """
    codings = [*headers.get("content-encoding", "").split(","), *headers.get("transfer-encoding", "").split(",")]
    for coding in reversed(codings):
        decode = _DECODERS.get(coding.strip().lower())
        if decode is None:
            continue
        try:
            body = decode(body)
        except (OSError, EOFError, zlib.error, ValueError) as error:
            if not has_tags(body):
                raise ValueError(f"its content is not {coding.strip()} as it says: {error}") from None
    return body


def _joined(body: bytes) -> bytes:
    """The content of chunks: each begins with its length, and the last is empty."""
    pieces: list[bytes] = []
    at = 0
    while True:
        line, newline, _ = body[at : at + 1024].partition(b"\n")
        size = int(line.partition(b";")[0], 16)
        begin = at + len(line) + len(newline)
        if not size:
            return b"".join(pieces)
        if size < 0 or begin + size > len(body):
            raise ValueError("a chunk is cut off")
        pieces.append(body[begin : begin + size])
        at = begin + size + (2 if body.startswith(b"\r\n", begin + size) else 1)


def _inflated(wbits: int) -> Callable[[bytes], bytes]:
    def decode(body: bytes) -> bytes:
        inflater = zlib.decompressobj(wbits)
        content = inflater.decompress(body, LONGEST + 1)
        if not inflater.eof and len(content) <= LONGEST:
            raise EOFError("it is cut off")
        return content

    return decode


def _brotli(body: bytes) -> bytes:
    from fastwarc.stream_io import BrotliReader

    return bytes(BrotliReader(io.BytesIO(body)).read(LONGEST + 1))


_DECODERS = {
    "chunked": _joined,
    "gzip": _inflated(31),
    "x-gzip": _inflated(31),
    "deflate": _inflated(15),
    "br": _brotli,
}

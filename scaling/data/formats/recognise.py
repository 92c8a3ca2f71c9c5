"""What a file of documents is, by its content; its suffix decides only where the content leaves it open."""

import json
import re
from pathlib import Path
from typing import Literal

from scaling.data.formats.archives import begins_record
from scaling.data.formats.pages import begins_as_html, has_tags
from scaling.data.formats.streams import DAMAGED, compression_of, open_compressed
from scaling.data.formats.tables import cells, delimiter_of
from scaling.data.formats.token_files import LLMC_MAGIC
from scaling.errors import InputError
from scaling.files import GIT_LFS

Format = Literal[
    "text", "jsonl", "json", "csv", "html", "warc", "parquet", "arrow", "tokens", "megatron", "hf", "corpus"
]

_HEAD = 2**16
_SEVERAL = 5
_FEW = 32
JSON_SUFFIXES = {".jsonl", ".ndjson", ".jsonlines", ".ldjson", ".json"}
_CSV_SUFFIXES = {".csv", ".tsv", ".tab", ".psv"}
_TOKEN_SUFFIXES = {".bin", ".npy", ".u16", ".u32"}
_TABLE_SUFFIXES: dict[str, Format] = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow"}
_COMPRESSED = {".gz", ".bz2", ".zst", ".zstd", ".xz", ".lz4", ".bgz"}
_MAGIC: dict[bytes, Format] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\x93NUMPY": "tokens",
    **dict.fromkeys(LLMC_MAGIC, "tokens"),
}
_OTHERS = {
    GIT_LFS: "a pointer of Git LFS, not the file; run git lfs pull",
    b"Rar!\x1a\x07": "a RAR archive; unpack it first",
    b"\xff\x06\0\0sNaPpY": "compressed by Snappy, which is not read; write it as zstd",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"7z\xbc\xaf": "a 7z archive; unpack it first",
    b"%PDF-": "a PDF document; extract its text first",
    b"{\\rtf": "a Rich Text document; extract its text first",
    b"SQLite format 3\0": "an SQLite database; write its text as jsonl first",
    b"\x89HDF": "an HDF5 file; write its text as jsonl, or its ids as .npy, first",
    b"Obj\x01": "an Avro file; write it as Parquet first",
    b"ORC": "an ORC file; write it as Parquet first",
    b"FEA1": "a Feather file of version 1; write it as Parquet first",
    b"PARE": "an encrypted Parquet file",
    b"MMIDIDX": "a Megatron index without the .bin beside it",
    b"TNTIDX": "an index of a kind that is not read here; write a memory-mapped one (mmap)",
    b"\x80\x02": "a pickle; write its text as jsonl first",
    b"\x80\x03": "a pickle; write its text as jsonl first",
    b"\x80\x04": "a pickle; write its text as jsonl first",
    b"\x80\x05": "a pickle; write its text as jsonl first",
}
# The longer first, as one begins with the other.
_WIDE = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_WARC = re.compile(rb"WARC/\d\.\d\r?\n")
_PAGE_SUFFIXES = {".html", ".htm", ".xhtml", ".shtml"}
_OBJECT = re.compile(rb'\{\s*"(?:[^"\\]|\\.)*"\s*:')
_ARRAY = re.compile(rb'\[\s*\{\s*"(?:[^"\\]|\\.)*"\s*:')


def suffix_of(file: Path) -> str:
    """The last suffix that does not say how a file is compressed, in lower case; empty if there is none."""
    suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() not in _COMPRESSED]
    return suffixes[-1] if suffixes else ""


def recognise(file: Path, key: str) -> Format | None:
    """The format of a file's documents; None if it is empty.

    Args:
        file: to look at.
        key: of the text, which tells a table's header from a line of prose.

    Raises:
        InputError: it cannot be read, or is of a kind that is not.
    """
    compression = None
    try:
        compression = compression_of(file)
        with open_compressed(file, compression) as stream:
            head = stream.read(_HEAD)
    except DAMAGED as error:
        if compression == "gzip" and begins_record(file, 0):
            return "warc"  # whose reader passes over the damage
        raise InputError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not head:
        return None
    binary = not is_text(head)
    other = _other(head, binary, suffix_of(file) in _TOKEN_SUFFIXES)
    if other is not None:
        raise InputError(f"{file}: {other}")
    wide = next((name for mark, name in _WIDE.items() if head.startswith(mark)), None)
    if wide is not None and suffix_of(file) not in _TOKEN_SUFFIXES and not _is_page(head, suffix_of(file)):
        raise InputError(f"{file}: {wide} text; convert it to UTF-8: iconv -f {wide} -t UTF-8")
    if head[257:262] == b"ustar":
        raise InputError(f"{file}: a tar archive; unpack it first")
    found = _of_content(head, suffix_of(file), key, binary)
    if compression is not None and found in ("parquet", "arrow", "tokens"):
        raise InputError(f"{file}: {found} within {compression}; unpack it first")
    return found


def no_prose(text: bytes) -> str | None:
    """What a text is, whatever its file is called, where it is none to train on as it is; else None."""
    head = text[:_HEAD]
    binary = not is_text(head)
    format = _of_content(head, "", "text", binary)
    if format == "warc":
        return "a web archive (WARC), no plain text: scaling data build reads it"
    if format not in ("text", "tokens", "html"):
        return "rows of JSON or CSV, no plain text: scaling data build reads them"
    return _other(head, binary, ids=False)


def _other(head: bytes, binary: bool, ids: bool) -> str | None:
    """What a file is that is not read, with what to do, by how it begins.

    Args:
        head: its beginning.
        binary: it is no text.
        ids: it may be token ids, which may begin with a magic of two bytes.
    """
    for magic, what in _OTHERS.items():
        if head.startswith(magic) and (binary or not magic.isalnum()) and not (ids and len(magic) == 2):
            return what
    return None


def _of_content(head: bytes, suffix: str, key: str, binary: bool) -> Format:
    for magic, format in _MAGIC.items():
        if head.startswith(magic) and binary:
            return format
    if head.startswith(b"\xff\xff\xff\xff") and suffix not in _TOKEN_SUFFIXES:  # a stream of Arrow
        return "arrow"
    if suffix in _TOKEN_SUFFIXES and (binary or len(head) < _FEW):
        return "tokens"
    if _WARC.match(head):
        return "warc"
    if _is_page(head, suffix):
        return "html"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"[") and _is_array(text, suffix):
        return "json"
    if text.startswith(b"{") and _spans_lines(text, suffix, key):
        return "json"
    if text.startswith(b"{") and _are_objects(text, len(head) < _HEAD, key):
        return "jsonl"
    if suffix in _TABLE_SUFFIXES:
        return _TABLE_SUFFIXES[suffix]  # whose reader says what is wrong with it
    if suffix in _CSV_SUFFIXES or (not binary and suffix not in JSON_SUFFIXES and _has_header(text, key)):
        return "csv"
    return "jsonl" if suffix in JSON_SUFFIXES else "text"


def _is_page(head: bytes, suffix: str) -> bool:
    """Whether it is a page of HTML: it begins as one, or is called one and has tags."""
    return begins_as_html(head) or (suffix in _PAGE_SUFFIXES and head.lstrip()[:1] not in b"[{" and has_tags(head))


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file may be UTF-8 text: nothing but characters, and few that control."""
    for cut in range(4):  # within the last character
        try:
            text = head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        return not any(sign < " " and sign not in "\t\n\r\f\v\b\x1b" for sign in text)
    return False


def _is_array(text: bytes, suffix: str) -> bool:
    """Whether it is a JSON array of documents, and no lines of arrays."""
    if suffix not in JSON_SUFFIXES:
        return _ARRAY.match(text) is not None
    lines = [line for line in text.splitlines() if line.strip()][:2]
    return len(lines) < 2 or not all(isinstance(_parsed(line), list) for line in lines)


def _spans_lines(text: bytes, suffix: str, key: str) -> bool:
    """Whether it is a JSON object over several lines, as programs write for people to read."""
    line, _, rest = text.partition(b"\n")
    if not rest or _parsed(line) is not None:
        return False
    if line.strip() == b"{" and suffix in JSON_SUFFIXES:  # however long it is
        return True
    first = _first(text)
    return isinstance(first, dict) and (suffix in JSON_SUFFIXES or key in first)


def _first(text: bytes) -> object:
    """The first value of JSON in a text; None if there is none."""
    try:
        return json.JSONDecoder().raw_decode(text.decode(errors="replace"))[0]
    except (ValueError, RecursionError):
        return None


def _are_objects(text: bytes, whole: bool, key: str) -> bool:
    """Whether it is JSON objects: one in most lines, one with the key, or one longer than what was read."""
    lines = text.split(b"\n")
    complete = [line for line in (lines if whole else lines[:-1]) if line.strip()][:_SEVERAL]
    rows = [isinstance(_parsed(line), dict) for line in complete]
    if len(rows) > 1 and sum(rows) > len(rows) / 2:
        return True
    if rows == [] or (rows == [True] and not whole):
        return _OBJECT.match(lines[-1]) is not None
    first = _first(text)
    return isinstance(first, dict) and key in first


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _has_header(text: bytes, key: str) -> bool:
    """Whether it is a table with a header that has the key among several columns, and rows of as many cells."""
    lines = [line for line in text.decode(errors="replace").splitlines() if line][:_SEVERAL]
    if len(lines) < 2:
        return False
    delimiter = delimiter_of(lines[0], key)
    header = cells(lines[0], delimiter)
    # A quoted cell may hold line ends, so that only the first row is sure to have all its cells.
    return len(header) > 1 and key in header and (
        '"' in lines[1] or all(line.count(delimiter) == len(header) - 1 for line in lines[1:])
    )  # fmt: skip

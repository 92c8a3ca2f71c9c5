"""Documents of text from files of text and of JSON, in bounded memory."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from scaling.data.formats import streams
from scaling.data.formats.streams import DAMAGED, Refused, checked, encoded, kind_of, listed, open_stream
from scaling.errors import InputError

_LARGEST_ARRAY = 2**28


def read_text(path: Path, piece: int) -> Iterator[bytes]:
    """Documents of a text file: the whole file, or pieces of ``piece`` bytes at most.

    Raises:
        InputError: it is not UTF-8 text, or its compressed stream is damaged.
    """
    offset, rest = 0, b""
    try:
        with open_stream(path) as stream:
            while True:
                buffer = rest + stream.read(piece + 1 - len(rest))
                cut = len(buffer) if len(buffer) <= piece else _cut(buffer[:piece])
                text = checked(buffer[:cut], str(path), offset)
                yield text.removeprefix(b"\xef\xbb\xbf") if offset == 0 else text
                offset, rest = offset + cut, buffer[cut:]
                if not rest:
                    return
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _cut(buffer: bytes) -> int:
    """Position of a cut: after the last paragraph, line or word of the second half, else between two characters."""
    for mark in (b"\n\n", b"\n", b" "):
        at = buffer.rfind(mark, len(buffer) // 2)
        if at >= 0:
            return at + len(mark)
    for back in range(1, min(4, len(buffer))):
        if buffer[-back] >= 0xC0:  # the first byte of a character that may go on behind
            return len(buffer) - back
        if buffer[-back] < 0x80:
            break
    return len(buffer)


def read_jsonl(path: Path, key: str, begin: int, stop: int | None) -> Iterator[bytes | Refused]:
    """Documents of the lines of a jsonl file that begin in a range of its bytes.

    A line is refused, with its number, if it is no JSON object, has no such key or no text there, or is longer than
    LONGEST.

    Args:
        path: of the file.
        key: of the text in each line's object.
        begin: first byte of the range; 0 for a compressed file.
        stop: the byte after its last; None for the whole file.

    Raises:
        InputError: the compressed stream is damaged.
    """
    number, offset, before = 0, begin, -1
    try:
        with open_stream(path) as stream:
            if begin:
                stream.seek(begin - 1)
                # What began before belongs to the range before.
                offset += _skip_line(stream) - 1
            while (stop is None or offset < stop) and (line := stream.readline(streams.LONGEST + 1)):
                number, offset = number + 1, offset + len(line)
                if len(line) > streams.LONGEST and not line.endswith(b"\n"):
                    offset += _skip_line(stream)
                try:
                    if line.strip():
                        yield _text_of(line, key)
                except ValueError as error:
                    before = _lines_before(path, begin) if before < 0 else before
                    yield Refused(f"{path}:{before + number}: {error}")
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _skip_line(stream: Any) -> int:
    """Reads to the end of the line; returns how many bytes."""
    skipped = 0
    while part := stream.readline(2**20):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _lines_before(path: Path, begin: int) -> int:
    if not begin:
        return 0
    lines, left = 0, begin
    with path.open("rb") as stream:
        while left and (chunk := stream.read(min(left, 2**20))):
            lines, left = lines + chunk.count(b"\n"), left - len(chunk)
        # The range begins within a line, unless a line's end is the byte before it.
        return lines if chunk.endswith(b"\n") else lines + 1


def _text_of(line: bytes, key: str) -> bytes:
    if len(line) > streams.LONGEST:
        raise ValueError(f"a line longer than {streams.LONGEST >> 20} MiB; jsonl has one document a line")
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {' '.join(str(error).split())}") from None
    return _text_in(row, key)


def _text_in(row: object, key: str) -> bytes:
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object but {kind_of(row)}")
    if key not in row:
        raise ValueError(f"no key '{key}'; its keys are {listed(sorted(row))}: say which with text: KEY")
    return encoded(row[key], key)


def read_json(path: Path, key: str) -> Iterator[bytes | Refused]:
    """Documents of a JSON array of objects, or of objects over several lines, each refused as a line of jsonl is.

    Raises:
        InputError: no JSON, too large to be read at once, or damaged.
    """
    try:
        with open_stream(path) as stream:
            content = b"".join(iter(partial(stream.read, 2**20), b"")) if _small(path) else b""
            rows = json_values(content.decode("utf-8-sig")) if content else None
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}:1: not JSON: {' '.join(str(error).split())}") from None
    if rows is None:
        raise InputError(f"{path}: more than {_LARGEST_ARRAY >> 20} MiB of JSON; write an object a line, as jsonl")
    for number, row in enumerate(rows):
        try:
            yield _text_in(row, key)
        except ValueError as error:
            yield Refused(f"{path}: element {number}: {error}")


def json_values(text: str) -> list[object]:
    """The elements of an array, or the values that stand one after another."""
    values: list[object] = []
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        values.append(value)
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _small(path: Path) -> bool:
    return path.stat().st_size <= _LARGEST_ARRAY

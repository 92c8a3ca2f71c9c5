"""Documents of text from files, in bounded memory: text, jsonl, Parquet, Hugging Face datasets."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.errors import InputError

LONGEST = 2**26
"""Bytes that a document of jsonl, Parquet or a dataset has at most; more is a file of another kind."""
_COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def open_stream(path: Path) -> io.BufferedReader:
    """A stream of a file's bytes, decompressed if its suffix says so."""
    compression = _COMPRESSED.get(path.suffix)
    if compression is None:
        return path.open("rb")
    import pyarrow as pa

    return io.BufferedReader(pa.input_stream(str(path), compression=compression))


def checked(text: bytes, where: str, offset: int = 0) -> bytes:
    """Checks that a text is UTF-8 without NUL, and returns it.

    Raises:
        InputError: it is not; names ``where`` and the first wrong byte, counted from ``offset``.
    """
    if b"\0" in text:
        raise InputError(f"{where}: not text: it has a NUL byte at offset {offset + text.index(0)}")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise InputError(f"{where}: not UTF-8 text: byte {text[error.start]:#04x} at offset {at}") from None
    return text


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
                if offset == 0 and buffer[:2] in _MARKS:
                    raise InputError(f"{path}: {_MARKS[buffer[:2]]} text; convert it to UTF-8: iconv -t UTF-8")
                cut = len(buffer) if len(buffer) <= piece else _cut(buffer[:piece])
                text = checked(buffer[:cut], str(path), offset)
                yield text.removeprefix(b"\xef\xbb\xbf") if offset == 0 else text
                offset, rest = offset + cut, buffer[cut:]
                if not rest:
                    return
    except (OSError, EOFError) as error:
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


def read_jsonl(path: Path, key: str, begin: int, stop: int | None) -> Iterator[bytes]:
    """Documents of the lines of a jsonl file that begin in a range of its bytes.

    Args:
        path: of the file.
        key: of the text in each line's object.
        begin: first byte of the range; 0 for a compressed file.
        stop: the byte after its last; None for the whole file.

    Raises:
        InputError: with file and line: no JSON object, no such key, no text, or longer than LONGEST.
    """
    number, offset = 0, begin
    try:
        with open_stream(path) as stream:
            if begin:
                stream.seek(begin - 1)
                # What began before belongs to the range before.
                while skipped := stream.readline(2**16):
                    offset += len(skipped)
                    if skipped.endswith(b"\n"):
                        break
                offset -= 1
            while (stop is None or offset < stop) and (line := stream.readline(LONGEST + 1)):
                number, offset = number + 1, offset + len(line)
                try:
                    if line.strip():
                        yield _text_of(line, key)
                except ValueError as error:
                    raise InputError(f"{path}:{_lines_before(path, begin) + number}: {error}") from None
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


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
    if len(line) > LONGEST:
        raise ValueError(f"a line longer than {LONGEST >> 20} MiB; jsonl has one document a line")
    try:
        row = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {' '.join(str(error).split())}") from None
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object but a {type(row).__name__}")
    if key not in row:
        raise ValueError(f"no key '{key}'; its keys are {', '.join(sorted(row)[:10])}: say which with text: KEY")
    return _encoded(row[key], key)


def _encoded(text: Any, key: str) -> bytes:
    """A value as UTF-8, null as an empty text; ValueError if it is no text, or too long."""
    if text is None:
        return b""
    if not isinstance(text, str):
        raise ValueError(f"'{key}' is no text but a {type(text).__name__}")
    if "\0" in text:
        raise ValueError(f"'{key}' has a NUL character, which text has not")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"'{key}' has half a surrogate pair, which is no character") from None
    if len(encoded) > LONGEST:
        raise ValueError(f"a document longer than {LONGEST >> 20} MiB")
    return encoded


def read_parquet(path: Path, column: str, begin: int, stop: int) -> Iterator[bytes]:
    """Documents of some row groups of a Parquet file.

    Raises:
        InputError: no Parquet, no such column, or one that is not text.
    """
    import pyarrow as pa

    file = open_parquet(path)
    if column not in file.schema_arrow.names:
        names = ", ".join(file.schema_arrow.names[:10])
        raise InputError(f"{path}: no column '{column}'; its columns are {names}: say which with text: COLUMN")
    row = 0
    try:
        for batch in file.iter_batches(batch_size=256, row_groups=range(begin, stop), columns=[column]):
            for value in batch.column(0):
                row += 1
                yield _encoded(value.as_py(), column)
    except ValueError as error:
        kind = "row group" if isinstance(error, pa.ArrowException) else f"row {row} of row group"
        raise InputError(f"{path}: {kind} {begin}: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: damaged: {error}") from None


def open_parquet(path: Path) -> Any:
    """Opens a pyarrow ParquetFile; InputError if the file is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: no Parquet file: {' '.join(str(error).split())}") from None


def open_dataset(name: str, subset: str | None, split: str) -> Any:
    """Opens a Hugging Face dataset: from disk, else streamed.

    Raises:
        InputError: without the extra, or where there is no such dataset, configuration or split.
    """
    try:
        import datasets
    except ImportError:
        raise InputError('hf: needs: pip install "scaling-law-toolkit[hf]"') from None
    try:
        folder = Path(name)
        if (folder / "state.json").exists():
            return datasets.load_from_disk(name)
        if (folder / "dataset_dict.json").exists():
            return datasets.load_from_disk(name)[split]
        return datasets.load_dataset(name, subset, split=split, streaming=True)
    except Exception as error:  # the library raises what its many readers raise
        raise InputError(f"hf: {name}: {' '.join(str(error).split())[:300]}") from None


def read_dataset(name: str, subset: str | None, split: str, column: str, begin: int, stop: int) -> Iterator[bytes]:
    """Documents of some rows of a dataset on disk, or of some shards of a streamed one.

    Raises:
        InputError: as ``open_dataset``, or where the column is missing or no text.
    """
    dataset = open_dataset(name, subset, split)
    streamed = not hasattr(dataset, "__len__")
    if not streamed:
        dataset = dataset.select(range(begin, stop))
    elif stop > begin:
        dataset = dataset.shard(num_shards=dataset.num_shards, index=begin)
    for row, values in enumerate(dataset):
        if column not in values:
            names = ", ".join(list(values)[:10])
            raise InputError(f"hf: {name}: no column '{column}'; its columns are {names}: say which with text: COLUMN")
        try:
            yield _encoded(values[column], column)
        except ValueError as error:
            raise InputError(f"hf: {name}: row {row + (0 if streamed else begin)}: {error}") from None

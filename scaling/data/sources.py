"""Sources as parts, each read by one process: the files of a source, and the reader of each format."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from scaling.data.corpus import own_files
from scaling.data.spec import Format, SourceSpec
from scaling.data.texts import open_dataset, open_parquet, read_dataset, read_jsonl, read_parquet, read_text
from scaling.data.token_files import read_index, read_megatron, read_tokens
from scaling.errors import InputError

PART_BYTES = 2**26
"""What a part has about: small enough to lose to a crash, large enough to make shards worth their files."""
_LONGEST_TOKENS = 2**24
_ROWS = 50_000
_JSONL = {".jsonl", ".ndjson", ".json"}
_COMPRESSED = {".gz", ".bz2", ".zst"}

Documents = Iterator[bytes | Integer[np.ndarray, " tokens"]]


@dataclass(frozen=True)
class Part:
    """A part of a source, read by one process.

    Attributes:
        source: its number among the sources.
        format: of its files.
        paths: of its files.
        begin: of a single file, the first byte, row group, row or document.
        stop: and the one after the last; 0 for all.
    """

    source: int
    format: Format
    paths: tuple[str, ...]
    begin: int = 0
    stop: int = 0


def parts_of(source: SourceSpec, number: int) -> list[Part]:
    """Parts of a source, always the same for the same files.

    Raises:
        InputError: there is nothing, or an empty file, a damaged index or Parquet file.
    """
    if source.hf is not None:
        return _dataset_parts(source, number)
    assert source.path is not None
    parts: list[Part] = []
    texts: list[str] = []
    size = 0
    for _, file in sorted(own_files(source.path)[1]):
        bytes_of = file.stat().st_size
        format = _format(file)
        if format is None:
            continue
        if not bytes_of:
            raise InputError(f"{file}: the file is empty")
        if format != "text":
            parts += [Part(number, format, (str(file),), *bounds) for bounds in _bounds(file, format, bytes_of)]
            continue
        if texts and size + bytes_of > PART_BYTES:
            parts, texts, size = [*parts, Part(number, "text", tuple(texts))], [], 0
        texts.append(str(file))
        size += bytes_of
    return [*parts, Part(number, "text", tuple(texts))] if texts else parts


def _format(file: Path) -> Format | None:
    """Format of a file, by its suffixes; None for a Megatron index, which is read with its .bin."""
    suffixes = [suffix for suffix in file.suffixes if suffix not in _COMPRESSED]
    last = suffixes[-1] if suffixes else ""
    if last == ".idx" and file.with_suffix(".bin").exists():
        return None
    if last in _JSONL:
        return "jsonl"
    if last == ".bin":
        return "megatron" if file.with_suffix(".idx").exists() else "tokens"
    return "parquet" if last == ".parquet" else "text"


def _bounds(file: Path, format: Format, size: int) -> list[tuple[int, int]]:
    """Ranges (begin, stop) of a large file that its parts read; (0, 0) is the whole file."""
    if format == "megatron":
        index = read_index(file.with_suffix(".idx"))
        count, per = len(index.documents) - 1, size
    elif format == "parquet":
        count, per = open_parquet(file).num_row_groups, size
    elif format == "jsonl" and file.suffix not in _COMPRESSED:
        count, per = size, size
    else:
        return [(0, 0)]
    pieces = min(count, max(1, round(per / PART_BYTES)))
    edges = [count * piece // pieces for piece in range(pieces + 1)] if pieces else [0, 0]
    return list(pairwise(edges))


def _dataset_parts(source: SourceSpec, number: int) -> list[Part]:
    assert source.hf is not None
    dataset = open_dataset(source.hf, source.subset, source.split)
    if hasattr(dataset, "__len__"):
        rows = len(dataset)
        return [Part(number, "hf", (source.hf,), at, min(at + _ROWS, rows)) for at in range(0, rows, _ROWS)]
    return [Part(number, "hf", (source.hf,), at, at + 1) for at in range(dataset.num_shards)]


def read_part(part: Part, source: SourceSpec, end: int) -> Documents:
    """Documents of a part: texts, or ids without the closing ``end`` from token files.

    Raises:
        InputError: an invalid file, with the place of the error.
    """
    path = Path(part.paths[0])
    match part.format:
        case "text":
            return (document for file in part.paths for document in read_text(Path(file), source.piece))
        case "jsonl":
            return read_jsonl(path, source.text, part.begin, part.stop or None)
        case "parquet":
            return read_parquet(path, source.text, part.begin, part.stop)
        case "hf":
            return read_dataset(part.paths[0], source.subset, source.split, source.text, part.begin, part.stop)
        case "megatron":
            return read_megatron(path, end, part.begin, part.stop)
        case "tokens":
            return read_tokens(path, source.dtype, end, _LONGEST_TOKENS)

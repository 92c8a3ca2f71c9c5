"""Sources as parts, each read by one process: the files of a source, and the reader of each format."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from scaling.data.corpus import own_files
from scaling.data.formats.recognise import Format, recognise, suffix_of
from scaling.data.formats.streams import Refused, compression_of
from scaling.data.formats.tables import open_dataset, open_parquet, read_arrow, read_csv, read_dataset, read_parquet
from scaling.data.formats.texts import read_json, read_jsonl, read_text
from scaling.data.formats.token_files import has_header, read_index, read_megatron, read_tokens
from scaling.data.formats.web import read_html, read_warc, require_web
from scaling.data.named.domains import domain, read_domain
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

PART_BYTES = 2**26
"""What a part has about: small enough to lose to a crash, large enough to make shards worth their files."""
_LONGEST_TOKENS = 2**24
_ROWS = 50_000
# What Spark, Hadoop and datasets write beside their files.
_MARKERS = {"_SUCCESS", "_metadata", "_common_metadata", "dataset_infos.json"}
_MARKER_STARTS, _MARKER_SUFFIXES = ("_started_", "_committed_"), {".crc"}
_MARKER_FOLDERS = {"_temporary", "_delta_log", "_spark_metadata"}
# What editors and downloads leave: older or cut copies of files that are there, or will be.
_TEMPORARY = ("~", ".tmp", ".part", ".partial", ".crdownload", ".swp")
_SMALL: tuple[Format, ...] = ("text", "html")
_OF_ARROW = {"dataset_info.json", "state.json", "dataset_dict.json"}

Documents = Iterator[bytes | Integer[np.ndarray, " tokens"] | Refused]


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


@dataclass
class Found:
    """What a source has.

    Attributes:
        parts: in the order of the files.
        skipped: files without documents, each with the reason: empty, hidden, temporary, or a marker of another tool.
        refused: why files cannot be read, a line each.
    """

    parts: list[Part] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def find_parts(source: SourceSpec, number: int) -> Found:
    """Parts of a source, always the same for the same files.

    Raises:
        InputError: there is nothing, no such dataset, or an option that does not apply to the files.
    """
    small = _SmallFiles(number)
    if source.hf is not None:
        return Found(_dataset_parts(source, number))
    if source.corpus is not None:
        found = Found()
        for _, file in sorted(domain(source.corpus).files()):
            found.parts += small.parts_with("corpus", file)
        found.parts += small.rest()
        return found
    assert source.path is not None
    found = Found(skipped=[(path, "hidden") for path in _hidden(Path(os.path.expanduser(source.path)))])
    for name, file in sorted(own_files(source.path)[1]):
        try:
            format = _format(file, Path(name), source, found)
            bounds = _bounds(file, format) if format not in (None, *_SMALL) else []
        except InputError as error:
            found.refused += error.errors
            continue
        if format == "tokens" and "dtype" in source.model_fields_set and has_header(file):
            raise InputError(f"{file}: the option dtype does not apply: the file's header says it")
        if format in ("html", "warc"):
            require_web(file)
        if format in _SMALL:
            found.parts += small.parts_with(format, file)
        elif format is not None and not bounds:
            found.skipped.append((str(file), "empty"))
        elif format is not None:
            found.parts += [Part(number, format, (str(file),), *bound) for bound in bounds]
    found.parts += small.rest()
    source.check_options({part.format: part.paths[0] for part in found.parts})
    return found


class _SmallFiles:
    """Gathers files that are read whole to parts of many, one format at a time.

    Args:
        number: of the source.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._waiting: dict[Format, list[Path]] = {}
        self._bytes: dict[Format, int] = {}

    def parts_with(self, format: Format, file: Path) -> list[Part]:
        """Takes a file; returns the part that is complete without it, if there is one."""
        size, waiting = file.stat().st_size, self._waiting.setdefault(format, [])
        full = bool(waiting) and self._bytes[format] + size > PART_BYTES
        done = [self._part(format)] if full else []
        if full:
            waiting.clear()
        self._bytes[format] = size + (self._bytes[format] if waiting else 0)
        waiting.append(file)
        return done

    def rest(self) -> list[Part]:
        """The parts of the files that wait."""
        return [self._part(format) for format in self._waiting]

    def _part(self, format: Format) -> Part:
        return Part(self._number, format, tuple(map(str, self._waiting[format])))


def _hidden(folder: Path) -> Iterator[str]:
    """Hidden files below a folder that are not empty, and hidden folders, which are not looked into."""
    for above, folders, files in os.walk(folder):
        yield from (str(Path(above, name)) for name in (*sorted(folders), *sorted(files)) if name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _format(file: Path, below: Path, source: SourceSpec, found: Found) -> Format | None:
    """The format of a file; None if it has no documents of its own, which is noted where it is not a Megatron index.

    Args:
        file: to look at.
        below: its path within the source.
        source: of the file.
        found: where what is skipped is noted.
    """
    suffix, named = suffix_of(file), Path(os.path.expanduser(source.path or "")) == file
    if suffix == ".idx" and file.with_suffix(".bin").exists():
        if named:
            raise InputError(f"{file}: the index of {file.with_suffix('.bin').name}; give that file")
        return None
    why = None if named else _not_data(file, below)
    if why is not None:
        found.skipped.append((str(file), why))
        return None
    if suffix == ".bin" and file.with_suffix(".idx").exists() and file.stat().st_size:
        return "megatron"
    format = recognise(file, source.text)
    if format is None:
        found.skipped.append((str(file), "empty"))
        return None
    return source.format or format


def _not_data(file: Path, below: Path) -> str | None:
    """Why a file that nobody named is none of the data, by its name."""
    name, suffix = file.name, suffix_of(file)
    if name.endswith(_TEMPORARY):
        return "temporary"
    marker = name in _MARKERS or name.startswith(_MARKER_STARTS) or suffix in _MARKER_SUFFIXES
    marker = marker or not _MARKER_FOLDERS.isdisjoint(below.parts)
    return "marker" if marker or (name in _OF_ARROW and any(file.parent.rglob("*.arrow"))) else None


def _bounds(file: Path, format: Format | None) -> list[tuple[int, int]]:
    """Ranges (begin, stop) of a large file that its parts read; (0, 0) is the whole file."""
    size = file.stat().st_size
    if format == "megatron":
        count = len(read_index(file.with_suffix(".idx")).documents) - 1
    elif format == "parquet":
        metadata = open_parquet(file).metadata
        count = metadata.num_row_groups if metadata.num_rows else 0
    elif format == "jsonl" and compression_of(file) is None:
        count = size
    else:
        return [(0, 0)]
    pieces = min(count, max(1, round(size / PART_BYTES)))
    return list(pairwise(count * piece // pieces for piece in range(pieces + 1))) if pieces else []


def _dataset_parts(source: SourceSpec, number: int) -> list[Part]:
    assert source.hf is not None
    folder = Path(source.hf)
    saved = {"state.json": {"subset", "split"}, "dataset_dict.json": {"subset"}}
    for file, options in saved.items():
        if unused := sorted(options & source.model_fields_set if (folder / file).exists() else ()):
            raise InputError(f"hf: {source.hf}: the option {unused[0]} does not apply: the folder has no {unused[0]}s")
    dataset = open_dataset(source.hf, source.subset, source.split)
    if hasattr(dataset, "__len__"):
        rows = len(dataset)
        return [Part(number, "hf", (source.hf,), at, min(at + _ROWS, rows)) for at in range(0, rows, _ROWS)]
    return [Part(number, "hf", (source.hf,), at, at + 1) for at in range(dataset.num_shards)]


def reading_of(part: Part, source: SourceSpec) -> dict[str, Any]:
    """All that decides the documents of a part: its place, its files' sizes and times, how they are read."""
    beside = [str(Path(path).with_suffix(".idx")) for path in part.paths if part.format == "megatron"]
    stats = {path: os.stat(path) for path in (*part.paths, *beside) if os.path.isfile(path)}
    return {
        "part": asdict(part) | {"source": None},
        "files": {path: [stat.st_size, stat.st_mtime_ns] for path, stat in stats.items()},
        "options": source.model_dump(mode="json", include={"hf", "subset", "split", "text", "piece", "dtype"}),
    }


def read_part(part: Part, source: SourceSpec, end: int) -> Documents:
    """Documents of a part: texts, or ids without the closing ``end`` from token files.

    What is wrong with a document or a file is an element too, so that those behind it are read: :func:`strict` raises
    it.
    """
    for path in part.paths:
        try:
            yield from _reader(part, source, end)(Path(path))
        except InputError as error:
            yield Refused(error.errors[0], rest=True)


def strict(documents: Documents) -> Iterator[bytes | Integer[np.ndarray, " tokens"]]:
    """The documents as they are.

    Raises:
        InputError: at the first that is refused.
    """
    for document in documents:
        if isinstance(document, Refused):
            raise InputError(document.line)
        yield document


def _reader(part: Part, source: SourceSpec, end: int) -> Callable[[Path], Iterable[bytes | np.ndarray | Refused]]:
    """What reads a file of the part."""
    key, begin, stop = source.text, part.begin, part.stop
    match part.format:
        case "text":
            return lambda path: read_text(path, source.piece)
        case "html":
            return read_html
        case "warc":
            return read_warc
        case "corpus":
            assert source.corpus is not None
            name = source.corpus
            return lambda path: read_domain(name, path)
        case "jsonl":
            return lambda path: read_jsonl(path, key, begin, stop or None)
        case "json":
            return lambda path: read_json(path, key)
        case "csv":
            return lambda path: read_csv(path, key)
        case "parquet":
            return lambda path: read_parquet(path, key, begin, stop)
        case "arrow":
            return lambda path: read_arrow(path, key)
        case "hf":
            return lambda _: read_dataset(part.paths[0], source.subset, source.split, key, begin, stop)
        case "megatron":
            return lambda path: read_megatron(path, end, begin, stop)
        case "tokens":
            return lambda path: read_tokens(path, source.dtype, end, _LONGEST_TOKENS)

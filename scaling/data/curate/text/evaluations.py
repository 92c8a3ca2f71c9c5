"""Texts of evaluation files, in whatever rows they have, to be kept out of what is trained on."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from scaling.data.curate.text.contamination import Index, distinct_grams
from scaling.data.curate.text.words import words_of
from scaling.data.formats.streams import DAMAGED, LONGEST, open_stream
from scaling.data.formats.tables import delimiter_of, names_of, open_parquet
from scaling.data.formats.texts import read_text
from scaling.data.sources import Part, find_parts, read_part, strict
from scaling.data.spec import SourceSpec
from scaling.errors import InputError

LEAST_WORDS, LEAST_CHARACTERS = 8, 32
"""Of a text that is compared whole; 8 words as GPT-3 (2005.14165), and none of eight Chinese characters."""
_KEY = "text"
_DOCUMENTS, _ABOUT = "documents.npy", "about.json"
_TEMPLATE_ROWS = 10
_SPACE, _LINK = re.compile(r"\s*"), re.compile(r"\w+://\S+")


@dataclass(frozen=True)
class Evaluation:
    """An evaluation file.

    Attributes:
        file: its path, as it was found.
        documents: the texts of each of its rows; of a file of text, the file's.
    """

    file: str
    documents: list[list[str]]


class EvaluationIndex:
    """The n-grams of evaluations, on disk.

    Args:
        folder: that :func:`write_index` has written.

    Attributes:
        grams: of all texts.
        documents: of each text, the number of the document that has it, through all files.
        about: ``file``, ``documents`` and ``too_short`` of each file.
    """

    def __init__(self, folder: Path) -> None:
        self.grams = Index.load(folder)
        self.documents: Int64[np.ndarray, " texts"] = np.load(folder / _DOCUMENTS)
        self.about: list[dict[str, Any]] = json.loads((folder / _ABOUT).read_text())


def write_index(folder: Path, files: Sequence[str], words: int) -> None:
    """Writes the index of evaluations.

    A text with fewer words than an n-gram is one n-gram, if it has LEAST_WORDS and LEAST_CHARACTERS; else it is not
    looked for.

    Args:
        folder: to write into.
        files: of the evaluations.
        words: of an n-gram.
    """
    evaluations = read_evaluations(files)
    rows = [texts for each in evaluations for texts in each.documents]
    texts = [text for row in rows for text in row]
    documents = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    found = words_of(texts)
    long = np.array([len(text) >= LEAST_CHARACTERS for text in texts], bool)
    wanted = (found.counts >= words) | ((found.counts >= LEAST_WORDS) & long)
    Index.of(distinct_grams(found, words, wanted)).save(folder)
    np.save(folder / _DOCUMENTS, documents)
    judged = np.bincount(documents[wanted], minlength=len(rows)) > 0
    about, first = [], 0
    for each in evaluations:
        own = judged[first : first + len(each.documents)]
        about.append({"file": each.file, "documents": len(own), "too_short": int((~own).sum())})
        first += len(own)
    (folder / _ABOUT).write_text(json.dumps(about))


def evaluation_files(patterns: Sequence[str]) -> list[str]:
    """The files of evaluations, sorted.

    Args:
        patterns: files, folders or globs.

    Raises:
        InputError: nothing is there, or a file is of a kind that is not read; a line each.
    """
    return sorted(_parts(patterns))


def read_evaluations(patterns: Sequence[str]) -> list[Evaluation]:
    """Evaluations, sorted by their files.

    Of a row (an object of JSON, a row of a table) the text is what its key ``text`` holds; of a row without it every
    string within it is a text by itself, as benchmarks call theirs question, prompt, passage, choices. A text that more
    than half of a file's rows have is their template, and left out.

    Args:
        patterns: files, folders or globs.

    Raises:
        InputError: nothing is there, or a file cannot be read; a line each.
    """
    made, errors = [], []
    for path, part in sorted(_parts(patterns).items()):
        try:
            made.append(Evaluation(path, _without_templates(list(_documents(path, part)))))
        except InputError as error:
            errors += [f"contamination: {line}" for line in error.errors]
    if errors:
        raise InputError(errors)
    return made


def _parts(patterns: Sequence[str]) -> dict[str, Part]:
    """The files of patterns, each with a part of it."""
    parts: dict[str, Part] = {}
    errors: list[str] = []
    for pattern in patterns:
        try:
            found = find_parts(SourceSpec(path=pattern), 0)
        except InputError as error:
            errors += error.errors
            continue
        errors += found.refused
        parts |= {path: part for part in found.parts for path in part.paths}
        if not found.parts and not found.refused:
            errors.append(f"{pattern}: no documents: every file is empty, hidden or a marker")
    if errors:
        raise InputError([f"contamination: {line}" for line in errors])
    return parts


def _without_templates(documents: list[list[str]]) -> list[list[str]]:
    if len(documents) < _TEMPLATE_ROWS:
        return documents
    rows = Counter(text for texts in documents for text in set(texts))
    return [[text for text in texts if rows[text] <= len(documents) / 2] for texts in documents]


def _documents(path: str, part: Part) -> Iterator[list[str]]:
    file = Path(path)
    match part.format:
        case "text":
            pieces = list(read_text(file, 2**20))
            yield [piece.decode() for piece in pieces]
        case "jsonl":
            yield from map(list, map(_texts, _lines(file)))
        case "json":
            yield from map(list, map(_texts, _values(file)))
        case "csv":
            yield from map(list, map(_texts, _cells(file)))
        case "parquet" | "arrow":
            yield from map(list, map(_texts, _table(file, part.format)))
        case "html" | "warc":
            pages = strict(read_part(replace(part, paths=(path,)), SourceSpec(path=path), 0))
            yield from ([page.decode()] for page in pages if isinstance(page, bytes))
        case _:
            raise InputError(f"{path}: token ids; an evaluation is text")


def _texts(row: Any) -> Iterator[str]:
    """The texts of a row."""
    if isinstance(row, str):
        if not _LINK.fullmatch(row):
            yield row.replace("\0", " ").encode(errors="replace").decode()
    elif isinstance(row, dict):
        only = row.get(_KEY)
        yield from _texts(only) if isinstance(only, str) else (text for value in row.values() for text in _texts(value))
    elif isinstance(row, list | tuple):
        yield from (text for value in row for text in _texts(value))


def _lines(file: Path) -> Iterator[Any]:
    number = 0
    try:
        with open_stream(file) as stream:
            for line in stream:
                number += 1
                if line.strip():
                    yield json.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except DAMAGED as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}:{number}: not JSON: {' '.join(str(error).split())}") from None


def _values(file: Path) -> Iterator[Any]:
    """The elements of an array, or values that stand one after another."""
    try:
        with open_stream(file) as stream:
            text = stream.read().decode("utf-8-sig")
        decoder, at = json.JSONDecoder(), 0
        while (space := _SPACE.match(text, at)) and (at := space.end()) < len(text):
            value, at = decoder.raw_decode(text, at)
            yield from value if isinstance(value, list) else [value]
    except DAMAGED as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not JSON: {' '.join(str(error).split())}") from None


def _cells(file: Path) -> Iterator[dict[str, str]]:
    csv.field_size_limit(2 * LONGEST)
    try:
        with open_stream(file) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            header = text.readline().rstrip("\r\n")
            delimiter = delimiter_of(header, _KEY)
            names = names_of(header, delimiter)
            for cells in csv.reader(text, delimiter=delimiter):
                yield dict(zip(names, cells, strict=False))
    except DAMAGED as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    except (csv.Error, ValueError) as error:
        raise InputError(f"{file}: not CSV: {' '.join(str(error).split())}") from None


def _table(file: Path, format: str) -> Iterator[Any]:
    import pyarrow as pa

    try:
        if format == "parquet":
            for batch in open_parquet(file).iter_batches():
                yield from batch.to_pylist()
            return
        with pa.memory_map(str(file)) as source:
            stream = source.read(6) != b"ARROW1"
            source.seek(0)
            table = pa.ipc.open_stream(source) if stream else pa.ipc.open_file(source)
            yield from table.read_all().to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{file}: cannot be read: {' '.join(str(error).split())}") from None

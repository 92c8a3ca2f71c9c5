"""JSON: one object a line, or one list of objects."""

import io
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import InputError
from analysis.runs.readers.frames import chosen
from analysis.runs.readers.opened import Opened

_LINES_AT_ONCE = 100_000


def read_jsonl(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a JSONL file, with the keys of all its objects as columns; the index is the line."""
    with source.open() as file, io.TextIOWrapper(file, encoding=source.encoding) as text:
        return _frame(_lines(source.path, text), wanted)


def read_json(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a list of objects; the index counts them from 1."""
    with source.open() as file:
        rows = json.loads(file.read().decode(source.encoding).removeprefix("\ufeff"))
    return _frame(((number, _object(source.path, number, row)) for number, row in enumerate(rows, 1)), wanted)


def _frame(rows: Iterator[tuple[int, dict[str, Any]]], wanted: set[str] | None) -> pd.DataFrame:
    known: dict[str, None] = {}
    parts = []
    while part := list(islice(rows, _LINES_AT_ONCE)):
        for _, row in part:
            known.update(dict.fromkeys(row))
        names = chosen(list(known), wanted)
        parts.append(pd.DataFrame([{n: r[n] for n in names if n in r} for _, r in part], [i for i, _ in part]))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    frame.attrs["known"] = list(known)
    return frame


def _lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line."""
    for number, line in enumerate(lines, 1):
        line = line.removeprefix("\ufeff") if number == 1 else line
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not a readable .jsonl file ({str(error)[:100]})") from None
        yield number, _object(path, number, row)


def _object(path: Path, number: int, row: Any) -> dict[str, Any]:
    """The row.

    Raises:
        InputError: if it is no object.
    """
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: not a readable .jsonl file (each row is one object)")
    return row

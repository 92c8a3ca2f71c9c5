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
from analysis.runs.recognition.spelling import is_known

_LINES_AT_ONCE = 100_000


def read_jsonl(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a JSONL file, with the keys of all its objects as columns; the index is the line.

    One object that holds all rows is read as such; the keys of objects in objects are joined by dots.
    """
    if (rows := _in_one_object(source)) is not None:
        return _frame(enumerate(rows, 1), wanted)
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
        part = [(number, _flat(row)) for number, row in part]
        for _, row in part:
            known.update(dict.fromkeys(row))
        names = chosen(list(known), wanted)
        parts.append(pd.DataFrame([{n: r[n] for n in names if n in r} for _, r in part], [i for i, _ in part]))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    frame.attrs["known"] = list(known)
    return frame


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row with ``config.params`` for the params within its config."""
    if not any(isinstance(value, dict) for value in row.values()):
        return row
    made: dict[str, Any] = {}
    for name, value in row.items():
        inner = _flat(value) if isinstance(value, dict) else None
        made |= {name: value} if inner is None else {f"{name}.{key}": cell for key, cell in inner.items()}
    return made


def _in_one_object(source: Opened) -> list[dict[str, Any]] | None:
    """The rows of a file that is one object: as pandas writes a frame, or a list of them under a name; else None."""
    lines = [line for line in source.text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].rstrip().endswith("}"):
        return None
    with source.open() as file:
        try:
            content = json.loads(file.read().decode(source.encoding).removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            return None
    return rows_of(content) if isinstance(content, dict) else None


def rows_of(content: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The rows that an object holds in one of the usual orders; None if it is no table."""
    inner = list(content.values())
    if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
        rows = [row for row in content["data"] if isinstance(row, list)]
        return [dict(zip(map(str, content["columns"]), row, strict=False)) for row in rows]
    lists = [value for value in inner if isinstance(value, list) and value and all(isinstance(v, dict) for v in value)]
    if len(lists) == 1:
        return lists[0]
    if inner and all(isinstance(value, list) and len(value) == len(inner[0]) for value in inner):
        return [dict(zip(content, row, strict=True)) for row in zip(*inner, strict=True)]
    if inner and all(isinstance(value, dict) and value.keys() == inner[0].keys() for value in inner):
        if sum(map(is_known, content)) >= 2:
            return [{name: content[name][row] for name in content} for row in inner[0]]
        if len(inner) > 1 and sum(map(is_known, inner[0])) >= 2:
            return inner
    return None


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

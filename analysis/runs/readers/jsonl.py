"""JSONL files: one object a line."""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import InputError
from analysis.runs.readers.frames import chosen

_LINES_AT_ONCE = 100_000


def read_jsonl(path: Path, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a JSONL file, with the keys of all its objects as columns; the index is the line."""
    known: dict[str, None] = {}
    parts = []
    with path.open(encoding="utf-8-sig") as file:
        lines = _objects(path, file)
        while part := list(islice(lines, _LINES_AT_ONCE)):
            for _, row in part:
                known.update(dict.fromkeys(row))
            names = chosen(list(known), wanted)
            parts.append(pd.DataFrame([{n: r[n] for n in names if n in r} for _, r in part], [i for i, _ in part]))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    frame.attrs["known"] = list(known)
    return frame


def _objects(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and object of each line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not a readable .jsonl file ({str(error)[:100]})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: not a readable .jsonl file (each line is one object)")
        yield number, row

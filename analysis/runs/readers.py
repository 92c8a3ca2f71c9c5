"""Files of rows: CSV, Parquet and JSONL into a frame, and what is wrong with them in one line."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import InputError

# A file up to this size is read whole: its further columns may tell what was mixed in it.
_SMALL = 64 * 2**20
_LINES_AT_ONCE = 100_000
_MOST_FAULTS = 20


def read_columns(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Reads a file's columns of use, so that a wide or long file does not fill the memory; a small file whole.

    The frame has the file's own names; ``attrs["known"]`` lists every column of the file, read or not. The index is
    the line of a CSV or JSONL file, otherwise counted from 1.

    Args:
        path: the file.
        wanted: names of columns, in any case.

    Raises:
        InputError: if the file is missing, empty or unreadable.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    kind = path.suffix.lower()
    if kind not in _READERS:
        raise InputError(f"{path}: {kind or 'no suffix'!r} is not .csv, .tsv, .jsonl or .parquet")
    everything = path.stat().st_size <= _SMALL
    wanted = {name.lower() for name in wanted}
    try:
        frame = _READERS[kind](path, None if everything else wanted)
    except InputError:
        raise
    except (
        ValueError,
        OSError,
        MemoryError,
        NotImplementedError,
    ) as error:  # as which pyarrow tells what it cannot read
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: not a readable {kind} file ({reason[:200]})") from None
    if not frame.attrs["known"]:
        raise InputError(f"{path}: no rows")
    twice = {name for name in frame.attrs["known"] if frame.attrs["known"].count(name) > 1 and name.lower() in wanted}
    if twice:
        raise InputError(f"{path}: column {name!r} occurs more than once" for name in sorted(twice))
    return frame


def limited(faults: list[str], source: str) -> list[str]:
    """The first faults of many, and how many more there are."""
    hidden = len(faults) - _MOST_FAULTS
    return faults[:_MOST_FAULTS] + ([f"{source}: {hidden} more faults"] if hidden > 0 else [])


def _read_csv(path: Path, wanted: set[str] | None) -> pd.DataFrame:
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=_delimiter(path))
    # One thread knows the number of each row.
    read = csv.ReadOptions(use_threads=False)
    with csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        known = reader.schema.names
    convert = csv.ConvertOptions(include_columns=_chosen(known, wanted), strings_can_be_null=True)
    table = csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
    return _framed(table, known, first=2)  # the first line is the header


def _delimiter(path: Path) -> str:
    """What separates the names in the first line."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open("rb") as file:
        header = file.readline(2**20)
    return next((sign for sign in ",;\t" if sign.encode() in header), ",")


def _read_parquet(path: Path, wanted: set[str] | None) -> pd.DataFrame:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        known = file.schema_arrow.names
        return _framed(file.read(_chosen(known, wanted)), known, first=1)


def _framed(table: Any, known: list[str], first: int) -> pd.DataFrame:
    """An arrow table as a frame whose rows are counted from ``first``; text that is not UTF-8 becomes readable."""
    table.validate(full=True)  # damaged text would only be found when it is used
    # pandas' own metadata could make a column the index; arrow's copy of a column goes once pandas has its own.
    frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    for name in [c for c in frame.columns if pd.api.types.is_object_dtype(frame[c].dtype)]:
        frame[name] = frame[name].map(lambda v: v.decode(errors="replace") if isinstance(v, bytes) else v)
    frame.attrs["known"] = known
    frame.index += first
    return frame


def _read_jsonl(path: Path, wanted: set[str] | None) -> pd.DataFrame:
    known: dict[str, None] = {}
    parts = []
    with path.open(encoding="utf-8-sig") as file:
        lines = _objects(path, file)
        while part := list(islice(lines, _LINES_AT_ONCE)):
            for _, row in part:
                known.update(dict.fromkeys(row))
            chosen = _chosen(list(known), wanted)
            parts.append(pd.DataFrame([{n: r[n] for n in chosen if n in r} for _, r in part], [i for i, _ in part]))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    frame.attrs["known"] = list(known)
    return frame


def _objects(path: Path, file: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number and object."""
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: not a readable .jsonl file ({str(error)[:100]})") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: not a readable .jsonl file (each line is one object)")
        yield number, row


def _chosen(known: list[str], wanted: set[str] | None) -> list[str]:
    """The columns to read: all, or those of use."""
    return list(dict.fromkeys(name for name in known if wanted is None or name.lower() in wanted))


_READERS = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}

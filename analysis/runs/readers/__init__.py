"""Readers of tables, one module a format.

A format is a function (opened file, spellings of the wanted columns or None for all) -> frame as
:func:`analysis.runs.readers.frames.framed` gives it, and one entry of ``READERS``. The content of a file tells its
format; its suffix may say anything.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import InputError
from analysis.files import readable
from analysis.runs.readers.csv import read_csv
from analysis.runs.readers.excel import read_excel
from analysis.runs.readers.frames import is_wanted
from analysis.runs.readers.jsonl import read_json, read_jsonl
from analysis.runs.readers.opened import Opened
from analysis.runs.readers.parquet import read_parquet
from analysis.runs.recognition.spelling import normalised

# A file up to this size is read whole: its further columns may show what was mixed in it.
_SMALL = 64 * 2**20

READERS: dict[str, Callable[[Opened, set[str] | None], pd.DataFrame]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "jsonl": read_jsonl,
    "json": read_json,
    "excel": read_excel,
}


def read_columns(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Reads the columns in use of a large file, so that it does not fill the memory, and all of a small one.

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
    wanted = {normalised(name) for name in wanted}
    with readable(path, f"{path.suffix.lower() or 'table'} file"):
        source = Opened.of(path)
        frame = READERS[source.kind](source, None if path.stat().st_size <= _SMALL else wanted)
    known = frame.attrs["known"]
    if not known:
        raise InputError(f"{path}: no rows")
    refuse_repeated(known, wanted, str(path))
    return frame


def refuse_repeated(known: Sequence[str], wanted: set[str], source: str) -> None:
    """Raises InputError where a wanted column's name, in any spelling, is that of several columns."""
    spellings = {normalised(name) for name in wanted}
    repeated = {name for name in known if known.count(name) > 1 and is_wanted(name, spellings)}
    if repeated:
        raise InputError(f"{source}: column {name!r} occurs more than once" for name in sorted(repeated))

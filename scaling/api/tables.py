"""Tables of runs, from whatever holds them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from analysis.errors import InputError
from analysis.runs.table import RunTable, read_table, table_of

Runs = RunTable | pd.DataFrame | str | Path


def read_runs(
    source: Runs,
    *,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
    extra: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> RunTable:
    """Reads a table of runs and checks every row that a fit will use.

    Args:
        source: a sweep's folder, a CSV, JSON, Parquet or Excel file, or a DataFrame; a table that is read already is
            returned as it is.
        where: a filter for the rows to fit: comparisons joined by and, or, not, in; names that are no words stand in
            backticks.
        columns: the schema's name -> the table's own, such as ``{"params": "n_nonemb"}``, where the usual names do not
            suffice.
        best: fit only the best run of each size and length, which reduces a sweep over learning rates.
        extra: further columns of numbers, such as the accuracies of a task; they may have gaps.
        kept: further columns of any values, such as one that tells contenders apart.

    Raises:
        InputError: one line per error, with row and column.
    """
    if isinstance(source, RunTable):
        if where is not None or columns or best:
            raise InputError("`where`, `columns` and `best` apply where a table is read, and this one is read already")
        if missing := [name for name in (*extra, *kept) if name not in source.frame]:
            raise InputError(f"{source.source}: no column {name!r}; read it with extra=[{name!r}]" for name in missing)
        return source
    if isinstance(source, pd.DataFrame):
        return table_of(source, "table", columns, where, extra, best, kept)
    return read_table(source, columns, where, extra, best, kept)


def refuse_given(source: object, reason: str, **arguments: object) -> None:
    """Refuses arguments that could only be ignored.

    Args:
        source: the argument that they do not go with.
        reason: what it is, for the message.
        arguments: by name; those that are None or False were not given.

    Raises:
        InputError: one line per argument that was given.
    """
    given = [name for name, value in arguments.items() if value is not None and value is not False]
    if given:
        raise InputError(f"`{name}`: does not apply to {source}, which is {reason}" for name in given)

"""Contenders from what people give: tables by name, several, a folder of contenders, or one table by a column."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

import pandas as pd

from analysis.comparing.contenders import Contender, contenders_by
from analysis.formatting import listed
from analysis.runs.schema import RECIPE, TEXTS
from analysis.runs.table import RunTable
from scaling.api.tables import Runs, read_runs
from scaling.errors import InputError
from scaling.sweep.folder.parts import parts_of

Contenders = Runs | Mapping[str, Runs]
_MOST_VALUES = 24  # of a column that seems to tell contenders apart
_LIKELY = ("optimizer", "corpus", "recipe", "tokenizer", "sweep", *RECIPE)
_NAMELESS = frozenset(["run_id", "trunk_id", "role", "status", "device", "held_out_sha256"])


def read_contenders(
    runs: Sequence[Contenders],
    by: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[Contender]:
    """The contenders that are given.

    Args:
        runs: a mapping from names to tables; several tables; the folder of a sweep with contenders; or one table.
        by: the column of the one table that tells contenders apart.
        where, columns: as for :func:`read_runs`, of every table.

    Raises:
        InputError: one line per error; for one table without ``by``, with columns that could tell contenders apart.
    """
    if not runs:
        raise InputError("two contenders or more are compared")
    named = _named(runs)
    if named is None:
        [table] = runs
        assert not isinstance(table, Mapping)
        if by is None:
            raise InputError(_by_what(read_runs(table, where=where, columns=columns)))
        return contenders_by(read_runs(table, where=where, columns=columns, kept=(by,)), by)
    if by is not None:
        raise InputError("`by`: tells contenders of one table apart, and here each has a table of its own")
    errors: list[str] = []
    made = []
    for name, table in named:
        try:
            made.append(Contender(name, read_runs(table, where=where, columns=columns)))
        except InputError as error:
            errors += error.errors
    if errors:
        raise InputError(errors)
    return made


def _named(runs: Sequence[Contenders]) -> list[tuple[str, Runs]] | None:
    """Each table with its contender's name; None for one table that several share."""
    if len(runs) == 1:
        [only] = runs
        if isinstance(only, Mapping):
            return [(str(name), table) for name, table in only.items()]
        parts = contenders_below(only)
        return None if parts is None else list(parts.items())
    tables: list[tuple[str | None, Runs]] = []
    for each in runs:
        tables += each.items() if isinstance(each, Mapping) else [(None, each)]
    plain = iter(names_of([table for name, table in tables if name is None]))
    return [(next(plain) if name is None else str(name), table) for name, table in tables]


def contenders_below(place: Runs) -> dict[str, Runs] | None:
    """The folders of contenders in that of their sweep, by name; None for any other place.

    Raises:
        InputError: the file that lists them is damaged.
    """
    if not isinstance(place, str | Path) or not Path(place).is_dir():
        return None
    parts = parts_of(Path(place))
    if parts is None or parts.kind != "contender":
        return None
    return {name: Path(place) / name for name in parts.names}


def names_of(tables: Sequence[Runs]) -> list[str]:
    """A name for each of some tables: the end of its path that no other shares, without a suffix; or a letter."""
    paths = [_path(table) for table in tables]
    found = [f"table {place + 1}" for place in range(len(tables))]
    for place, path in enumerate(paths):
        if path is None:
            continue
        parts = path.parts
        for length in range(1, len(parts) + 1):
            found[place] = "/".join(parts[-length:])
            ends = [each.parts[-length:] for each in paths if each is not None]
            if ends.count(parts[-length:]) == 1:
                break
    return found


def _path(table: Runs) -> PurePath | None:
    if isinstance(table, pd.DataFrame):
        return None
    text = table.source if isinstance(table, RunTable) else str(table)
    path = Path(text)
    whole = path.resolve() if path.is_dir() or path.name in ("", "..") else path
    if whole.name == "runs.parquet":  # that of a sweep's folder, which has a name of its own
        whole = whole.resolve().parent
    return whole.with_suffix("") if whole.suffix and not whole.is_dir() else whole


def _by_what(table: RunTable) -> str:
    """Why one table is no comparison, with the columns that could tell contenders apart."""
    rows = table.fit
    names = [name for name in dict.fromkeys((*_LIKELY, *map(str, rows.columns))) if name in rows]
    found = [name for name in names if name not in _NAMELESS and _parts(rows, name)]
    hint = f", such as {listed(found)}" if found else "; no column of it seems to"
    return f"{table.source}: one table: give `by`, the column that tells contenders apart{hint}"


def _parts(rows: pd.DataFrame, name: str) -> bool:
    """Whether a column may tell contenders apart: some texts or settings, each of several runs."""
    values = rows[name].dropna()
    text = not pd.api.types.is_numeric_dtype(values.dtype)
    if not (text or name in RECIPE or name in TEXTS):
        return False
    counts = Counter(values.tolist())
    return 2 <= len(counts) <= _MOST_VALUES and min(counts.values()) > 1

"""Tables that trackers export and people keep: the CSV file of W&B's runs table, Excel sheets, any CSV or TSV file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.errors import InputError
from analysis.imports.names import STATES, STEPS, loss_name, own_names, worded
from analysis.imports.records import Log, LoggedRun, Points, foreign, number_of
from analysis.runs.readers import READERS
from analysis.runs.readers.opened import Opened
from analysis.runs.recognition import run_names
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.run_names import LONG_RUN, RUN_COLUMNS, UNSURE
from analysis.runs.schema import TEXTS

SUFFIXES = (".csv", ".tsv", ".xlsx", ".xlsm", ".parquet")
_RUNS = ("name", "run_name", "display_name", "run_id", "run", "id", "model", "model_name")


def read_export(path: Path) -> Log:
    """The runs of a table: one a row, or one a name where the table holds steps of runs.

    Raises:
        InputError: for a file that is no table.
    """
    with foreign(path, f"{path.suffix.lower()} file"):
        source = Opened.of(path)
        frame = READERS[source.kind](source, None)
    return export_of(frame, path)


def names_runs(frame: pd.DataFrame) -> bool:
    """Whether a frame's rows belong to several runs, by name, or count no steps and so are runs themselves."""
    words = {worded(str(column)): column for column in frame.columns}
    name = next((words[word] for word in _RUNS if word in words), None)
    return not set(words) & {*STEPS} or (name is not None and len(set(map(str, frame[name]))) > 1)


def export_of(frame: pd.DataFrame, path: Path) -> Log:
    """As :func:`read_export`, of a table that is read already."""
    if frame.empty:
        raise InputError(f"{path}: no rows")
    spelled: dict[str, str] = {}
    for column in map(str, frame.columns):
        spelled.setdefault(worded(column), column)
    name = next((spelled[word] for word in _RUNS if word in spelled), None)
    state = next((spelled[word] for word in STATES if word in spelled), None)
    step = next((spelled[word] for word in (*STEPS[:6], "_step") if word in spelled), None)
    weights = state is not None and name is not None and bool({"runtime", "created", "sweep", "user"} & set(spelled))
    tool = "W&B runs table" if weights else f"{path.suffix[1:]} table"
    frame = _numbered(frame, {name, state})
    rows = [(_named(row, name, place), row) for place, row in _rows(frame)]
    repeated = name is not None and len({run for run, _ in rows}) < len(rows)
    if repeated and step is not None:
        return Log(
            tool, f"one run a {name}, at its last step", list(_grouped(rows, step, state)), str(name), str(state)
        )
    along = _along(frame, name, spelled) if repeated and name is not None else None
    if along is not None:
        grouped = list(_grouped(rows, along, state))
        return Log(tool, f"one run a {name}, at its last {along}", grouped, str(name), str(state), counts_steps=False)
    runs = [
        LoggedRun(run, _key(row, spelled, place), _text(row, state), row) for place, (run, row) in enumerate(rows, 1)
    ]
    return Log(tool, "one run a row", runs, name or "row", str(state), counts_steps=False)


def _along(frame: pd.DataFrame, name: str, spelled: dict[str, str]) -> str | None:
    """The column of tokens, where rows that share a name are points along a run; None where they are runs."""
    params, tokens = (
        next((spelled[own] for own in own_names(column) if own in spelled), None) for column in ("params", "tokens")
    )
    if params is None or tokens is None:
        return None
    least = 2 if worded(name) in set(RUN_COLUMNS) - UNSURE else LONG_RUN
    numbers = numbers_in(frame[params])[0], numbers_in(frame[tokens])[0]
    return tokens if run_names.names_runs(frame[name].astype("str"), *numbers, least) else None


def _numbered(frame: pd.DataFrame, texts: set[str | None]) -> pd.DataFrame:
    """A frame whose columns of numbers in texts are numbers: a column as a whole tells what its commas mean."""
    made = {}
    for at, name in enumerate(frame.columns):
        made[at] = frame.iloc[:, at]
        if name not in texts and worded(str(name)) not in TEXTS and not pd.api.types.is_numeric_dtype(made[at].dtype):
            values, unread = numbers_in(made[at], plain=loss_name(str(name)) is not None)
            made[at] = made[at] if unread.any() else values
    return pd.DataFrame(made, index=frame.index).set_axis(frame.columns, axis=1)


def _rows(frame: pd.DataFrame) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Place and filled cells of each row."""
    names = [str(name) for name in frame.columns]
    for place, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        yield place, {name: cell for name, cell in zip(names, row, strict=True) if not _empty(cell)}


def _empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip()) or (not isinstance(cell, str) and cell != cell)


def _named(row: dict[str, Any], name: str | None, place: Any) -> str:
    return str(row.get(name, f"row{place}")).strip() if name is not None else f"row{place}"


def _key(row: dict[str, Any], spelled: dict[str, str], place: int) -> str:
    """The tracker's id of a run, or else its place."""
    return str(row.get(spelled.get("id", ""), place))


def _text(row: dict[str, Any], name: str | None) -> str | None:
    return None if name is None or name not in row else str(row[name]).strip()


def _grouped(rows: list[tuple[str, dict[str, Any]]], step: str, state: str | None) -> Iterator[LoggedRun]:
    """Runs of the rows that share a name: their numbers are points along them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run, row in rows:
        groups.setdefault(run, []).append(row)
    for run, points in groups.items():
        series: dict[str, Points] = {}
        settings: dict[str, Any] = {}
        for row in points:
            at = number_of(row.get(step))
            settings |= row
            for name, cell in row.items():
                if at is not None and name != step and (value := number_of(cell)) is not None:
                    series.setdefault(name, []).append((at, value))
            if at is not None:
                series.setdefault(step, []).append((at, at))
        yield LoggedRun(run, run, _text(settings, state), settings, series)

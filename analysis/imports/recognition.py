"""From the runs of a log to rows of a table, one a run: its last evaluated endpoint."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.errors import InputError
from analysis.imports.columns import Names, Taken, logged_as, value_at
from analysis.imports.names import loss_name, own_names, rank, worded
from analysis.imports.records import Log, LoggedRun, Note, listed_names, number_of
from analysis.runs.filter import closest
from analysis.runs.recognition.states import finished
from analysis.runs.schema import NUMBERS, REQUIRED, TEXTS

_APART = ("run_id", "status", *REQUIRED)
_ROLES = {"fit", "target"}
_FLOPS_FACTOR = 30.0  # of 6ND: beyond it, what is called FLOPs is a rate, or of one token


@dataclass(frozen=True)
class Recognised:
    """Rows of a table of runs.

    Attributes:
        frame: one row a run, in the schema's names; further columns keep the tool's.
        taken: our column -> the tool's name.
        unfinished: run -> its state, of the rows that a fit leaves out.
        notes: remarks.
    """

    frame: pd.DataFrame
    taken: Mapping[str, str]
    unfinished: Mapping[str, str]
    notes: tuple[Note, ...]


def recognise(log: Log, source: str, columns: Mapping[str, str]) -> Recognised:
    """Finds parameters, tokens, loss and settings among what a tool logs.

    Args:
        log: the runs of a source.
        source: for messages.
        columns: our column -> the tool's name, or a number for all runs; columns of other names are kept too.

    Raises:
        InputError: a line for each of parameters, tokens and loss that is missing, or that several names could be.
    """
    log = _as_requested(log, source, columns)
    names = Names(log, source, columns)
    if not names.numbers:
        raise InputError(f"{source}: {log.tool}, in which no number is logged")
    params, tokens, (loss, unit) = _required(names)
    rows, taken = _rows(log, loss, params, tokens)
    name = unit or "loss"
    for row in rows:
        row[name] = row.pop("loss")
    taken = {"run_id": log.named_by, **taken, "params": params.name, "tokens": tokens.name, name: loss}
    for column, found in _further(names, columns, {loss}).items():
        taken[column] = found.name
        for row, run in zip(rows, log.runs, strict=True):
            row[column] = found.of(run, row["_step"])
    for column, own in _texts(log, columns).items():
        taken[column] = own
        for row, run in zip(rows, log.runs, strict=True):
            row[column] = run.settings.get(own)
    return _made(pd.DataFrame(rows).drop(columns="_step"), taken, log, source, names.notes)


def _as_requested(log: Log, source: str, columns: Mapping[str, str]) -> Log:
    """A log whose runs have the names and states that the user chose."""
    name, state = columns.get("run_id"), columns.get("status")
    known = dict.fromkeys(own for run in log.runs for own in run.settings)
    for column, own in (("run_id", name), ("status", state)):
        if own is not None and own not in known:
            raise InputError(f"`columns` {column}={own}: {source} logs no such name{closest(own, list(known))}")
    runs = log.runs
    if name is not None:
        runs = [replace(run, name=str(run.settings.get(name, run.name))) for run in runs]
    if state is not None:
        runs = [replace(run, state=str(run.settings[state]) if state in run.settings else None) for run in runs]
    return replace(log, runs=runs, named_by=name or log.named_by, state_in=state or log.state_in)


def _required(names: Names) -> tuple[Taken, Taken, tuple[str, str | None]]:
    """Parameters, tokens and loss, or all that is wrong with them."""
    found: list[Any] = []
    errors: list[str] = []
    for find in (names.params, names.tokens, names.loss):
        try:
            found.append(find())
        except InputError as error:
            errors += error.errors
    if errors:
        raise InputError(errors)
    params, tokens, loss = found
    return params, tokens, loss


def _rows(log: Log, loss: str, params: Taken, tokens: Taken) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """The rows with what every table has, and where the states come from, if the tool tells them."""
    ids = unique_names(log.runs)
    rows = []
    for run, run_id in zip(log.runs, ids, strict=True):
        points = run.series.get(loss)
        step = points[-1][0] if points else None
        row: dict[str, Any] = {"run_id": run_id, "status": run.state, "_step": step}
        row |= {"params": params.of(run, step), "tokens": tokens.of(run, step), "loss": value_at(run, loss, None)}
        rows.append(row)
    if any(run.state for run in log.runs):
        return rows, {"status": log.state_in}
    for row in rows:
        del row["status"]
    return rows, {}


def unique_names(runs: Sequence[LoggedRun]) -> list[str]:
    """A name for each run that no other has: the tool's, with its id where several share it."""
    count = Counter(run.name for run in runs)
    made: Counter[str] = Counter()
    names = []
    for run in runs:
        name = run.name if count[run.name] == 1 else f"{run.name}-{run.key}"
        made[name] += 1
        names.append(name if made[name] == 1 else f"{name}-{made[name]}")
    return names


def _further(names: Names, columns: Mapping[str, str], used: set[str]) -> dict[str, Taken]:
    """Further numbers: the schema's, what the user requests, and the other losses of an evaluation."""
    found: dict[str, Taken] = {}
    for column in [c for c in NUMBERS if c not in REQUIRED and c not in TEXTS]:
        try:
            taken = names.role(column)
        except InputError:  # several differ, and nothing depends on this one
            if column in columns:
                raise
            continue
        if taken is not None and taken.name not in used:
            found[column] = _peak(taken) if column == "lr" else taken
    for column in columns:
        if column not in (*NUMBERS, *TEXTS) and (taken := names.requested(column)) is not None:
            found[column] = taken
    used = used | {taken.name for taken in found.values()}
    usual = set(own_names("loss"))
    for name in names.numbers:
        kind = loss_name(name)
        if kind is not None and kind.held_out and name not in used and worded(name) not in usual:
            found[name] = logged_as(name)
    return found


def _peak(rate: Taken) -> Taken:
    """The largest learning rate of a run whose rates were logged."""

    def of(run: LoggedRun, step: float | None) -> float | None:
        points = run.series.get(rate.name)
        return max(value for _, value in points) if points else rate.of(run, step)

    return Taken(rate.name, of)


def _texts(log: Log, columns: Mapping[str, str]) -> dict[str, str]:
    """The tool's names of the schema's texts, such as the corpus."""
    values: dict[str, set[str]] = {}
    for run in log.runs:
        for name, value in run.settings.items():
            if isinstance(value, str) or name in columns.values():
                values.setdefault(name, set()).add(str(value))
    found = {}
    for column in [c for c in TEXTS if c not in _APART]:
        own = columns.get(column)
        if own is not None and own not in values:
            raise InputError(f"`columns` {column}={own}: no such name is logged{closest(own, list(values))}")
        ranked = sorted((place, name) for name in values if (place := rank(name, column)) is not None)
        if own is not None or ranked:
            found[column] = own or ranked[0][1]
    if "role" not in columns and not values.get(found.get("role", ""), set()) <= _ROLES:
        del found["role"]  # of something else
    return found


def _made(frame: pd.DataFrame, taken: dict[str, str], log: Log, source: str, notes: list[Note]) -> Recognised:
    """The table, without runs that nothing can be fitted to, and without columns that say nothing."""
    done = finished(frame)
    unusable = done & frame[["params", "tokens"]].isna().any(axis=1).to_numpy()
    if unusable.all():
        raise InputError(f"{source}: no run that has finished has both params and tokens")
    if unusable.any():
        names = listed_names(frame["run_id"][unusable], 6)
        notes.append(Note("incomplete-runs", f"runs without params or tokens are not in the table: {names}"))
    if "status" not in frame and any(run.series for run in log.runs):
        notes.append(Note("no-states", f"nothing in {log.tool} says which runs have finished: all count as finished"))
    done = done[~unusable]
    frame = frame[~unusable].reset_index(drop=True)
    if "flops" in frame and _no_flops(frame[done]):
        frame = frame.drop(columns="flops")
    columns = [c for c in frame if c in _APART or frame[c].notna().any()]
    frame = pd.DataFrame({str(c): _typed(frame[c], str(c)) for c in columns})
    left = frame[~done]
    unfinished = dict(zip(left["run_id"], left["status"], strict=True)) if "status" in frame else {}
    taken = {column: name for column, name in taken.items() if column in frame}
    return Recognised(frame, taken, unfinished, (*log.notes, *notes))


def _no_flops(rows: pd.DataFrame) -> bool:
    """Whether what is called FLOPs is far from 6ND, and so of something else than the training of a run."""
    ratio = (rows["flops"] / (6.0 * rows["params"] * rows["tokens"])).astype(float)
    return not ratio.between(1 / _FLOPS_FACTOR, _FLOPS_FACTOR).all()


def _typed(values: pd.Series, column: str) -> pd.Series:
    """A column as text, as whole numbers where all are or it counts, or else in float64."""
    if column in TEXTS:
        return values.map(lambda value: None if value is None or value != value else str(value)).astype("str")
    numbers = values.map(number_of).astype("float64")
    rounded = numbers.round()
    close = (numbers == rounded) | (column in ("params", "tokens"))
    close &= rounded.abs() < 2**53
    return rounded.astype("int64") if len(numbers) and close.all() else numbers

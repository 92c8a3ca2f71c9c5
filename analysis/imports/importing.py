"""One table of runs from one source or several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.errors import InputError
from analysis.files import replace
from analysis.imports.readers.trainer import Counter
from analysis.imports.recognition import Recognised, recognise, unique_names
from analysis.imports.records import Log, Note, listed_names, number_of
from analysis.imports.sources import read_source

SUFFIXES = (".parquet", ".csv", ".jsonl")


@dataclass(frozen=True)
class ImportedRuns:
    """A table of runs, and how it was made.

    Attributes:
        frame: one row a run.
        tools: what wrote each source, with how its runs were told apart.
        taken: our column -> the tool's name.
        unfinished: run -> its state, of the rows that a fit leaves out.
        notes: remarks.
    """

    frame: pd.DataFrame
    tools: tuple[str, ...]
    taken: Mapping[str, str]
    unfinished: Mapping[str, str]
    notes: tuple[Note, ...]


def import_sources(sources: Sequence[str], columns: Mapping[str, str], count: Counter) -> ImportedRuns:
    """Reads the logs of other tools into one table; results of tasks are joined with the runs of the same name.

    Args:
        sources: files, folders or ``wandb:ENTITY/PROJECT``.
        columns: our column -> the tool's name or a number for all runs, where the usual names do not suffice.
        count: counts the parameters of a model by its ``config.json``.

    Raises:
        InputError: one line per error.
    """
    logs = [(source, read_source(source, count)) for source in sources]
    for source, log in logs:
        if not log.runs:
            raise InputError(f"{source}: {log.tool} without runs")
    runs = [recognise(log, source, columns) for source, log in logs if not log.tasks]
    tasks = [log for _, log in logs if log.tasks]
    tools = tuple(f"{log.tool}, {log.apart}" for _, log in logs)
    if not runs:
        return _of_tasks(tasks, tools)
    made = _concatenated(runs)
    frame, notes = made.frame, list(made.notes)
    for log in tasks:
        frame = _joined(frame, log, notes)
    return ImportedRuns(frame, tools, made.taken, made.unfinished, tuple(notes))


def _concatenated(parts: Sequence[Recognised]) -> Recognised:
    """The rows of all sources; of two runs of one name, the later one's gets a number."""
    if len(parts) == 1:
        return parts[0]
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    again = frame.groupby("run_id").cumcount()
    frame["run_id"] = frame["run_id"].where(again == 0, frame["run_id"] + "-" + (again + 1).astype("str"))
    taken = {column: name for part in reversed(parts) for column, name in part.taken.items()}
    unfinished = {run: state for part in parts for run, state in part.unfinished.items()}
    return Recognised(frame, taken, unfinished, tuple(note for part in parts for note in part.notes))


def _table_of_tasks(log: Log) -> pd.DataFrame:
    rows = [{name: number_of(value) for name, value in run.settings.items()} for run in log.runs]
    frame = pd.DataFrame(rows).rename(columns={"model_num_parameters": "params"})
    frame.insert(0, "run_id", unique_names(log.runs))
    return frame


def _of_tasks(logs: Sequence[Log], tools: tuple[str, ...]) -> ImportedRuns:
    """A table of tasks alone, one row a model."""
    frame = pd.concat([_table_of_tasks(log) for log in logs], ignore_index=True)
    note = Note("no-losses", "results of tasks have no tokens and no loss: give the runs' logs as a source too")
    taken = {"run_id": "model_name"} | ({"params": "model_num_parameters"} if "params" in frame else {})
    return ImportedRuns(frame, tools, taken, {}, (*(n for log in logs for n in log.notes), note))


def _joined(frame: pd.DataFrame, log: Log, notes: list[Note]) -> pd.DataFrame:
    """A table with the tasks of each run: a model is the run of its name, or of the last part of its path."""
    notes += log.notes
    tasks = _table_of_tasks(log).drop(columns="params", errors="ignore")
    runs = set(frame["run_id"])
    tasks["run_id"] = [_run_of(name, runs) for name in tasks["run_id"]]
    if twice := sorted(tasks["run_id"][tasks["run_id"].duplicated() & tasks["run_id"].isin(runs)]):
        raise InputError(f"results of several models are for one run: {listed_names(twice, 4)}")
    if not set(tasks["run_id"]) & runs:
        ours, theirs = listed_names(frame["run_id"], 3), listed_names(tasks["run_id"], 3)
        raise InputError(f"no result of a task is of a run: the runs are {ours}, the models {theirs}")
    alone = [name for name in tasks["run_id"] if name not in runs]
    if alone:
        notes.append(Note("incomplete-runs", f"results of models without a run are left out: {listed_names(alone, 4)}"))
    tasks = tasks[tasks["run_id"].isin(runs)]
    new = ["run_id", *(c for c in tasks if c not in frame)]
    return frame.merge(tasks[new], on="run_id", how="left")


def _run_of(model: str, runs: set[str]) -> str:
    """The run that a model is: that of its name, or of the last part of its path that is one; else its own name."""
    parts = model.replace("__", "/").split("/")
    return next((name for name in (model, *reversed(parts)) if name in runs), model)


def check_output(output: Path, sources: Sequence[str]) -> None:
    """Checks where a table is to be written, which can be done before any work.

    Raises:
        InputError: for another format, or where a source would be overwritten.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise InputError(f"`output` {output}: write {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if any(output.resolve() == Path(source).resolve() for source in sources):
        raise InputError(f"`output` {output}: is the source itself; write another file")


def write_table(frame: pd.DataFrame, output: Path) -> None:
    """Writes a table whole or not at all, by the format of its suffix, and the folders that it lies in.

    Raises:
        InputError: it cannot be written there.
    """
    write = {
        ".parquet": lambda place: frame.to_parquet(place, index=False),
        ".csv": lambda place: frame.to_csv(place, index=False),
        ".jsonl": lambda place: frame.to_json(place, orient="records", lines=True, double_precision=15),
    }[output.suffix.lower()]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        replace(output, write)
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from None

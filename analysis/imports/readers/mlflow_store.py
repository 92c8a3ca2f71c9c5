"""MLflow's stores, read-only: the files of ``mlruns/`` and the tables of ``mlflow.db``.

Both are plain: a folder a run with a file for each parameter, metric and tag, and a database of SQLite. MLflow's own
client would create folders in the one and migrate the tables of the other, so neither is opened through it.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.imports.records import Log, LoggedRun, Points, foreign, number_of

_STATES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}  # mlflow.entities.RunStatus
_MAGIC = b"SQLite format 3\x00"
_TABLES = {"runs", "metrics", "params"}


def is_file_store(folder: Path) -> bool:
    """Whether a folder is that of MLflow's file store: experiments with runs, each with its ``meta.yaml``."""
    return next(_run_folders(folder), None) is not None


def is_database(path: Path) -> bool:
    """Whether a file is a database of SQLite."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_file_store(folder: Path) -> Log:
    """The runs of a file store that were not deleted."""
    runs = [run for place in _run_folders(folder) if (run := _of_folder(place)) is not None]
    return Log("MLflow file store", "one run a folder", runs, "run_name", "status")


def _run_folders(folder: Path) -> Iterator[Path]:
    """Folders of runs, of one experiment or of all."""
    for pattern in ("*/*/meta.yaml", "*/meta.yaml"):
        for meta in sorted(folder.glob(pattern)):
            if (meta.parent / "metrics").is_dir() or (meta.parent / "params").is_dir():
                yield meta.parent


def _of_folder(place: Path) -> LoggedRun | None:
    meta = _meta(place / "meta.yaml")
    if meta.get("lifecycle_stage") == "deleted" or not {"run_id", "run_uuid"} & set(meta):  # or of a logged model
        return None
    with foreign(place, "MLflow run"):
        settings: dict[str, Any] = {}
        for kind in ("tags", "params"):
            for file in _files(place / kind):
                name = file.relative_to(place / kind).as_posix()
                if not name.startswith("mlflow."):
                    settings[name] = file.read_text("utf-8", "replace").strip()
        series = {
            file.relative_to(place / "metrics").as_posix(): _points(file.read_text("utf-8", "replace"))
            for file in _files(place / "metrics")
        }
    if (place.parent / "meta.yaml").is_file():
        settings["experiment"] = _meta(place.parent / "meta.yaml").get("name")
    name = meta.get("run_name") or _text(place / "tags" / "mlflow.runName") or place.name
    state = number_of(meta.get("status"))
    return LoggedRun(str(name), place.name, None if state is None else _STATES.get(int(state)), settings, series)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _text(file: Path) -> str | None:
    return file.read_text("utf-8", "replace").strip() if file.is_file() else None


def _meta(file: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML, YAMLError

    try:
        found = YAML(typ="safe").load(file.read_text("utf-8", "replace"))
    except (YAMLError, OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{file}: not a readable file of MLflow")
    return found


def _points(text: str) -> Points:
    """Points of a metric's file, of ``timestamp value step`` a line; a torn last line is left out."""
    points = []
    for line in text.splitlines():
        values = [number_of(part) for part in line.split(" ")[:3]]
        if len(values) >= 2 and values[1] is not None:
            points.append((values[2] if len(values) == 3 and values[2] is not None else 0.0, values[1]))
    return points


def read_database(path: Path) -> Log:
    """The runs of a database that were not deleted.

    Raises:
        InputError: for a database that is not MLflow's, or is damaged.
    """
    with foreign(path, "MLflow database"), closing(_opened(path)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables >= _TABLES:
            raise InputError(f"{path}: a SQLite database, but not MLflow's: no table {sorted(_TABLES - tables)[0]!r}")
        settings: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        series: defaultdict[str, dict[str, Points]] = defaultdict(dict)
        for kind in [kind for kind in ("tags", "params") if kind in tables]:
            for run, key, value in database.execute(f"SELECT run_uuid, key, value FROM {kind}"):
                if not str(key).startswith("mlflow."):
                    settings[run][str(key)] = value
        query = "SELECT run_uuid, key, step, value, is_nan FROM metrics ORDER BY step, timestamp"
        for run, key, step, value, is_nan in database.execute(query):
            number = float("nan") if is_nan else number_of(value)
            if number is not None and (at := number_of(step)) is not None:
                series[run].setdefault(str(key), []).append((at, number))
        runs = []
        for run, name, state, experiment in _listed(database, tables):
            settings[run]["experiment"] = experiment
            runs.append(LoggedRun(str(name or run), str(run), state, settings[run], series[run]))
    return Log("MLflow database", "one run an id", runs, "name", "status")


def _opened(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, and that decodes damaged text with replacement characters."""
    database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    database.text_factory = lambda content: content.decode("utf-8", "replace")
    return database


def _listed(database: sqlite3.Connection, tables: set[str]) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Id, name, state and experiment of each run."""
    joined = "experiments" in tables
    name = "e.name" if joined else "NULL"
    join = "LEFT JOIN experiments e ON e.experiment_id = r.experiment_id" if joined else ""
    yield from database.execute(
        f"SELECT r.run_uuid, r.name, r.status, {name} FROM runs r {join} "
        "WHERE r.lifecycle_stage = 'active' ORDER BY r.start_time, r.run_uuid"
    )

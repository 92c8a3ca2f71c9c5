"""Lines of JSON: Levanter's JSON logger, and any log of one object a step.

Levanter writes, perhaps after the prefix of Python's logging,

    {"tracker": "json_logger", "event": "hparams", "hparams": {"trainer": {"id": ...}, ...}}
    {"tracker": "json_logger", "event": "log", "step": 10, "metrics": {"eval/loss": 3.2, "throughput/total_tokens": 1}}
    {"tracker": "json_logger", "event": "summary", "metrics": {"parameter_count": 123}}
    {"tracker": "json_logger", "event": "finish", "summary": {...}}

Other logs are one flat object a line, ``{"step": 10, "val_loss": 3.2, "tokens": 1e6}``.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.imports.names import STEPS, worded
from analysis.imports.readers.tables import export_of, names_runs
from analysis.imports.records import Log, LoggedRun, Note, Points, flat, foreign, listed_names, number_of

SUFFIXES = (".jsonl", ".ndjson")
_TRACKER = '"json_logger"'
_SAMPLE = 2**20


def is_levanter(path: Path) -> bool:
    """Whether a file has lines of Levanter's JSON logger, among whatever else."""
    lines = _sample(path).splitlines()
    return any(isinstance(_object(line), dict) for line in lines if _TRACKER in line)


def is_json_lines(path: Path) -> bool:
    """Whether a file is a log of Levanter's, or begins with objects one a line."""
    if is_levanter(path):
        return True
    text = _sample(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first.lstrip("\ufeff").startswith("{") and isinstance(_object(first), dict)


def read_json_lines(files: list[Path]) -> Log:
    """The runs of some files, one a file; what was torn by a crash is left out and named."""
    runs, torn = [], []
    levanter = False
    for path in files:
        with foreign(path, "log"):
            lines = path.read_bytes().decode("utf-8", "replace").splitlines()
        rows = [(line, _object(line)) for line in lines if line.strip()]
        read = [row for _, row in rows if isinstance(row, dict)]
        own = [row for row in read if row.get("tracker") == "json_logger"]
        if any(row is None and "{" in line for line, row in rows):
            torn.append(path.name)
        levanter = levanter or bool(own)
        if not own and len(files) == 1 and names_runs(frame := pd.DataFrame([dict(flat(row, "/")) for row in read])):
            return replace(export_of(frame, path), notes=_torn(torn))
        name = path.stem if sum(other.stem == path.stem for other in files) == 1 else f"{path.parent.name}/{path.stem}"
        runs += list(_of_levanter(own, name, str(path))) if own else [_of_rows(read, name, str(path))]
    tool = "Levanter's JSON log" if levanter else "lines of JSON"
    return Log(tool, "one run a file", runs, "file" if not levanter else "trainer.id", "event", notes=_torn(torn))


def _sample(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_SAMPLE).decode("utf-8", "replace")


def _torn(files: list[str]) -> list[Note]:
    return [Note("torn-lines", f"lines that are no JSON are left out: {listed_names(files, 4)}")] if files else []


def _object(line: str) -> Any:
    """The JSON of a line, after whatever a logger put before it; None if there is none."""
    begin = line.find("{")
    try:
        return json.loads(line[begin:]) if begin >= 0 else None
    except (ValueError, RecursionError):
        return None


def _of_levanter(rows: list[dict[str, Any]], name: str, key: str) -> Iterator[LoggedRun]:
    """The runs of the events, each of which begins with its hyperparameters."""
    starts = [at for at, row in enumerate(rows) if row.get("event") == "hparams" and _finished(rows[:at])]
    bounds = [0, *starts, len(rows)]
    for begin, end in pairwise(bounds):
        part = rows[begin:end]
        settings: dict[str, Any] = {}
        series: defaultdict[str, Points] = defaultdict(list)
        for row in part:
            event = str(row.get("event"))
            found = row.get({"hparams": "hparams", "finish": "summary"}.get(event, "metrics"))
            values = dict(flat(found, "." if event == "hparams" else "/")) if isinstance(found, dict) else {}
            step = number_of(row.get("step"))
            if event == "log" and step is not None:
                _append(series, step, values)
            else:
                settings |= values
        own = settings.get("trainer.id")
        state = "finished" if _finished(part) else "running"
        yield LoggedRun(str(own or name), f"{key}:{begin}", state, settings, dict(series))


def _finished(rows: list[dict[str, Any]]) -> bool:
    return bool(rows) and rows[-1].get("event") == "finish"


def _of_rows(rows: list[dict[str, Any]], name: str, key: str) -> LoggedRun:
    """One run of flat objects: those with a step are points of series, the others settings."""
    settings: dict[str, Any] = {}
    series: defaultdict[str, Points] = defaultdict(list)
    for row in rows:
        values = dict(flat(row, "/"))
        step_name = next((own for own in values if worded(own) in STEPS), None)
        step = None if step_name is None else number_of(values[step_name])
        if step is None:
            settings |= values
        else:
            settings |= {k: v for k, v in values.items() if isinstance(v, str)}
            _append(series, step, {k: v for k, v in values.items() if k != step_name})
    return LoggedRun(name, key, None, settings, dict(series))


def _append(series: defaultdict[str, Points], step: float, values: dict[str, Any]) -> None:
    for metric, value in values.items():
        if not isinstance(value, str) and (number := number_of(value)) is not None:
            series[metric].append((step, number))

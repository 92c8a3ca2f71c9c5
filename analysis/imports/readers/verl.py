"""verl: lines that it prints to the console, and the JSON lines of its file logger.

(TaskRunner pid=34) step:2 - actor/kl_loss:0.020 - critic/score/mean:0.891 - response_length/mean:326.241
{"step": 2, "data": {"actor/kl_loss": 0.02, "critic/score/mean": 0.891, "response_length/mean": 326.241}}
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.imports.records import Log, LoggedRun, Note, Points, foreign, listed_names, number_of

SUFFIXES = (".log", ".txt", ".out", ".stdout", ".jsonl")
_SAMPLE = 2**20
_LONGEST_LINE = 200_000
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STEP = re.compile(r"(?:^|\) )step:(\d+) - (.+)$")
# A name may hold colons; the figure is plain, or as numpy prints it.
_METRIC = re.compile(r"^(\S+):(?:np\.\w+\()?([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf))\)?$", re.IGNORECASE)
# Every line of verl has a metric below one of these.
_OWN = ("actor/", "critic/", "response_length/", "val-core/", "val-aux/", "val/", "timing_s/", "training/", "perf/")
_HINTS = dict.fromkeys(("params", "loss"), "`scaling import-runs --as rewards` makes a table of rewards")
Row = tuple[float, dict[str, float]]


def is_verl(path: Path) -> bool:
    """Whether the first lines of a file, of a MiB, have one of verl's."""
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
    return next(_rows(_lines(head)), None) is not None


def read_verl(files: list[Path]) -> Log:
    """The runs of some logs of verl, one a file; a step that was run again counts as it was run last."""
    runs, torn = [], []
    for path in files:
        series: defaultdict[str, Points] = defaultdict(list)
        with foreign(path, "log of verl"):
            lines = list(_lines(path.read_bytes()))
        for step, metrics in _rows(lines):
            for name, value in metrics.items():
                series[name].append((step, value))
        if lines and lines[-1].startswith("{") and _of_json(lines[-1]) is None:
            torn.append(path.name)
        stem = path.stem if sum(other.stem == path.stem for other in files) == 1 else f"{path.parent.name}/{path.stem}"
        runs.append(LoggedRun(stem, str(path), None, {}, dict(series)))
    notes = (
        [Note("torn-lines", f"the last lines, which are torn, are left out: {listed_names(torn, 4)}")] if torn else []
    )
    return Log("verl", "one run a file", runs, "file", hints=_HINTS, notes=notes)


def _lines(content: bytes) -> Iterator[str]:
    for line in content.decode("utf-8", "replace").splitlines():
        if len(line) <= _LONGEST_LINE:
            yield _COLOUR.sub("", line).strip()


def _rows(lines: Iterable[str]) -> Iterator[Row]:
    """Step and metrics of each line that is verl's."""
    for line in lines:
        found = _of_json(line) if line.startswith("{") else _of_console(line)
        if found is not None and any(name.startswith(_OWN) for name in found[1]):
            yield found


def _of_json(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or set(row) != {"step", "data"} or not isinstance(row["data"], dict):
        return None
    step = number_of(row["step"])
    numbers = {str(name): number_of(value) for name, value in row["data"].items() if not isinstance(value, str | bool)}
    return None if step is None else (step, {name: number for name, number in numbers.items() if number is not None})


def _of_console(line: str) -> Row | None:
    found = _STEP.search(line)
    if found is None:
        return None
    parts = (match for part in found[2].split(" - ") if (match := _METRIC.match(part)) is not None)
    return float(found[1]), {part[1]: float(part[2]) for part in parts}

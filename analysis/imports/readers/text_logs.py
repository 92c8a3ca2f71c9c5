"""Text that training scripts print: nanoGPT, modded-nanogpt, llm.c and nanochat.

number of parameters: 10.65M                            nanoGPT
tokens per iteration will be: 491,520
step 250: train loss 1.2000, val loss 1.4000
iter 250: loss 1.3000, time 100.00ms, mfu 30.00%
step:250/1000 val_loss:3.2800 train_time:12345ms        modded-nanogpt
| num_parameters        | 124475904 |                   llm.c
| total_batch_size      | 524288    |
step  250/1000 | loss 3.30 (+0.1z)| norm 0.5 | lr 6.0e-04 | ...
val loss 3.280000
s:250 tel:3.2800                                        llm.c, its main.log
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from analysis.imports.records import Log, LoggedRun, Points, foreign, number_of

SUFFIXES = (".log", ".txt", ".out", ".stdout")
_F = r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|nan|inf)"  # a figure
_AT = r"(?<!\S)"  # perhaps after a time or the number of a process
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_HEADS = tuple(
    (name, re.compile(_AT + pattern, re.IGNORECASE))
    for name, pattern in (
        ("number of parameters", r"number of parameters: *([\d.,]+ ?[kMBT]?)(?!\S)"),
        ("tokens per iteration", r"tokens per iteration will be: *([\d,]+)"),
        ("num_parameters", r"\| *num_parameters *\| *(\d+) *\|"),
        ("total_batch_size (tokens)", r"\| *total_batch_size *\| *(\d+) *\|"),
        ("total batch size (tokens)", r"total batch size ([\d,]+) =>"),
    )
)
_SETTING = re.compile(r"^(?:Overriding: *(\w+) *= *(\S+)$|\| *(\w+) *\| *(\S+) *\|$)")
_OF = r"(?P<step>\d+)/(?P<of>\d+)"
_STEPS = tuple(
    re.compile(_AT + pattern, re.IGNORECASE)
    for pattern in (
        rf"step (?P<step>\d+): train loss (?P<train_loss>{_F}), val loss (?P<val_loss>{_F})",
        rf"iter (?P<step>\d+): loss (?P<loss>{_F})",
        rf"step:{_OF} val_loss:(?P<val_loss>{_F})",
        rf"step:{_OF} (?:train_)?loss:(?P<train_loss>{_F})",
        rf"s:(?P<step>\d+) tel:(?P<val_loss>{_F})",
        rf"s:(?P<step>\d+) trl:(?P<train_loss>{_F})(?: lr:(?P<lr>{_F}))?",
        rf"step +{_OF} \| (?:train )?loss (?P<train_loss>{_F})(?:.*\| lr (?P<lr>{_F}))?",
        rf"step (?P<step>\d+) \| validation bpb: (?P<val_bpb>{_F})",
        rf"step {_OF} \(.*\| loss: (?P<train_loss>{_F})",
    )
)
_ALONE = re.compile(rf"^val loss:? ({_F})$")  # llm.c: of the step printed before
_METRICS = {"train_loss": "train loss", "val_loss": "val loss", "val_bpb": "val bpb", "loss": "iter loss", "lr": "lr"}
_LONGEST_LINE = 1000


class _Run:
    """A run while its lines are read."""

    def __init__(self) -> None:
        self.settings: dict[str, object] = {}
        self.series: defaultdict[str, Points] = defaultdict(list)
        self.step = -1
        self.total: int | None = None

    def logged(self, name: str, step: int, value: str) -> None:
        self.series[name].append((step, float(value)))

    @property
    def state(self) -> str | None:
        """``incomplete`` if it is known how many steps there are and the last one is not among them."""
        if self.total is None:
            return None
        return "finished" if self.step >= self.total else "incomplete"


def is_text_log(path: Path) -> bool:
    """Whether the first lines of a file, or its last ones, are such a log's."""
    with path.open("rb") as file:
        head = file.read(2**20)
    return any(map(_parsed, _lines(head)))


def read_text_logs(files: list[Path]) -> Log:
    """The runs of some text logs, one a file or, where a file's steps begin anew, several."""
    runs: list[LoggedRun] = []
    for path in files:
        with foreign(path, "log"):
            found = _runs(_lines(path.read_bytes()))
        stem = path.stem if sum(other.stem == path.stem for other in files) == 1 else f"{path.parent.name}/{path.stem}"
        for number, run in enumerate(found, 1):
            name = stem if len(found) == 1 else f"{stem}-{number}"
            runs.append(LoggedRun(name, str(path), run.state, run.settings, dict(run.series)))
    return Log("text logs", "one run a file", runs, "file", "the steps printed")


def _parsed(line: str) -> re.Match[str] | None:
    """A line's match if it is one of a step or of the parameters."""
    return next((m for pattern in (*_STEPS, *(p for _, p in _HEADS)) if (m := pattern.search(line))), None)


def _lines(content: bytes) -> Iterator[str]:
    """The lines of a log without what colours them; lines too long to be of a step are left out."""
    for line in content.decode("utf-8", "replace").splitlines():
        if len(line) <= _LONGEST_LINE:
            yield _COLOUR.sub("", line).strip()


def _runs(lines: Iterable[str]) -> list[_Run]:
    run, runs = _Run(), list[_Run]()
    head: dict[str, object] = {}
    for line in lines:
        if (setting := _setting(line)) is not None:
            head |= dict([setting])
        elif (found := next((m for pattern in _STEPS if (m := pattern.search(line))), None)) is not None:
            if head:
                if _begins_anew(run, head, int(found["step"])):
                    runs.append(run)
                    run = _Run()
                run.settings |= head
                head = {}
            _add(run, found)
        elif (alone := _ALONE.match(line)) is not None and run.step >= 0:
            run.logged("val loss", run.step, alone[1])
    run.settings |= head
    return [*runs, run]


def _setting(line: str) -> tuple[str, object] | None:
    """A setting that a line prints: one of those above, or any of the script's own."""
    for name, pattern in _HEADS:
        if (found := pattern.search(line)) is not None:
            return name, number_of(found[1])
    found = _SETTING.match(line)
    return None if found is None else (found[1] or found[3], (found[2] or found[4]).strip("'\""))


def _begins_anew(run: _Run, head: dict[str, object], step: int) -> bool:
    """Whether settings printed after steps are another run's, rather than those of the run that goes on."""
    if run.step < 0:
        return False
    other = any(name in head and head[name] != run.settings.get(name) for name, _ in _HEADS)
    return other or step == 0


def _add(run: _Run, found: re.Match[str]) -> None:
    values = found.groupdict()
    step = int(values["step"])
    if step > 10**15:
        return
    run.step = max(run.step, step) if run.step < 10**15 else step
    if values.get("of"):
        run.total = int(values["of"])
    for key, name in _METRICS.items():
        if values.get(key) is not None:
            run.logged(name, step, values[key])

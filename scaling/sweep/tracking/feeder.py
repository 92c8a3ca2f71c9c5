"""The process that feeds a tracker, ``python -m scaling.sweep.tracking.feeder FOLDER TRACKER``.

It reads what the workers write, whichever machines they are on, until its standard input is closed; then it reads once
more and ends. Of several on one folder only one feeds the tracker; another takes over when that has ended.
"""

import json
import os
import select
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from scaling.quantity import format_quantity
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.run_table import number_or_nan
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks.local import LocalLocks
from scaling.train.config import RunConfig

LOSS, HELD_OUT, SPEED = "loss/train", "loss/held-out", "tokens_per_s"
_LOOK_S = 2.0
_NICENESS = 10


class TrackedRun(Protocol):
    """A run in a tracker of experiments.

    Attributes:
        tokens: of the last values that were added, then or by a process before; 0 if there are none.
        ended: whether nothing more is to be added.
    """

    tokens: int
    ended: bool

    def log(self, tokens: int, values: Mapping[str, float]) -> None:
        """Adds values by name at a number of tokens, which rises from call to call."""

    def end(self, tokens: int, values: Mapping[str, float], well: bool) -> None:
        """Adds the last values, and marks the run as ended, successfully or not."""

    def flush(self) -> None:
        """Writes all added values to the tracker's storage."""


# Opens a run: its folder, hyperparameters, the name of the metric that counts, and the whole config as JSON.
Open = Callable[[Path, Mapping[str, float | str], str, str], TrackedRun]


class Tail:
    """A reader of the rows that are appended to a file of JSON lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows since the last call; an unfinished line waits for the next call, a torn one is skipped."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                whole, _, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return
        if not whole:
            return
        self._read += len(whole) + 1
        for line in whole.splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield row


class RunFeeder:
    """The feeder of one run's rows to a tracker.

    Args:
        sweep: the folder.
        config: the run's.
        role: ``fit`` or ``target``.
        tracked: what the tracker keeps of it.
    """

    def __init__(self, sweep: SweepFolder, config: RunConfig, tracked: TrackedRun) -> None:
        self._config, self._tracked = config, tracked
        self._folder = sweep.run(config.id)
        self._own = Tail(self._folder.path / "metrics.jsonl")
        self._trunk = None if config.trunk is None else Tail(sweep.trunk(config.trunk_id).path / "metrics.jsonl")
        self._before: tuple[int, float] | None = None

    @property
    def ended(self) -> bool:
        return self._tracked.ended

    def look(self) -> None:
        """Adds what is new."""
        status = self._folder.status()  # first: of a run that has ended, all rows are there
        rows = list(self._own.rows())  # before those of the trunk, which come first
        shared = [] if self._trunk is None else list(self._trunk.rows())
        batch = self._config.recipe.batch_tokens
        for row in [*(row for row in shared if row["step"] <= self._config.branch_step), *rows]:
            values = {LOSS: number_or_nan(row.get("loss"))} | self._speed(row)
            if row["step"] * batch > self._tracked.tokens:  # a run that has resumed repeats steps
                self._tracked.log(row["step"] * batch, values)
        if status["state"] in ENDED:
            well = status["state"] == "done"
            last = {HELD_OUT: number_or_nan(status["loss"])} if well else {}
            self._tracked.end(self._config.tokens if well else self._tracked.tokens, last, well)
        else:
            self._tracked.flush()

    def _speed(self, row: dict[str, Any]) -> dict[str, float]:
        """Tokens per second since the previous row."""
        if not isinstance(row.get("seconds"), int | float):
            return {}
        before, self._before = self._before, (row["step"], row["seconds"])
        if before is None or row["step"] <= before[0] or row["seconds"] <= before[1]:
            return {}
        tokens = (row["step"] - before[0]) * self._config.recipe.batch_tokens
        return {SPEED: tokens / (row["seconds"] - before[1])}


class SweepFeeder:
    """The feeder of a sweep's runs to a tracker, each from its beginning.

    Args:
        sweep: the folder.
        base: the tracker's folder.
        opened: opens what the tracker keeps of a run.
    """

    def __init__(self, sweep: SweepFolder, base: Path, opened: Open) -> None:
        self._sweep, self._base, self._open = sweep, base, opened
        self._feeders: dict[str, RunFeeder] = {}

    def look(self) -> None:
        """Adds what is new."""
        for role in ("fit", "target"):
            for run_id in self._sweep.runs(role):
                if run_id not in self._feeders and self._sweep.run(run_id).status()["state"] != "planned":
                    self._feeders[run_id] = self._feeder(run_id, role)
        for feeder in self._feeders.values():
            if not feeder.ended:
                feeder.look()

    def _feeder(self, run_id: str, role: str) -> RunFeeder:
        config = self._sweep.run(run_id).pretraining()
        name = f"{format_quantity(config.params)}-{format_quantity(config.tokens)}-{config.id}"
        tracked = self._open(self._base / role / name, _hyperparameters(config, role), HELD_OUT, config.to_json())
        return RunFeeder(self._sweep, config, tracked)


def _hyperparameters(config: RunConfig, role: str) -> dict[str, float | str]:
    model, recipe = config.model, config.recipe
    return {
        "role": role,
        "params": config.params,
        "tokens": config.tokens,
        "flops": float(config.flops),
        **{name: value for name, value in asdict(model).items() if isinstance(value, int)},
        "learning_rate": recipe.rates.matrix,
        "batch_tokens": recipe.batch_tokens,
        "schedule": recipe.schedule.kind,
        "weight_decay": recipe.weight_decay,
        "seed": config.seed,
    }


def opener(tracker: str) -> Open:
    """The function that opens runs of a tracker, by the tracker's name; ImportError if it is not installed."""
    assert tracker == "tensorboard"
    from scaling.sweep.tracking.tensorboard import TensorBoardRun

    return TensorBoardRun


def main(folder: str, tracker: str) -> None:
    """Feeds a tracker from a sweep's folder until standard input is closed."""
    os.nice(_NICENESS)
    sweep, opened = SweepFolder(Path(folder)), opener(tracker)
    base = sweep.path / tracker
    base.mkdir(exist_ok=True)
    feeder = SweepFeeder(sweep, base, opened)
    with ExitStack() as held:
        mine = last = False
        while not last:
            last = bool(select.select([sys.stdin], [], [], _LOOK_S)[0])
            mine = mine or held.enter_context(LocalLocks().locked(base / "lock"))
            if mine:
                feeder.look()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:  # of any tracker: the parent reports the last line
        print(f"{type(error).__name__}: {error}".replace("\n", " "), file=sys.stderr, flush=True)
        os._exit(1)  # files that cannot be written say so once more when they are closed

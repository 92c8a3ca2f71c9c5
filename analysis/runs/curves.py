"""Loss curves of runs, and the learning-rate schedules that they followed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.errors import InputError
from analysis.runs.filter import check_columns, closest, columns_of, select
from analysis.runs.readers import read_columns
from analysis.runs.schema import ALIASES, NUMBERS, TEXTS

_NAMES = {
    "run_id": ("run", "curve", "schedule_id"),
    "step": ("steps", "iter", "iteration", "global_step"),
    "lr": ("learning_rate",),
    "loss": (*ALIASES["loss"], "train_loss", "training_loss"),
    "tokens": ALIASES["tokens"],
    "params": ALIASES["params"],
}
_REBUILT_POINTS = 400
_MOST_POINTS = 2000  # of a logged schedule


@dataclass(frozen=True)
class LoggedSchedule:
    """A learning rate over a run's steps, linear between the points given and constant before the first.

    Attributes:
        step: increasing, from 0 or later.
        rate: the learning rate there.
    """

    step: Float[np.ndarray, " points"]
    rate: Float[np.ndarray, " points"]

    def __post_init__(self) -> None:
        if len(self.step) < 2 or not (np.isfinite(self.step).all() and np.isfinite(self.rate).all()):
            raise InputError("a schedule needs two finite (step, learning rate) or more")
        if self.step[0] < 0 or (np.diff(self.step) <= 0).any() or (self.rate < 0).any() or not self.rate.any():
            raise InputError("a schedule's steps must increase from 0 or later, and its rates be positive or 0")

    @classmethod
    def wsd(cls, peak: float, steps: float, warmup: float, decay: float, final: float = 0.0) -> "LoggedSchedule":
        """A WSD schedule: warm-up, stable, then linear over the last share ``decay`` to ``final`` times the peak
        (2405.18392)."""
        done = np.unique(np.concatenate([np.linspace(0.0, 1.0, _REBUILT_POINTS), [warmup, 1 - decay]]))
        left = np.clip((1 - done) / max(decay, 1e-9), 0.0, 1.0)
        return cls(done * steps, peak * _rise(done, warmup) * (final + (1 - final) * left))

    @classmethod
    def cosine(cls, peak: float, steps: float, warmup: float, final: float = 0.0) -> "LoggedSchedule":
        """A cosine schedule: warm-up, then half a cosine down to ``final`` times the peak."""
        done = np.unique(np.concatenate([np.linspace(0.0, 1.0, _REBUILT_POINTS), [warmup]]))
        left = 0.5 * (1 + np.cos(np.pi * np.clip((done - warmup) / (1 - warmup), 0.0, 1.0)))
        return cls(done * steps, peak * _rise(done, warmup) * (final + (1 - final) * left))

    @cached_property
    def warm(self) -> float:
        """The step at which the rate first stops rising."""
        rises = np.diff(self.rate) > 0
        return float(self.step[len(rises) if rises.all() else int(np.argmin(rises))])

    @cached_property
    def _work(self) -> Float[np.ndarray, " points"]:
        pieces = np.diff(self.step) * (self.rate[1:] + self.rate[:-1]) / 2
        first: Float[np.ndarray, " points"] = self.step[0] * self.rate[0] + np.concatenate([[0.0], np.cumsum(pieces)])
        return first

    def rate_at(self, step: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
        """Learning rate at some steps."""
        return np.interp(step, self.step, self.rate)

    def work_at(self, step: Float[np.ndarray, " steps"]) -> Float[np.ndarray, " steps"]:
        """Sum of the learning rates of all steps up to some steps."""
        index = np.clip(np.searchsorted(self.step, step, side="right") - 1, 0, len(self.step) - 1)
        ahead = step - self.step[index]
        work: Float[np.ndarray, " steps"] = self._work[index] + ahead * (self.rate[index] + self.rate_at(step)) / 2
        return work


@dataclass(frozen=True)
class Curve:
    """The loss curve of one run.

    Attributes:
        run_id: of the run.
        schedule: of its learning rate.
        step: of each row.
        loss: nats per token.
    """

    run_id: str
    schedule: LoggedSchedule
    step: Float[np.ndarray, " rows"]
    loss: Float[np.ndarray, " rows"]

    def settled(self) -> "Curve":
        """The curve after warm-up."""
        keep = (self.step >= self.schedule.warm) & (self.step > 0)
        return Curve(self.run_id, self.schedule, self.step[keep], self.loss[keep])

    def averaged(self, most: int) -> "Curve":
        """The curve in at most some number of rows: means over even parts of its logged rows."""
        if len(self.step) <= most:
            return self
        part = np.arange(len(self.step)) * most // len(self.step)
        count = np.bincount(part)
        mean = [np.bincount(part, values) / count for values in (self.step, self.loss)]
        return Curve(self.run_id, self.schedule, mean[0], mean[1])


@dataclass(frozen=True)
class CurveTable:
    """Curves of one model, and their source.

    Attributes:
        curves: one per run, sorted by run id.
        source: the file or folder.
    """

    curves: tuple[Curve, ...]
    source: str

    def hash(self) -> str:
        """SHA-256 over the rows: run, step, learning rate and loss."""
        digest = hashlib.sha256()
        for curve in self.curves:
            digest.update(f"{curve.run_id}\n".encode())
            for values in (curve.step, curve.schedule.rate_at(curve.step), curve.loss):
                digest.update(np.ascontiguousarray(values, np.float64).tobytes())
        return digest.hexdigest()


def read_curves(path: str | Path, columns: Mapping[str, str] | None = None, where: str | None = None) -> CurveTable:
    """Reads loss curves: a CSV, JSON, Parquet or Excel file of ``run_id step lr loss``, or a sweep's folder.

    Without a column of learning rates, each run's schedule is rebuilt from its row in ``runs.parquet`` next to the
    curves: peak ``lr``, ``warmup_tokens``, then ``wsd`` or ``cosine`` down to 0; steps are tokens / ``batch_tokens``.

    Args:
        path: the file, or the folder that holds ``curves.parquet``.
        columns: the schema's name -> the file's name, where the aliases do not suffice.
        where: a filter on the columns of the curves, and of the runs where they are known.

    Raises:
        InputError: one line per error; also for curves of several models, whose losses one law cannot share.
    """
    path = Path(path)
    path = path / "curves.parquet" if path.is_dir() else path
    source = str(path)
    wanted = {*_NAMES, *(n for names in _NAMES.values() for n in names), *(columns or {}).values()}
    frame = _renamed(read_columns(path, wanted | (columns_of(where) if where else set())), source, columns)
    runs = path.with_name("runs.parquet")
    if runs.is_file() and "run_id" in frame:
        frame = _joined(frame, read_columns(runs, {*NUMBERS, *TEXTS}))
    known = frame.attrs["known"]
    if errors := [
        name for name in ("step", "lr", "loss") if name not in frame and not ("peak" in frame and name != "loss")
    ]:
        raise InputError(
            f"{source}: no column {name!r}{closest(name, known)}; choose with `columns` {name}=..." for name in errors
        )
    if "run_id" not in frame:
        frame["run_id"] = "run"
    frame = _numeric(frame, source)
    if where is not None:
        frame = frame[select(frame, where)]
        if frame.empty:
            raise InputError(f"{source}: no row meets `where` {where!r}")
    for column in ("params", "corpus"):
        values = frame[column].dropna().unique() if column in frame else ()
        if len(values) > 1:
            listed = ", ".join(str(value) for value in values[:4])
            raise InputError(
                f"{source}: curves of {len(values)} {column} ({listed}): the law is of one model on one corpus; "
                f'choose with `where` "{column} == ..."'
            )
    groups = frame.groupby("run_id", sort=True)
    return CurveTable(tuple(_curve(str(name), rows, source) for name, rows in groups), source)


def _renamed(frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """A frame of curves with the schema's names of its columns."""
    check_columns(columns, _NAMES, "curves", frame, source)
    for name, own in (columns or {}).items():
        frame[name] = frame[own]
    lowered = {str(own).lower(): own for own in frame.columns}
    for name, aliases in _NAMES.items():
        found = [lowered[alias] for alias in (name, *aliases) if alias in lowered]
        if name not in frame and found:
            frame[name] = frame[found[0]]
    return frame


def _joined(curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of curves joined with the rows of their runs; without learning rates, the step follows from ``tokens``."""
    facts = runs.rename(columns={"tokens": "run_tokens", "lr": "peak"})
    rebuilt = "lr" not in curves and {"peak", "run_tokens", "warmup_tokens", "schedule", "batch_tokens"} <= set(facts)
    facts = facts.drop(columns=[c for c in facts if c in curves and c != "run_id"])
    joined = curves.merge(facts if rebuilt else facts.drop(columns="peak"), on="run_id", how="left")
    if rebuilt and "tokens" in curves:
        joined["step"] = joined["tokens"] / joined["batch_tokens"]
    joined.index = curves.index
    joined.attrs = curves.attrs
    return joined


def _numeric(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    errors = []
    for name in [n for n in ("step", "lr", "loss") if n in frame]:
        values = pd.to_numeric(frame[name], errors="coerce").astype("float64")
        bad = ~(np.isfinite(values) & (values > 0 if name == "loss" else values >= 0))
        errors += [
            f"{source}:{row}: column {name!r}: {value!r} is not a {'positive ' if name == 'loss' else ''}number"
            for row, value in frame[name][bad].head(5).items()
        ]
        frame[name] = values
    if errors:
        raise InputError(errors)
    return frame


def _curve(run_id: str, rows: pd.DataFrame, source: str) -> Curve:
    rows = rows.drop_duplicates("step", keep="last").sort_values("step")
    if len(rows) < 2:
        raise InputError(f"{source}: run {run_id!r} has {len(rows)} row: a curve needs several steps")
    step = rows["step"].to_numpy()
    if "peak" in rows:
        run = rows.iloc[0]
        if run["schedule"] not in ("wsd", "cosine"):
            raise InputError(f"{source}: run {run_id!r}: no learning rates, and no known schedule to rebuild them by")
        steps, warmup = run["run_tokens"] / run["batch_tokens"], run["warmup_tokens"] / run["run_tokens"]
        if run["schedule"] == "wsd":
            schedule = LoggedSchedule.wsd(run["peak"], steps, warmup, run["decay_fraction"])
        else:
            schedule = LoggedSchedule.cosine(run["peak"], steps, warmup)
    else:
        chosen = np.unique(np.linspace(0, len(step) - 1, _MOST_POINTS).round().astype(int))
        schedule = LoggedSchedule(step[chosen], rows["lr"].to_numpy()[chosen])
    return Curve(run_id, schedule, step, rows["loss"].to_numpy())


def _rise(done: Float[np.ndarray, " points"], warmup: float) -> Float[np.ndarray, " points"]:
    rise: Float[np.ndarray, " points"] = np.minimum(1.0, done / max(warmup, 1e-9))
    return rise

"""What a fit of a law of reinforcement learning reports, and when its forecasts are refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.result import Result
from analysis.rewards.rl_curves import RlCurve
from analysis.stats import central_interval

CUTS = (0.25, 0.5)  # of each run's length: what lies before is fitted, what lies behind is forecast
_FEWEST_BEFORE = 6  # rows of all runs before a cut
_LAST = 3  # rows whose mean is the naive forecast
_BLOCKS = 10  # of each run, where there are too few runs to resample
_EXPLAINED = 0.5  # share of a curve's variance that a rising curve must explain


@dataclass(frozen=True)
class WithinRun:
    """A backtest within the runs: each is cut, the law is fitted to what lies before and forecasts what lies behind.

    Attributes:
        error: root-mean-square error of the forecasts.
        naive: of the naive forecast, the mean of the last three rows before the cut.
        rows: forecast rows, over all cuts.
    """

    error: float
    naive: float
    rows: int

    def to_dict(self) -> dict[str, float]:
        return {"error": self.error, "naive": self.naive, "rows": self.rows}


@dataclass(frozen=True, eq=False)
class RlFit(Result):
    """A fitted law of reinforcement learning.

    Attributes:
        law: its name.
        formula: for people.
        source: the paper.
        params: constants by name.
        intervals: 90 % intervals by name, from resampled runs; None where nothing was resampled.
        residual: root-mean-square residual, in ``unit``.
        unit: of the residual and of the backtest.
        n_runs: runs fitted.
        rows: rows fitted.
        resampled: what was resampled: ``runs``, or ``parts of runs`` where there are fewer than three.
        table: of what columns, and of what it was read.
        table_hash: SHA-256 of the rows.
        backtest: forecasts within the runs; None where they are too short to be cut.
        refused: why the law's forecasts are refused; empty where they are not.
        notes: further warnings.
        value: (x, parameters of the policy or None) -> the expected value.
    """

    law: str
    formula: str
    source: str
    params: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float] | None]
    residual: float
    unit: str
    n_runs: int
    rows: int
    resampled: str
    table: str
    table_hash: str
    backtest: WithinRun | None
    refused: tuple[Diagnostic, ...]
    notes: tuple[Diagnostic, ...]
    value: Callable[[Float[np.ndarray, " rows"], float | None], Float[np.ndarray, " rows"]] = field(repr=False)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:  # type: ignore[override]
        """Why forecasts are refused, and what else limits the fit."""
        return (*self.refused, *self.notes)

    def predict(self, x: float, params: float | None = None) -> float:
        """The value at some FLOPs or steps.

        Args:
            x: in the table's own unit.
            params: of the policy, for laws over sizes.

        Raises:
            InputError: the forecast is refused.
        """
        if self.refused:
            raise InputError(f"{self.law}: {each.message}" for each in self.refused)
        return float(self.value(np.array([x]), params)[0])

    def __str__(self) -> str:
        lines = [f"{self.law}: {self.formula}    ({self.source})"]
        for name, value in self.params.items():
            ends = self.intervals[name]
            spread = "" if ends is None else f" 90 %: {ends[0]:.4g} to {ends[1]:.4g}"
            lines.append(f"{name:<11} {value:<12.5g}{spread}".rstrip())
        lines.append(f"residual    {self.residual:.4g} {self.unit}")
        if self.backtest is not None:
            tested = self.backtest
            lines.append(
                f"backtest    {tested.error:.4g} {self.unit}, last value {tested.naive:.4g}, {tested.rows} rows"
            )
        lines.append(f"forecasts   {'refused' if self.refused else 'given'}")
        lines.append(f"runs        {self.n_runs}, {self.rows} rows    {self.table}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling fit --law`` with a law of reinforcement learning."""
        return {
            "law": self.law,
            "params": dict(self.params),
            "intervals": {name: None if ends is None else list(ends) for name, ends in self.intervals.items()},
            "level": 0.9,
            "residual": self.residual,
            "unit": self.unit,
            "n_runs": self.n_runs,
            "rows": self.rows,
            "resampled": self.resampled,
            "backtest": None if self.backtest is None else self.backtest.to_dict(),
            "refused": [each.code for each in self.refused],
            "warnings": [warning.to_dict() for warning in self.warnings],
            "convention": self.table,
            "table_hash": self.table_hash,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a constant: ``value``, ``low``, ``high``."""
        ends = {name: each or (np.nan, np.nan) for name, each in self.intervals.items()}
        rows = [
            {"parameter": name, "value": v, "low": ends[name][0], "high": ends[name][1]}
            for name, v in self.params.items()
        ]
        return pd.DataFrame(rows).set_index("parameter")


def clusters_of(curves: Sequence[RlCurve]) -> tuple[Int[np.ndarray, " rows"], str]:
    """What is resampled together: runs, or of fewer than three runs ten parts of each, in the order of the rows."""
    lengths = [len(curve.x) for curve in curves]
    if len(curves) >= 3:
        return np.repeat(np.arange(len(curves)), lengths), "runs"
    parts = [np.arange(length) * _BLOCKS // length + _BLOCKS * at for at, length in enumerate(lengths)]
    return np.unique(np.concatenate(parts), return_inverse=True)[1].astype(np.int64), "parts of runs"


def intervals_of(draws: Mapping[str, Float[np.ndarray, " draws"]]) -> dict[str, tuple[float, float] | None]:
    """The central 90 % of the draws of each constant; None without draws, or with one that is not finite."""
    made: dict[str, tuple[float, float] | None] = {}
    for name, values in draws.items():
        made[name] = None
        if len(values) and np.isfinite(values).all():
            low, high = central_interval(values)
            made[name] = float(low), float(high)
    return made


def not_rising(curves: Sequence[RlCurve], what: str) -> tuple[Diagnostic, ...]:
    """A reason to refuse where the curves do not rise: no rising curve explains half of their variance."""
    left = total = 0.0
    for curve in curves:
        if len(curve.x) > 1:
            left += float(np.sum((isotonic_regression(curve.value).x - curve.value) ** 2))
            total += float(np.sum((curve.value - curve.value.mean()) ** 2))
    if total > 0 and left <= (1 - _EXPLAINED) * total:
        return ()
    share = 0.0 if total == 0 else 1 - left / total
    message = (
        f"{what} does not rise along the runs: a rising curve explains {share:.0%} of its variance, and this law only "
        "knows curves that rise"
    )
    return (Diagnostic("not-monotone", message),)


def within_runs(
    curves: Sequence[RlCurve],
    forecast: Callable[[Sequence[RlCurve], Sequence[RlCurve]], tuple[Sequence[Float[np.ndarray, " _"]], ...] | None],
) -> WithinRun | None:
    """Forecasts of the runs' later parts from their earlier ones.

    Args:
        curves: of the runs.
        forecast: (the parts before a cut, the parts behind it) -> (forecast, actual, naive) rows of each run; None
            where the first part cannot be fitted.
    """
    errors: list[np.ndarray] = []
    naive: list[np.ndarray] = []
    for cut in CUTS:
        pairs = [(c.before(cut * float(c.x[-1])), c) for c in curves if len(c.x) > 1]
        pairs = [(before, whole) for before, whole in pairs if 1 < len(before.x) < len(whole.x)]
        if sum(len(before.x) for before, _ in pairs) < _FEWEST_BEFORE:
            continue
        behind = [RlCurve(w.run_id, w.params, w.x[len(before.x) :], w.value[len(before.x) :]) for before, w in pairs]
        found = forecast([before for before, _ in pairs], behind)
        if found is not None:
            predicted, actual, last = (np.concatenate(list(each)) for each in found)
            errors.append(predicted - actual)
            naive.append(last - actual)
    if not errors:
        return None
    off, stay = np.concatenate(errors), np.concatenate(naive)
    return WithinRun(float(np.sqrt(np.mean(off**2))), float(np.sqrt(np.mean(stay**2))), len(off))


def last_value(curve: RlCurve) -> float:
    """The naive forecast: the mean of a curve's last three rows."""
    return float(curve.value[-_LAST:].mean())


def untested(backtest: WithinRun | None, unit: str) -> tuple[Diagnostic, ...]:
    """A reason to refuse where the naive forecast misses less, or where nothing could be tested."""
    if backtest is None:
        line = "the runs are too short to be cut, so no forecast within them could be tested"
        return (Diagnostic("naive-better", line),)
    if backtest.error < backtest.naive:
        return ()
    line = (
        f"within the runs its forecasts miss by {backtest.error:.3g} {unit}, and the last value by "
        f"{backtest.naive:.3g}: the naive forecast is better"
    )
    return (Diagnostic("naive-better", line),)

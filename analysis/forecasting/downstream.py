"""Downstream: the accuracy of a task at a run that has not been made.

Two steps, (N, D) -> loss by the laws and loss -> accuracy by a link; or one, from compute to accuracy. Rolling-origin
folds within the fitted runs judge them: law and links are fitted to the low-compute runs and forecast the high-compute
ones. Forecasts are combined with weights inverse to their mean square error (Bates & Granger 1969), because the form
with the least error nearby may be the one that runs away.

Many tasks do not scale predictably: they stay at chance, or move by more than they rise. The same folds show it: a task
is forecast only if the mean square error is less than half of the naive forecast's, which is the mean accuracy of the
highest-compute runs; that is, if most of the variation left to predict was predicted.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import fit_arrays
from analysis.forecasting.accuracy_links import LINKS, fit_link
from analysis.forecasting.ensemble import AUTO, ensemble_of_arrays
from analysis.forecasting.text import task_text
from analysis.laws import LAWS, Inputs, Law
from analysis.result import Result
from analysis.runs.arrays import RunArrays, inputs_at, usual_flops
from analysis.runs.table import RunTable

_FEWEST = 12  # runs: eight to fit the forms with, and four to hold out
_LARGEST = 3  # runs whose mean is the naive forecast
_SPLITS = 8
_NEAREST = np.log(4.0)  # a reach that every backtest covers
_EXACT = 1e-6  # an accuracy is not known better


@dataclass(frozen=True)
class TaskForecast(Result):
    """The accuracy that a run is expected to reach.

    Attributes:
        task: the column.
        accuracy: between 0 and 1.
        interval: of one run's accuracy.
        level: the probability that the interval holds it.
        method: the link with the largest weight, a name in ``analysis.forecasting.accuracy_links.LINKS``.
        weights: of each link, together 1.
        backtest_error: root-mean-square error of the weighted forecast on held-out high-compute runs, in accuracy.
        naive_error: the same of the naive forecast.
        methods: the same of each link alone.
        extrapolation: target FLOPs / largest fitted FLOPs.
        loss: forecast of the target's loss, in the units of its column.
        task_loss: the column of that loss.
        params: of the target, counted as in the table.
        tokens: of the target.
        flops: of the target.
        n_runs: runs fitted.
        warnings: in words and codes.
        source: the table's file.
        table_hash: of the fitted rows.
    """

    task: str
    accuracy: float
    interval: tuple[float, float]
    level: float
    method: str
    weights: Mapping[str, float]
    backtest_error: float
    naive_error: float
    methods: Mapping[str, float]
    extrapolation: float
    loss: float
    task_loss: str
    params: float
    tokens: float
    flops: float
    n_runs: int
    warnings: tuple[Diagnostic, ...]
    source: str
    table_hash: str

    def to_dict(self) -> dict[str, object]:
        """The JSON object of ``scaling predict --task``."""
        return {**asdict(self), "interval": list(self.interval), "warnings": [w.to_dict() for w in self.warnings]}

    def __str__(self) -> str:
        return task_text(self)

    def to_frame(self) -> pd.DataFrame:
        """One row: the target, its accuracy and interval."""
        return pd.DataFrame(
            {
                "task": [self.task],
                "params": [self.params],
                "tokens": [self.tokens],
                "flops": [self.flops],
                "accuracy": [self.accuracy],
                "low": [self.interval[0]],
                "high": [self.interval[1]],
                "level": [self.level],
                "extrapolation": [self.extrapolation],
            }
        )


@dataclass(frozen=True)
class TestedLinks:
    """The errors of the links on runs of more compute than those they were fitted to, over all folds.

    Attributes:
        errors: root-mean-square error of each link, in accuracy.
        weights: of each link, together 1, inverse to its mean square error.
        error: root-mean-square error of the weighted forecast.
        naive: of the naive forecast.
        reach: root-mean-square of log(FLOPs of a held-out run / largest fitted FLOPs).
        runs: how many different runs were held out.
    """

    errors: Mapping[str, float]
    weights: Mapping[str, float]
    error: float
    naive: float
    reach: float
    runs: int

    @property
    def predictable(self) -> bool:
        """Whether the forecast removes more than half of the naive forecast's mean square error."""
        return self.error**2 < self.naive**2 / 2

    @property
    def errors_text(self) -> str:
        """Both errors in words."""
        return (
            f"on high-compute fitted runs its forecast misses by {self.error:.3f} of accuracy, and the mean of the "
            f"largest fitted runs by {self.naive:.3f}"
        )


def forecast_task(
    table: RunTable,
    task: str,
    params: float,
    tokens: float,
    flops: float | None = None,
    task_loss: str = "loss",
    level: float = 0.9,
) -> TaskForecast:
    """Forecasts a task's accuracy at a run that has not been made.

    Args:
        table: the runs to learn from, read with ``task`` and ``task_loss`` as extra columns.
        task: the column of accuracies, between 0 and 1; rows without one are left out.
        params: of the target, counted as in the table.
        tokens: of the target.
        flops: of the target; by default what runs of its size need per parameter and token.
        task_loss: the column of the loss that the accuracy is taken to follow.
        level: of the interval.

    Raises:
        InputError: for columns that hold no accuracies or losses, too few runs, or a task that does not scale
            predictably, with its backtest error.
    """
    if not (0 < params < np.inf and 0 < tokens < np.inf and 0 < level < 1):
        raise InputError("params and tokens must be positive, and the interval's level between 0 and 1")
    runs, accuracy = _rows(table, task, task_loss)
    flops = float(usual_flops(runs.inputs, params, tokens) if flops is None else flops)
    target = inputs_at(params, tokens, flops)
    reach = float(target.c[0] - runs.inputs.c.max())
    if (refusal := fit_checks.out_of_reach(runs.inputs, float(target.c[0]))) is not None:
        raise InputError(f"{table.source}: {refusal}")
    fitted = ensemble_of_arrays(runs, AUTO, 0)
    tested = backtest_task(runs, accuracy, LAWS[fitted.leader.law], reach)
    if not tested.predictable:
        raise InputError(f"{task} does not scale predictably: {tested.errors_text}")
    loss = fitted.expect(target)
    value, half = _combined(runs, accuracy, tested, target, loss, level)
    return TaskForecast(
        task=task,
        accuracy=value,
        interval=(max(0.0, value - half), min(1.0, value + half)),
        level=level,
        method=max(tested.weights, key=lambda name: tested.weights[name]),
        weights=tested.weights,
        backtest_error=tested.error,
        naive_error=tested.naive,
        methods=tested.errors,
        extrapolation=float(np.exp(reach)),
        loss=float(loss[0]),
        task_loss=task_loss,
        params=float(params),
        tokens=float(tokens),
        flops=flops,
        n_runs=len(runs),
        warnings=(*checks.check_table(table), *fit_checks.check_target(runs, target, tested.reach)),
        source=table.source,
        table_hash=table.hash(),
    )


def _combined(
    runs: RunArrays,
    accuracy: Float[np.ndarray, " rows"],
    tested: TestedLinks,
    target: Inputs,
    loss: Float[np.ndarray, " 1"],
    level: float,
) -> tuple[float, float]:
    """The weighted accuracy of all links at the target, and half the width of its interval."""
    fits = [fit_link(link, np.exp(runs.log_loss), runs.inputs.c, accuracy) for link in LINKS]
    values = np.array([fit.predict(loss, target.c)[0] for fit in fits])
    weights = np.array([tested.weights[link.name] for link in LINKS])
    value = float(weights @ values)
    # A link's error grows with the reach, and beyond the tested reach the links disagree.
    reach = float(target.c[0] - runs.inputs.c.max())
    error = np.array([tested.errors[link.name] for link in LINKS]) * max(1.0, reach / tested.reach)
    spread = float(np.sqrt(weights @ (error**2 + (values - value) ** 2)))
    return value, float(stats.t.ppf((1 + level) / 2, tested.runs - 1)) * spread


def backtest_task(runs: RunArrays, accuracy: Float[np.ndarray, " rows"], law: Law[Inputs], reach: float) -> TestedLinks:
    """Errors of every link on high-compute runs, when law and link are fitted to the low-compute ones: up to 8 folds.

    Args:
        runs: their loss is the one that the accuracy follows.
        accuracy: of each.
        law: of the loss, in place of the whole ensemble: its error is small beside the links'.
        reach: the requested log(FLOPs / largest fitted FLOPs); runs further off are not scored, as a task at chance
            shows nothing of what it does much later.

    Raises:
        InputError: if the runs do not suffice.
    """
    errors, naive, reaches = [], [], []
    held_out = np.zeros(len(runs), bool)
    for origin in _origins(runs, len(law.names) + 2):
        below = runs.budget <= origin
        fitted = runs.subset(below)
        ahead = runs.inputs.c - fitted.inputs.c.max()
        near = ~below & (ahead <= max(reach, _NEAREST))
        tested = runs.subset(near)
        loss = fit_arrays(fitted, law).predict(tested.inputs)
        found = [fit_link(link, np.exp(fitted.log_loss), fitted.inputs.c, accuracy[below]) for link in LINKS]
        errors.append(np.stack([link.predict(loss, tested.inputs.c) for link in found]) - accuracy[near])
        largest = np.argsort(fitted.inputs.c, kind="stable")[-_LARGEST:]
        naive.append(accuracy[below][largest].mean() - accuracy[near])
        reaches.append(ahead[near])
        held_out |= near
    every = np.concatenate(errors, axis=1)
    by_link = np.sqrt(np.mean(every**2, axis=1))
    weights = 1 / np.maximum(by_link, _EXACT) ** 2
    weights /= weights.sum()
    names = [link.name for link in LINKS]
    return TestedLinks(
        errors=dict(zip(names, by_link.tolist(), strict=True)),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        error=_root_mean_square(weights @ every),
        naive=_root_mean_square(np.concatenate(naive)),
        reach=_root_mean_square(np.concatenate(reaches)),
        runs=int(held_out.sum()),
    )


def _rows(table: RunTable, task: str, task_loss: str) -> tuple[RunArrays, Float[np.ndarray, " rows"]]:
    """The rows that have an accuracy and a loss."""
    rows = table.fit
    rows = rows[rows[task].notna() & rows[task_loss].notna()]
    errors = []
    outside = rows[task][~rows[task].between(0.0, 1.0)]
    if len(outside):
        errors.append(
            f"{table.source}:{outside.index[0]}: column {task!r}: {outside.iloc[0]:g} is no accuracy between 0 and 1"
        )
    below = rows[task_loss][~(rows[task_loss] > 0)]
    if len(below):
        errors.append(
            f"{table.source}:{below.index[0]}: column {task_loss!r}: {below.iloc[0]:g} is not a positive number"
        )
    if not errors and len(rows) < _FEWEST:
        errors.append(f"{table.source}: {len(rows)} runs with {task!r} are too few to forecast it: {_FEWEST} or more")
    if errors:
        raise InputError(errors)
    return RunArrays.of(rows.assign(loss=rows[task_loss])), rows[task].to_numpy()


def _origins(runs: RunArrays, fewest: int) -> list[int]:
    """The highest budget that each fold fits: half of the runs or more lie at or below it, three or more above."""
    count = np.array([int((runs.budget <= number).sum()) for number in range(int(runs.budget.max()))])
    enough = np.flatnonzero((count >= max(8, fewest, len(runs) / 2)) & (len(runs) - count >= 3))
    if not len(enough):
        raise InputError(
            "the runs have too few FLOP budgets: a task's forecast is tested on high-compute runs that are held out"
        )
    places = np.unique(np.linspace(0, len(enough) - 1, _SPLITS).round().astype(int))
    return [int(number) for number in enough[places]]


def _root_mean_square(values: Float[np.ndarray, " values"]) -> float:
    return float(np.sqrt(np.mean(values**2)))

"""Downstream: the accuracy of a task at a run that has not been made.

Two steps, (N, D) -> loss by the laws and loss -> accuracy by a link; or one, from compute to accuracy. The backtest
inside the fitted runs judges them: fit all of it on the cheaper runs, forecast the dearer. Forecasts are combined with
weights inverse to their mean square miss (Bates & Granger 1969), because the form that missed least nearby may be the
one that runs away.

Many tasks do not scale predictably: they stay at chance, or move by more than they rise. The same backtest tells: a
task is forecast only if the mean square miss is less than half of what the naive forecast misses, the mean accuracy of
the dearest runs, which is to say if more of what was left to predict was foreseen than was not.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from analysis.diagnostics import checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import fit_arrays
from analysis.forecasting.accuracy_links import LINKS, fit_link
from analysis.forecasting.ensemble import AUTO, ensemble_of_arrays
from analysis.forecasting.text import task_text
from analysis.laws import LAWS, Inputs, Law
from analysis.result import Result
from analysis.runs.arrays import RunArrays, inputs_at, training_cost
from analysis.runs.table import RunTable

_FEWEST = 12  # runs: eight to fit the forms with, and four to hold out
_DEAREST = 3  # runs whose mean is the naive forecast
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
        weights: each link's share.
        backtest_error: root-mean-square miss of the weighted forecast on dearer fitted runs, in accuracy.
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
class Tested:
    """What the links missed on runs dearer than those they were fitted on, over all splits.

    Attributes:
        errors: root-mean-square miss of each link.
        weights: the share that follows for each.
        error: root-mean-square miss of the weighted forecast.
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
        """Whether more of what the naive forecast misses was foreseen than was not."""
        return self.error**2 < self.naive**2 / 2


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
    points, accuracy = _rows(table, task, task_loss)
    if flops is None:
        flops = params * tokens * float(training_cost(points.inputs, np.log([params]))[0])
    target = inputs_at(params, tokens, flops)
    reach = float(target.c[0] - points.inputs.c.max())
    if (refusal := checks.absurd(points.inputs, float(target.c[0]))) is not None:
        raise InputError(f"{table.source}: {refusal}")
    together = ensemble_of_arrays(points, AUTO, 0)
    tested = backtest_task(points, accuracy, LAWS[together.leader.law], reach)
    if not tested.predictable:
        raise InputError(
            f"{task} does not scale predictably: on dearer fitted runs its forecast misses by {tested.error:.3f} of "
            f"accuracy, and repeating the mean of the dearest fitted runs by {tested.naive:.3f}"
        )
    loss = together.expect(target)
    values = np.array(
        [
            fit_link(link, np.exp(points.log_loss), points.inputs.c, accuracy).predict(loss, target.c)[0]
            for link in LINKS
        ]
    )
    weights = np.array([tested.weights[link.name] for link in LINKS])
    value = float(weights @ values)
    # A link's miss grows with the reach, and beyond what was tested the links disagree.
    missed = np.array([tested.errors[link.name] for link in LINKS]) * max(1.0, reach / tested.reach)
    spread = float(np.sqrt(weights @ (missed**2 + (values - value) ** 2)))
    half = float(stats.t.ppf((1 + level) / 2, tested.runs - 1)) * spread
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
        flops=float(flops),
        n_runs=len(points),
        warnings=(*checks.of_table(table), *checks.of_target(points, target, tested.reach)),
        source=table.source,
        table_hash=table.hash(),
    )


def backtest_task(points: RunArrays, accuracy: Float[np.ndarray, " rows"], law: Law[Inputs], reach: float) -> Tested:
    """Fits a law and every link on the cheaper runs and scores them on the dearer, at up to eight budgets.

    Args:
        points: the runs; their loss is the one that the accuracy follows.
        accuracy: of each.
        law: of the loss, in place of the whole ensemble: its miss is small beside the links'.
        reach: log(FLOPs / largest fitted FLOPs) that is asked for; runs further off are not scored, as a task at
            chance foretells nothing of what it does much later.

    Raises:
        InputError: if the runs do not suffice.
    """
    misses, naive, reaches = [], [], []
    held_out = np.zeros(len(points), bool)
    for number in _thresholds(points, len(law.names) + 2):
        cheap = points.budget <= number
        fitted = points.subset(cheap)
        ahead = points.inputs.c - fitted.inputs.c.max()
        near = ~cheap & (ahead <= max(reach, _NEAREST))
        dear = points.subset(near)
        loss = fit_arrays(fitted, law).predict(dear.inputs)
        found = [fit_link(link, np.exp(fitted.log_loss), fitted.inputs.c, accuracy[cheap]) for link in LINKS]
        misses.append(np.stack([link.predict(loss, dear.inputs.c) for link in found]) - accuracy[near])
        dearest = np.argsort(fitted.inputs.c, kind="stable")[-_DEAREST:]
        naive.append(accuracy[cheap][dearest].mean() - accuracy[near])
        reaches.append(ahead[near])
        held_out |= near
    missed = np.concatenate(misses, axis=1)
    errors = np.sqrt(np.mean(missed**2, axis=1))
    shares = 1 / np.maximum(errors, _EXACT) ** 2
    shares /= shares.sum()
    names = [link.name for link in LINKS]
    return Tested(
        errors=dict(zip(names, errors.tolist(), strict=True)),
        weights=dict(zip(names, shares.tolist(), strict=True)),
        error=_root_mean_square(shares @ missed),
        naive=_root_mean_square(np.concatenate(naive)),
        reach=_root_mean_square(np.concatenate(reaches)),
        runs=int(held_out.sum()),
    )


def _rows(table: RunTable, task: str, task_loss: str) -> tuple[RunArrays, Float[np.ndarray, " rows"]]:
    """The rows that have an accuracy and a loss."""
    rows = table.fit
    rows = rows[rows[task].notna() & rows[task_loss].notna()]
    faults = []
    outside = rows[task][~rows[task].between(0.0, 1.0)]
    if len(outside):
        faults.append(
            f"{table.source}:{outside.index[0]}: column {task!r}: {outside.iloc[0]:g} is no accuracy between 0 and 1"
        )
    below = rows[task_loss][~(rows[task_loss] > 0)]
    if len(below):
        faults.append(
            f"{table.source}:{below.index[0]}: column {task_loss!r}: {below.iloc[0]:g} is not a positive number"
        )
    if not faults and len(rows) < _FEWEST:
        faults.append(f"{table.source}: {len(rows)} runs with {task!r} are too few to forecast it: {_FEWEST} or more")
    if faults:
        raise InputError(faults)
    return RunArrays.of(rows.assign(loss=rows[task_loss])), rows[task].to_numpy()


def _thresholds(points: RunArrays, fewest: int) -> list[int]:
    """Numbers of the dearest budget fitted: half of the runs or more are cheaper, and three or more dearer."""
    count = np.array([int((points.budget <= number).sum()) for number in range(int(points.budget.max()))])
    enough = np.flatnonzero((count >= max(8, fewest, len(points) / 2)) & (len(points) - count >= 3))
    if not len(enough):
        raise InputError("the runs have too few FLOP budgets to hold the dearer ones out and so test a task's forecast")
    places = np.unique(np.linspace(0, len(enough) - 1, _SPLITS).round().astype(int))
    return [int(number) for number in enough[places]]


def _root_mean_square(values: Float[np.ndarray, " values"]) -> float:
    return float(np.sqrt(np.mean(values**2)))

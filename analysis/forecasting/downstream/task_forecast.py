"""The forecast of a task's accuracy at a run that has not been trained."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.forecasting.downstream.accuracy_links import LINKS, fit_link
from analysis.forecasting.downstream.link_backtest import TestedLinks, backtest_task
from analysis.forecasting.ensemble import AUTO, ensemble_of_arrays
from analysis.forecasting.text import task_text
from analysis.laws import LAWS, Inputs
from analysis.result import Result
from analysis.runs.arrays import RunArrays, inputs_at, usual_flops
from analysis.runs.table import RunTable

_FEWEST = 12  # runs: eight to fit the forms with, and four to hold out


@dataclass(frozen=True)
class TaskForecast(Result):
    """A forecast of a task's accuracy at a target.

    Attributes:
        task: the column.
        accuracy: between 0 and 1.
        interval: of one run's accuracy.
        level: the probability that the interval holds it.
        method: the link with the largest weight, a name in ``analysis.forecasting.downstream.accuracy_links.LINKS``.
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
        """Frame with one row: the target, its accuracy and interval."""
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


def forecast_task(
    table: RunTable,
    task: str,
    params: float,
    tokens: float,
    flops: float | None = None,
    task_loss: str = "loss",
    level: float = 0.9,
) -> TaskForecast:
    """Forecasts a task's accuracy at a run that has not been trained.

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
    """Accuracy of all links at the target, weighted, and half the width of its interval."""
    fits = [fit_link(link, np.exp(runs.log_loss), runs.inputs.c, accuracy) for link in LINKS]
    values = np.array([fit.predict(loss, target.c)[0] for fit in fits])
    weights = np.array([tested.weights[link.name] for link in LINKS])
    value = float(weights @ values)
    # A link's error grows with the reach, and beyond the tested reach the links disagree.
    reach = float(target.c[0] - runs.inputs.c.max())
    error = np.array([tested.errors[link.name] for link in LINKS]) * max(1.0, reach / tested.reach)
    spread = float(np.sqrt(weights @ (error**2 + (values - value) ** 2)))
    return value, float(stats.t.ppf((1 + level) / 2, tested.runs - 1)) * spread


def _rows(table: RunTable, task: str, task_loss: str) -> tuple[RunArrays, Float[np.ndarray, " rows"]]:
    """Rows that have both an accuracy and a loss."""
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

"""Errors of the laws: residuals within the fitted runs, and the backtest beyond them."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from analysis.forecasting.backtest import Backtest
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.plots.style import (
    FORECAST,
    INK,
    PARAMS,
    TOKENS,
    legend,
    log_axis,
    norm_of,
    power,
    runs,
    size_bar,
)
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable

_BUDGET = 0.1  # of log FLOPs: runs this near share a budget
_SPLITS = ((PARAMS, "o"), (TOKENS, "s"), ("#e69f00", "^"), ("#56b4e9", "v"))


def residuals(table: RunTable, forecast: Forecast, axes: Axes) -> Axes:
    """Draws the residual of each fitted run over its FLOPs: actual / fitted - 1, in percent."""
    rows = representative(table.fit)
    axes.axhline(0, color=INK, lw=0.8)
    runs(axes, rows["flops"], pd.Series(100 * misses(table, forecast)), rows, norm_of(rows))
    axes.set_ylabel("actual / fitted - 1 (%)")
    log_axis(axes, "training FLOPs", power)
    size_bar(axes, norm_of(rows), rows)
    return axes


def misses(table: RunTable, forecast: Forecast) -> Float[np.ndarray, " rows"]:
    """The residual of each row of ``table.arrays``: actual / fitted - 1."""
    return np.exp(table.arrays.log_loss) / forecast.curve(table.arrays.inputs) - 1


def backtest_errors(result: Backtest, law: str, score: Score | None, axes: Axes) -> Axes:
    """Draws the errors of backtested forecasts over the extrapolation factor; dashed, the 90 % half-widths.

    Args:
        result: the backtest.
        law: the law whose forecasts are drawn.
        score: the score of the frozen forecast, drawn with its interval, or None.
        axes: the axes to draw on.
    """
    axes.axhline(0, color=INK, lw=0.8)
    drawn = zip(result.splits, _SPLITS, strict=False)
    for split, (colour, marker) in reversed(list(drawn)):  # the furthest last, above the others
        beyond = split.held_out[law]
        label = f"from {split.n_train} runs up to {split.train_below:.2g} FLOPs"
        style: Any = {"color": colour, "mec": "none", "alpha": 0.7, "label": label, "zorder": 3}
        axes.plot(beyond.reach, 100 * beyond.error, marker, ms=3.5, **style)
        bounds = pd.Series(100 * beyond.half_width).groupby(np.round(np.log(beyond.reach) / _BUDGET)).mean()
        at = pd.Series(beyond.reach).groupby(np.round(np.log(beyond.reach) / _BUDGET)).mean()
        for side in (-1, 1):
            axes.plot(at, side * bounds, "--", color=colour, lw=0.8, zorder=2)
    if score is not None:
        # Errors at the ends of the interval: it reaches over 0 where it holds the actual loss.
        low, high = (100 * (end / score.actual - 1) for end in score.interval)
        error = 100 * score.error
        reach = [[max(error - low, 0.0)], [max(high - error, 0.0)]]
        label = f"the frozen forecast, {100 * score.level:.4g}% interval"
        axes.errorbar([score.extrapolation], [error], reach, fmt="D", ms=5, capsize=4, color=FORECAST, label=label)
    log_axis(axes, "extrapolation factor: FLOPs / largest fitted FLOPs", lambda value, _: f"{value:g}")
    axes.set_ylabel("predicted / actual - 1 (%)")
    legend(axes)
    return axes

"""Loss over tokens, over FLOPs, and over tokens per parameter."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from analysis.allocation.envelope import Envelope
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.laws import Inputs
from analysis.plots.style import (
    ACTUAL,
    FORECAST,
    INK,
    SIZES,
    label_dots,
    legend,
    log_axis,
    loss_axis,
    norm_of,
    power,
    runs,
    si,
    size_bar,
)
from analysis.runs.arrays import inputs_at, training_cost
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable

_BESIDE = 1.12  # actual runs stand beside the forecast, not under it


def loss_vs_tokens(table: RunTable, forecast: Forecast | None, curves: pd.DataFrame | None, axes: Axes) -> Axes:
    """Draws loss over training tokens, by size: endpoints (dots), measured curves (thin), fitted curves (dashed).

    Args:
        table: the runs.
        forecast: the forecast whose laws draw the fitted curves, or None.
        curves: rows of ``run_id tokens loss``, or None.
        axes: the axes to draw on.
    """
    rows = pd.concat([representative(table.fit), table.targets])
    norm = norm_of(rows)
    if curves is not None:
        params = rows.drop_duplicates("run_id").set_index("run_id")["params"]
        for run_id, curve in curves.groupby("run_id"):
            if run_id in params.index:
                smooth = _smoothed(curve.sort_values("tokens"))
                colour = SIZES(norm(params[run_id]))
                axes.plot(smooth["tokens"], smooth["loss"], color=colour, alpha=0.3, lw=0.6, zorder=1)
        axes.plot([], [], color=INK, alpha=0.5, lw=0.6, label="while training")
    runs(axes, rows["tokens"], rows["loss"], rows, norm)
    for size in np.unique(rows["params"]).tolist() if forecast is not None else ():
        assert forecast is not None
        one = rows[rows["params"] == size]
        tokens, fitted = _fitted(forecast, one, 0.5 * one["tokens"].min(), 1.6 * one["tokens"].max())
        axes.plot(tokens, fitted, "--", color=SIZES(norm(size)), lw=1.1, zorder=2)
    axes.plot([], [], "o", ms=4, color=INK, mec="none", label="finished run")
    if forecast is not None:
        axes.plot([], [], "--", color=INK, lw=1.1, label="fitted laws")
    axes.set_xlim(0.4 * rows["tokens"].min(), 2 * rows["tokens"].max())
    log_axis(axes, "training tokens", si)
    loss_axis(axes, rows["loss"], table.unit)
    legend(axes, 3)
    size_bar(axes, norm, rows)
    return axes


def overtraining(table: RunTable, forecast: Forecast | None, score: Score | None, axes: Axes) -> Axes:
    """Draws loss over tokens per parameter, a curve for each size with two lengths or more, and the target.

    Args:
        table: the runs.
        forecast: the forecast whose laws draw the curves, or None.
        score: the score with the target's actual runs, or None.
        axes: the axes to draw on.
    """
    rows = representative(table.fit)
    rows = rows[rows.groupby("params")["tokens"].transform("nunique") > 1]
    norm, shown = norm_of(rows), [rows["loss"]]
    runs(axes, rows["tokens"] / rows["params"], rows["loss"], rows, norm)
    for size in np.unique(rows["params"]).tolist():
        one, colour = rows[rows["params"] == size], SIZES(norm(size))
        if forecast is None:
            mean = one.groupby("tokens")["loss"].mean()
            axes.plot(mean.index.to_numpy() / size, mean, "-", color=colour, lw=1.1, zorder=2)
        else:
            tokens, fitted = _fitted(forecast, one, 0.7 * one["tokens"].min(), 1.4 * one["tokens"].max())
            axes.plot(tokens / size, fitted, "--", color=colour, lw=1.1, zorder=2)
    if forecast is not None:
        axes.plot([], [], "--", color=INK, lw=1.1, label="fitted laws at one size")
        ratio = forecast.tokens / forecast.params
        target = pd.DataFrame([{"params": forecast.params, "tokens": forecast.tokens, "flops": forecast.flops}])
        tokens, fitted = _fitted(forecast, target, forecast.tokens / 5, 1.4 * forecast.tokens)
        axes.plot(tokens / forecast.params, fitted, "--", color=FORECAST, lw=0.9, zorder=2)
        shown.append(_target(axes, ratio, forecast))
        if score is not None:
            shown.append(_actual(axes, ratio, score))
    log_axis(axes, "training tokens per parameter", si)
    loss_axis(axes, pd.concat(shown), table.unit)
    legend(axes)
    size_bar(axes, norm, rows)
    return axes


def loss_vs_flops(
    table: RunTable, forecast: Forecast | None, score: Score | None, axes: Axes, lowest: Envelope | None = None
) -> Axes:
    """Draws loss over FLOPs: each run, the envelope, the laws' frontier, the forecast and the actual runs.

    Args:
        table: the runs.
        forecast: drawn with its interval, its laws and the naive forecasts, or None.
        score: the score with the target's actual runs, or None.
        axes: the axes to draw on.
        lowest: the envelope of the runs, or None.
    """
    rows = representative(table.fit)
    norm, shown = norm_of(rows), [rows["loss"]]
    runs(axes, rows["flops"], rows["loss"], rows, norm)
    if lowest is not None and len(lowest.c):
        axes.plot(np.exp(lowest.c), lowest.loss, color=INK, lw=1.6, alpha=0.6, zorder=2, label="envelope of the runs")
    if forecast is not None:
        axes.plot(*frontier(rows, forecast), color=INK, lw=1.0, ls="--", zorder=2, label="fitted laws, best split")
        shown.append(_target(axes, forecast.flops, forecast))
        for (name, loss), marker in zip(forecast.baselines.items(), "v^", strict=False):
            axes.plot(forecast.flops, loss, marker, ms=5, mfc="none", color=INK, zorder=4, label=f"naive: {name}")
            shown.append(pd.Series([loss]))
    if score is not None and forecast is not None:
        shown.append(_actual(axes, forecast.flops, score))
    log_axis(axes, "training FLOPs", power)
    loss_axis(axes, pd.concat(shown), table.unit)
    legend(axes)
    size_bar(axes, norm, rows)
    return axes


def _target(axes: Axes, x: float, forecast: Forecast) -> "pd.Series[float]":
    """The forecast with its interval; what must be in view."""
    low, high = forecast.interval
    label = f"forecast, {100 * forecast.level:.4g}% interval"
    reach = [[max(forecast.loss - low, 0.0)], [max(high - forecast.loss, 0.0)]]
    axes.errorbar([x], [forecast.loss], reach, fmt="D", ms=5, capsize=4, color=FORECAST, zorder=5, label=label)
    return pd.Series(forecast.interval)


def _actual(axes: Axes, x: float, score: Score) -> "pd.Series[float]":
    """The target's runs, beside the forecast; what must be in view."""
    losses = [run.loss for run in score.actuals]
    place = np.full(len(losses), x * _BESIDE)
    marks = axes.scatter(place, losses, s=22, marker="x", lw=1.4, color=ACTUAL, zorder=6, label="actual, each run")
    label_dots(marks, [f"{run.run_id}: the target, loss {run.loss:.4f}" for run in score.actuals])
    return pd.Series(losses)


def _fitted(
    forecast: Forecast, rows: pd.DataFrame, low: float, high: float
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    """Tokens, and what the laws expect of the rows' size there."""
    tokens = np.geomspace(low, high, 60)
    flops = tokens * float((rows["flops"] / rows["tokens"]).mean())
    return tokens, forecast.curve(inputs_at(np.full(60, rows["params"].iloc[0]), tokens, flops))


def frontier(
    rows: pd.DataFrame, forecast: Forecast
) -> tuple[Float[np.ndarray, " budgets"], Float[np.ndarray, " budgets"]]:
    """The least loss that the laws expect at each budget, over the sizes of the runs and the target."""
    budgets = np.geomspace(rows["flops"].min(), max(forecast.flops, rows["flops"].max()), 60)
    sizes = np.geomspace(rows["params"].min() / 2, 2 * max(rows["params"].max(), forecast.params), 200)
    target = {"params": forecast.params, "tokens": forecast.tokens, "flops": forecast.flops}
    known = pd.concat([rows[["params", "tokens", "flops"]], pd.DataFrame([target])])
    cost = training_cost(inputs_at(*known.to_numpy().T), np.log(sizes))
    n, c = (grid.ravel() for grid in np.meshgrid(np.log(sizes), np.log(budgets)))
    d = c - n - np.log(np.tile(cost, len(budgets)))
    least = forecast.curve(Inputs(n, d, c, d)).reshape(len(budgets), -1).min(axis=1)
    return budgets, least


def _smoothed(curve: pd.DataFrame) -> pd.DataFrame:
    """Means over windows of equal width in log tokens: a training batch's loss is mostly noise."""
    bins = np.floor(20 * np.log(curve["tokens"]))
    return curve.groupby(bins)[["tokens", "loss"]].mean()

"""The best size of each budget: parabolas, the envelope, and how the best parameters and tokens grow."""

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from analysis.allocation.envelope import Envelope
from analysis.allocation.frontier import FrontierLaw
from analysis.allocation.isoflop import IsoFlop
from analysis.forecasting.forecast import Forecast
from analysis.plots.style import (
    FORECAST,
    INK,
    PARAMS,
    SIZES,
    TOKENS,
    colour_bar,
    label_dots,
    legend,
    log_axis,
    log_height,
    log_norm,
    loss_axis,
    power,
    run_labels,
    si,
)
from analysis.runs.arrays import training_cost
from analysis.runs.schema import NATS
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable


def isoflop_parabolas(result: IsoFlop, axes: Axes, table: RunTable | None = None) -> Axes:
    """Loss over parameters at each budget, curves and their minima with 90 % intervals; a budget left out is hollow.

    Args:
        result: approach 2.
        axes: the axes to draw on.
        table: its runs, whose labels the dots get, or None.
    """
    rows = None if table is None else representative(table.fit)
    budgets = [parabola.flops for parabola in result.parabolas]
    norm = log_norm(np.array(budgets))
    known = any(parabola.interval is not None for parabola in result.parabolas)
    labels = {True: "minimum" + ", 90 % interval" * known, False: "budget left out"}
    for parabola in result.parabolas:
        colour, good = SIZES(norm(parabola.flops)), parabola.reason is None
        n = np.exp(parabola.n)
        label = None if good else labels.pop(False, None)
        face: Any = {"color": colour, "lw": 0} if good else {"facecolors": "none", "edgecolors": colour, "label": label}
        dots = axes.scatter(n, parabola.loss, s=15, zorder=3, **face)
        if rows is not None:
            label_dots(dots, run_labels(_nearest(rows, parabola.n, np.log(parabola.loss))))
        if good:
            near = parabola.n[parabola.near]
            n = np.linspace(near.min() - 0.1, near.max() + 0.1, 80)
            axes.plot(np.exp(n), parabola.curve(n), "--", color=colour, zorder=2)
            place, label = (parabola.params, parabola.minimum), labels.pop(True, None)
            axes.plot(*place, "*", ms=9, color=FORECAST, mec="none", zorder=5, label=label)
            if parabola.interval is not None:
                axes.hlines(parabola.minimum, *parabola.interval, color=FORECAST, lw=1.6, zorder=4)
    log_axis(axes, "parameters", si)
    losses = pd.Series(np.concatenate([p.loss for p in result.parabolas]))
    loss_axis(axes, losses, NATS if table is None else table.unit)
    legend(axes)
    colour_bar(axes, norm, "FLOPs", budgets, power)
    return axes


def _nearest(rows: pd.DataFrame, n: Float[np.ndarray, " runs"], log_loss: Float[np.ndarray, " runs"]) -> pd.DataFrame:
    """The row at each place, or next to it: logs and units cost the last digits."""
    sizes, losses = np.log(rows["params"].to_numpy()), np.log(rows["loss"].to_numpy())
    places = [int(np.argmin(np.hypot(sizes - x, losses - y))) for x, y in zip(n, log_loss, strict=True)]
    return rows.iloc[places]


def envelope_of_sizes(found: Envelope, axes: Axes) -> Axes:
    """Loss over FLOPs by size, the lowest of the curves (dashed), and its best loss where the optimum is bracketed."""
    sizes = np.exp([curve.n for curve in found.curves])
    norm = log_norm(sizes)
    for curve, size in zip(found.curves, sizes.tolist(), strict=True):
        c = np.linspace(curve.c[0], curve.c[-1], 60)
        colour = SIZES(norm(size))
        axes.plot(np.exp(c), np.exp(curve.at(c)), color=colour, lw=0.8, alpha=0.7, zorder=2)
        axes.plot(np.exp(curve.c), np.exp(curve.log_loss), "o", ms=2.5, color=colour, mec="none", zorder=2)
    if len(found.c):
        axes.plot(np.exp(found.c), found.loss, "--", color=INK, lw=1.0, zorder=3, label="envelope")
    log_axis(axes, "training FLOPs", power)
    loss_axis(axes, pd.Series(np.concatenate([np.exp(curve.log_loss) for curve in found.curves])))
    if len(found.minima.c):
        within = (found.minima.c, found.minima.loss)
        axes.plot(np.exp(within[0]), within[1], ".", ms=2, color=FORECAST, zorder=4, label="optimum bracketed")
    legend(axes)
    colour_bar(axes, norm, "parameters", sizes.tolist(), si)
    return axes


def optimum(table: RunTable, parabolas: IsoFlop, lowest: Envelope, forecast: Forecast | None, axes: Axes) -> Axes:
    """N* and D* over FLOPs: minima of the parabolas, their power laws with 90 % bands, the envelope's, and the target.

    Args:
        table: the runs, whose columns determine how FLOPs are counted.
        parabolas: approach 2; drawn where it has a power law.
        lowest: approach 1; likewise.
        forecast: of the target, drawn with its own parameters and tokens, or None.
        axes: the axes to draw on.
    """
    budgets = np.exp([*parabolas.minima.c, *lowest.minima.c])
    largest = forecast.flops if forecast is not None else 0.0
    flops = np.geomspace(budgets.min() / 1.5, max(1.5 * budgets.max(), largest), 60)
    n, c = parabolas.minima.n, parabolas.minima.c
    best = {"params": n, "tokens": c - n - np.log(training_cost(table.arrays.inputs, n))}
    for which, name, colour, marker in (("params", "N*", PARAMS, "o"), ("tokens", "D*", TOKENS, "s")):
        by_parabolas, by_envelope = (_law(found, which) for found in (parabolas, lowest))
        if by_parabolas is not None:
            bands = [band for band in map(by_parabolas.interval, flops.tolist()) if band is not None]
            _line(axes, by_parabolas, flops, colour, "-", f"{name} by isoFLOP minima" + ", 90 %" * bool(bands))
            if bands:
                axes.fill_between(flops, *np.transpose(bands), color=colour, alpha=0.15, lw=0)
            axes.plot(np.exp(c), np.exp(best[which]), marker, ms=4.5, color=colour, mec="none", zorder=4)
        if by_envelope is not None:
            _line(axes, by_envelope, flops, colour, ":", f"{name} by the envelope")
    if forecast is not None:
        for value, label in ((forecast.params, "the target's own"), (forecast.tokens, None)):
            axes.plot(forecast.flops, value, "D", ms=5, mfc="none", color=FORECAST, zorder=5, label=label)
    log_axis(axes, "training FLOPs", power)
    log_height(axes, "parameters N*, tokens D*", si)
    legend(axes)
    return axes


def _law(found: IsoFlop | Envelope, which: str) -> FrontierLaw | None:
    return found.params if which == "params" else found.tokens


def _line(
    axes: Axes, law: FrontierLaw, flops: Float[np.ndarray, " budgets"], colour: str, style: str, label: str
) -> None:
    axes.plot(flops, [law.at(budget) for budget in flops.tolist()], style, color=colour, lw=1.4, label=label)

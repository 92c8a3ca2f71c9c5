"""The figure of a tuning sweep: what each learning rate loses to the best one, at each size and length."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes

from analysis.errors import InputError
from analysis.plots import FORECAST, SIZES, colour_bar, legend, log_axis, log_norm, power
from analysis.runs.table import RunTable
from analysis.tuning.grid import HyperparameterGrid, tuned_cells

_MOST = 8.0  # percent: what a rate far off loses is of no interest
_SAME = 2  # decimals of a log rate: one rate


def loss_vs_rate(table: RunTable, axes: Axes) -> Axes:
    """Loss over the least of its size and length, in percent, over the peak rate: runs as dots, seeds' levels out.

    Each rate's best batch counts. The least of the fitted surface is the best rate: a star, with two standard errors.
    Where it is not to be believed, as at the edge of the rates tried, there is none, and the dots are hollow.

    Raises:
        InputError: if no size and length was trained at three rates.
    """
    cells = [(cell, grid) for cell in tuned_cells(table) if (grid := cell.grid("lr")) is not None]
    if not cells:
        raise InputError(f"{table.source}: no size and length was trained at three values of lr")
    budgets = [cell.flops for cell, _ in cells]
    norm = log_norm(np.array(budgets))
    known = any(best is not None and best[1] is not None for best in (grid.best("lr") for _, grid in cells))
    stars = 0
    for cell, grid in cells:
        colour = SIZES(norm(cell.flops))
        lr, loss = _dots(grid)
        fill = colour if grid.reason is None else "none"
        axes.plot(lr, loss, "o", ms=3.5, mfc=fill, mec=colour, mew=0.7, alpha=0.7, zorder=3)
        best = grid.best("lr")
        if best is None:
            continue
        line = np.geomspace(lr.min(), lr.max(), 80)
        axes.plot(line, _profile(grid, line), color=colour, lw=1.0, zorder=2)
        at, error = best
        if error is not None:
            axes.hlines(0, at * np.exp(-2 * error), at * np.exp(2 * error), color=FORECAST, lw=1.6, zorder=4)
        label = None if stars else "best rate" + ", two standard errors" * known
        axes.plot(at, 0, "*", ms=9, color=FORECAST, mec="none", zorder=5, label=label)
        stars += 1
    if stars < len(cells):
        label = "no best rate to believe"
        axes.plot([], [], "o", ms=3.5, mfc="none", mec="0.5", mew=0.7, label=label)
    log_axis(axes, "peak learning rate", lambda value, _: f"{value:g}")
    axes.set_ylim(-1, _MOST)
    axes.set_ylabel("loss over the best rate's (%)")
    legend(axes)
    colour_bar(axes, norm, "FLOPs of a run", budgets, power)
    return axes


def _dots(grid: HyperparameterGrid) -> tuple["pd.Series[float]", "pd.Series[float]"]:
    """Rate, and loss over the least in percent, of the runs at each rate's best batch."""
    runs = pd.DataFrame(np.exp(grid.x), columns=list(grid.names)).assign(loss=100 * np.expm1(grid.excess))
    rate = np.log(runs["lr"]).round(_SAME)
    mean = runs["loss"].groupby([rate, *(runs[name] for name in grid.names if name != "lr")]).transform("mean")
    kept = runs[mean == mean.groupby(rate).transform("min")]
    return kept["lr"], kept["loss"]


def _profile(grid: HyperparameterGrid, lr: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """What the surface loses at a rate and the batch that suits it, in percent."""
    assert grid.surface is not None
    i = grid.names.index("lr")
    optimum = grid.surface.optimum.tolist()[i]
    curvature = 1 / np.linalg.inv(grid.surface.curvature)[i, i]
    return 100 * np.expm1(curvature * (np.log(lr) - optimum) ** 2 / 2)

"""The figure of a tuning sweep: what each learning rate loses to the best one, at each size and length."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.errors import InputError
from analysis.optimum import find_optimum
from analysis.plots import FORECAST, SIZES, colour_bar, log_axis, log_norm, power
from analysis.table import RunTable

_MOST = 8.0  # percent: what a rate far off loses is of no interest


def loss_vs_rate(table: RunTable, axes: Axes) -> Axes:
    """Loss over the least of its size and length, in percent, over the peak rate: runs as dots, seeds' levels out.

    Each rate's best batch counts. The least of a parabola is the best rate: a star, with two standard errors.

    Raises:
        InputError: if no size and length was trained at three rates.
    """
    rows = table.fit
    cells = [cell for _, cell in rows.groupby(["flops", "params"])] if "lr" in rows else []
    cells = [cell for cell in cells if cell["lr"].nunique() >= 3]
    if not cells:
        raise InputError(f"{table.source}: no size and length was trained at three values of lr")
    budgets = [float(cell["flops"].iloc[0]) for cell in cells]
    norm = log_norm(np.array(budgets))
    label: str | None = "best rate, two standard errors"
    for cell in cells:
        if "batch_tokens" in cell:
            mean = cell.groupby(["lr", "batch_tokens"])["loss"].transform("mean")
            cell = cell[mean == mean.groupby(cell["lr"]).transform("min")]
        colour = SIZES(norm(cell["flops"].iloc[0]))
        x, log_loss = np.log(cell["lr"].to_numpy()), np.log(cell["loss"].to_numpy())
        seed = pd.factorize(cell["seed"])[0] if "seed" in cell else np.zeros(len(cell), np.int64)
        found = find_optimum(x[:, None], log_loss, seed)
        (curvature,), (at,) = found.curvature[0], found.at.tolist()
        offset = pd.Series(log_loss) - pd.Series(log_loss).groupby(x).transform("mean")
        level = (log_loss - offset.groupby(seed).transform("mean")).to_numpy()
        base = level[np.abs(x - found.best[0]) < 0.01].mean() - curvature * (found.best[0] - at) ** 2 / 2
        axes.plot(np.exp(x), 100 * np.expm1(level - base), "o", ms=3, color=colour, mec="none", alpha=0.7, zorder=3)
        if not found.minimum:
            continue
        line = np.linspace(min(x.min(), at), max(x.max(), at), 80)
        axes.plot(np.exp(line), 100 * np.expm1(curvature * (line - at) ** 2 / 2), color=colour, lw=1.0, zorder=2)
        if found.covariance is not None:
            away = 2 * float(np.sqrt(found.covariance[0, 0]))
            axes.hlines(0, np.exp(at - away), np.exp(at + away), color=FORECAST, lw=1.6, zorder=4)
        axes.plot(np.exp(at), 0, "*", ms=9, color=FORECAST, mec="none", zorder=5, label=label)
        label = None
    log_axis(axes, "peak learning rate of the matrices", lambda value, _: f"{value:g}")
    axes.set_ylim(-1, _MOST)
    axes.set_ylabel("loss over the best rate's (%)")
    if label is None:
        axes.legend(loc="best")
    colour_bar(axes, norm, "FLOPs of a run", budgets, power)
    return axes

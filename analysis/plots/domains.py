"""Losses by domain: small multiples of loss over FLOPs, each with its forecast and what it came to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from analysis.forecasting.forecast import Forecast
from analysis.plots.losses import frontier
from analysis.plots.panels import common_legend, label_outer, panels
from analysis.plots.style import ACTUAL, FORECAST, INK, SIZES, colour_bar, log_axis, loss_axis, norm_of, power, runs, si
from analysis.runs.subsample import representative

_BESIDE = 1.2  # actual runs stand beside the forecast, not under it
_MOST_DOTS = 2500  # of the whole figure


@dataclass(frozen=True)
class Panel:
    """The losses on one domain.

    Attributes:
        name: of the domain.
        rows: the fitted runs: ``run_id params tokens flops loss``.
        flops: of the target; None without a forecast.
        expected: the forecast loss, and the ends of its interval; None without one.
        actual: the loss of each of the target's runs.
        laws: the forecast whose laws are drawn, or None.
    """

    name: str
    rows: pd.DataFrame
    flops: float | None
    expected: tuple[float, float, float] | None
    actual: tuple[float, ...]
    laws: Forecast | None = None


def losses_by_domain(
    domains: Sequence[Panel], level: float | None, unit: str, axes: Axes, expected: str = "forecast"
) -> Axes:
    """Draws loss over FLOPs, a panel for each domain: the runs, the laws, the forecast and the target's runs.

    Args:
        domains: at least one.
        level: of the intervals; None without any.
        unit: of the losses.
        axes: the axes to draw on, which are replaced by the panels.
        expected: what is forecast, for the legend.
    """
    norm = norm_of(pd.concat([each.rows for each in domains]))
    made = panels(axes, [each.name for each in domains])
    for panel, each in zip(made, domains, strict=True):
        _draw(panel, each, norm, _MOST_DOTS // len(domains), unit)
    label_outer(made)
    sizes = np.unique(np.concatenate([each.rows["params"].to_numpy() for each in domains])).tolist()
    colour_bar(axes, norm, "parameters", sizes, si, made)
    common_legend(axes, list(_handles(domains, level, expected)))
    return axes


def _draw(axes: Axes, domain: Panel, norm: Normalize, most: int, unit: str) -> None:
    rows = representative(domain.rows.sort_values(["flops", "loss"]), most)
    runs(axes, rows["flops"], rows["loss"], rows, norm)
    shown = [domain.rows["loss"]]
    if domain.laws is not None:
        axes.plot(*frontier(rows, domain.laws), color=INK, lw=1.0, ls="--", zorder=2)
    if domain.flops is not None and domain.expected is not None:
        value, low, high = domain.expected
        reach = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
        axes.errorbar([domain.flops], [value], reach, fmt="D", ms=4.5, capsize=3, color=FORECAST, zorder=5)
        shown.append(pd.Series([low, high]))
    if domain.flops is not None and domain.actual:
        place = [domain.flops * _BESIDE] * len(domain.actual)
        axes.scatter(place, domain.actual, s=20, marker="x", lw=1.3, color=ACTUAL, zorder=6)
        shown.append(pd.Series(domain.actual))
    axes.margins(x=0.1)
    log_axis(axes, "training FLOPs", power)
    loss_axis(axes, pd.concat(shown), unit)


def _handles(domains: Sequence[Panel], level: float | None, expected: str) -> list[Line2D]:
    found = [Line2D([], [], marker="o", ls="", ms=4, color=SIZES(0.4), mec="none", label="fitted runs")]
    if any(each.laws is not None for each in domains):
        found.append(Line2D([], [], ls="--", lw=1.0, color=INK, label="fitted laws, best split"))
    if level is not None:
        label = f"{expected}, {100 * level:.4g}% interval"
        found.append(Line2D([], [], marker="D", ls="", ms=4.5, color=FORECAST, label=label))
    if any(each.actual for each in domains):
        found.append(Line2D([], [], marker="x", ls="", ms=5, mew=1.3, color=ACTUAL, label="actual, each run"))
    return found

"""Policies while they are trained: win rate, length and end of their answers over KL, reward over compute."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.plots.rewards import beside, colour_at
from analysis.plots.style import INK, log_axis, power, si
from analysis.rewards.rl_curves import RlTable
from analysis.rewards.rl_fit import RlFit

_DOTS = {True: "o", False: "^"}  # best-of-n and trained policies
_MOST_NAMED = 8


def win_rate_vs_kl(rows: pd.DataFrame, axes: Axes) -> Axes:
    """Draws the win rate against the start over the KL divergence, a colour a proxy.

    Args:
        rows: ``run_id label of_n kl win_rate``.
        axes: the axes to draw on.
    """
    for label, colour, part in _by_label(rows):
        named: str | None = label
        for (_, of_n), run in part.groupby(["run_id", "of_n"]):
            axes.plot(
                run["kl"], run["win_rate"], _DOTS[bool(of_n)] + "-", ms=3.5, color=colour, mec="none", label=named
            )
            named = None
    axes.axhline(0.5, color=INK, lw=0.6, ls=":", label="as good as the start")
    axes.set_xlabel("KL divergence from the start (nats)")
    axes.set_ylabel("win rate against the start's answers")
    beside(axes)
    return axes


def length_vs_kl(rows: pd.DataFrame, axes: Axes) -> Axes:
    """Draws the mean length of answers (solid) and the share that stops (dashed, right axis) over the KL divergence.

    Args:
        rows: ``run_id label of_n kl length``, and ``stopped`` where it is known.
        axes: the axes to draw on.
    """
    shares = axes.twinx() if "stopped" in rows and rows["stopped"].notna().any() else None
    for label, colour, part in _by_label(rows):
        named: str | None = label
        for (_, of_n), run in part.groupby(["run_id", "of_n"]):
            axes.plot(run["kl"], run["length"], _DOTS[bool(of_n)] + "-", ms=3, color=colour, mec="none", label=named)
            named = None
            if shares is not None:
                shares.plot(run["kl"], run["stopped"], "--", color=colour, lw=0.9)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("KL divergence from the start (nats)")
    axes.set_ylabel("mean length of answers, tokens (solid)")
    if shares is not None:
        shares.set_ylim(0, 1.02)
        shares.set_ylabel("share of answers that stop (dashed)")
        shares.grid(False)
        shares.spines["right"].set_visible(True)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.4, borderaxespad=0.1)
    return axes


def reward_vs_flops(table: RlTable, fits: Sequence[tuple[str, Sequence[str], RlFit | None]], axes: Axes) -> Axes:
    """Draws the reward of each run over its compute, with the sigmoid of each group of runs.

    Args:
        table: the curves.
        fits: of each group its label, the names of its runs, and its sigmoid or None.
        axes: the axes to draw on.
    """
    for place, (label, names, fit) in enumerate(fits):
        colour = colour_at(place, len(fits))
        curves = [curve for curve in table.curves if curve.run_id in names]
        for curve in curves:
            axes.plot(curve.x[curve.x > 0], curve.value[curve.x > 0], ".", ms=4, color=colour, alpha=0.6, mec="none")
        if len(fits) <= _MOST_NAMED or place in (0, len(fits) - 1):
            axes.plot([], [], color=colour, lw=3, label=label)
        if fit is not None:
            ends = [float(x) for curve in curves for x in curve.x if x > 0]
            x = np.geomspace(min(ends), 2 * max(ends), 80)
            axes.plot(x, fit.value(x, None), "--" if fit.refused else "-", color=colour, lw=1.2)
    if any(fit is not None and not fit.refused for _, _, fit in fits):
        axes.plot([], [], "-", color=INK, lw=1.2, label="sigmoid")
    if any(fit is not None and fit.refused for _, _, fit in fits):
        axes.plot([], [], "--", color=INK, lw=1.2, label="sigmoid, refused")
    if table.x == "flops":
        log_axis(axes, "FLOPs of the run", power)
    else:
        log_axis(axes, "steps", si)
    axes.set_ylabel(table.value.replace("_", " "))
    beside(axes)
    return axes


def _by_label(rows: pd.DataFrame) -> list[tuple[str, tuple[float, float, float, float], pd.DataFrame]]:
    """The rows of each label, in the order of the table, with its colour."""
    labels = list(dict.fromkeys(rows["label"]))
    return [
        (label, colour_at(place, len(labels)), rows[rows["label"] == label].sort_values("kl", kind="stable"))
        for place, label in enumerate(labels)
    ]

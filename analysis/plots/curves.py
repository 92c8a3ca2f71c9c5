"""Collapsed loss curves."""

import numpy as np
from matplotlib.axes import Axes

from analysis.diagnostics.collapse import Collapse
from analysis.plots.style import FORECAST, INK, SIZES, legend, norm_of, size_bar


def collapsed(result: Collapse, axes: Axes) -> Axes:
    """Draws each run's loss over that expected of its end, along the run, scaled to a run in the middle of the sweep.

    Args:
        result: the curves; a run that leaves the common curve has another colour.
        axes: the axes to draw on.
    """
    norm, share = norm_of(result.runs), 100 * result.share
    gone = {each.run_id for each in result.departures}
    faint = float(np.clip(30 / len(result.runs), 0.12, 0.6))
    heights = 100 * np.exp(result.common + result.off)
    for run_id, params, height in zip(result.runs["run_id"], result.runs["params"], heights, strict=True):
        if run_id not in gone:
            axes.plot(share, height, color=SIZES(norm(params)), alpha=faint, lw=0.7, zorder=2)
    axes.plot([], [], color=INK, alpha=0.5, lw=0.6, label="a run")
    axes.plot(share, 100 * np.exp(result.common), color=INK, lw=2.0, zorder=3, label="the common curve")
    label: str | None = "leaves it"
    for run_id, height in zip(result.runs["run_id"], heights, strict=True):
        if run_id in gone:
            axes.plot(share, height, color=FORECAST, lw=1.2, zorder=4, label=label)
            label = None
    axes.set_xlabel("share of the run's tokens (%)")
    axes.set_ylabel("training loss / that expected of the end (%)")
    legend(axes, 3)
    size_bar(axes, norm, result.runs)
    return axes

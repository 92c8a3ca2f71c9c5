"""Models by how much they were trained on: reward models over pairs, fine-tuned ones over examples."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.formatting import format_quantity
from analysis.plots.rewards import beside, colour_at
from analysis.plots.style import INK, log_axis, si

_LEFT = 3.0  # times fewer than the fewest examples: where the start stands on an axis without a 0


def accuracy_vs_pairs(rows: pd.DataFrame, axes: Axes) -> Axes:
    """Draws accuracy (solid) and Bradley-Terry loss (dashed, right axis) of reward models over pairs, a line a size.

    Args:
        rows: the runs: ``pairs``, ``accuracy``, and where they are known ``loss``, ``params``, ``label_accuracy``.
        axes: the axes to draw on.
    """
    sizes = sizes_of(rows)
    losses = axes.twinx() if "loss" in rows and rows["loss"].notna().any() else None
    for place, (size, part) in enumerate(sizes):
        colour = colour_at(place, len(sizes))
        axes.plot(part["pairs"], part["accuracy"], "o", ms=4, color=colour, mec="none", alpha=0.7, zorder=3)
        mean = part.groupby("pairs")[["accuracy"]].mean()
        axes.plot(mean.index, mean["accuracy"], color=colour, lw=1.3, zorder=3, label=size)
        if losses is not None:
            loss = part.groupby("pairs")["loss"].mean()
            losses.plot(loss.index, loss, "--", color=colour, lw=1.0, zorder=2)
    axes.axhline(0.5, color=INK, lw=0.6, ls=":", label="chance")
    if "label_accuracy" in rows and rows["label_accuracy"].notna().any():
        axes.axhline(float(rows["label_accuracy"].mean()), color=INK, lw=0.8, ls="-.", label="labels themselves")
    log_axis(axes, "pairs", si)
    axes.set_ylabel("held-out accuracy (solid)")
    if losses is not None:
        losses.set_ylabel("held-out loss, nats per pair (dashed)")
        losses.grid(False)
        losses.spines["right"].set_visible(True)
    _above(axes)
    return axes


def loss_vs_examples(rows: pd.DataFrame, axes: Axes) -> Axes:
    """Draws the loss of fine-tuned models over examples, a line a size, with the start's loss at the left edge.

    Args:
        rows: the runs: ``examples``, ``loss``, and where they are known ``params``, ``start_loss``.
        axes: the axes to draw on.
    """
    sizes = sizes_of(rows)
    left = float(rows["examples"].min()) / _LEFT
    for place, (size, part) in enumerate(sizes):
        colour = colour_at(place, len(sizes))
        axes.plot(part["examples"], part["loss"], "o", ms=4, color=colour, mec="none", alpha=0.7, zorder=3)
        mean = part.groupby("examples")["loss"].mean()
        x, y = mean.index.to_numpy(), mean.to_numpy()
        axes.plot(x, y, color=colour, lw=1.3, zorder=3, label=size)
        if "start_loss" in part and part["start_loss"].notna().any():
            start = float(part["start_loss"].mean())
            axes.plot([left, x[0]], [start, y[0]], ":", color=colour, lw=1.0, zorder=2)
            axes.plot(left, start, "s", ms=5, color=colour, mec="none", zorder=4)
    if "start_loss" in rows and rows["start_loss"].notna().any():
        axes.plot([], [], "s", ms=5, color=INK, mec="none", label="the start")
    log_axis(axes, "examples", si)
    axes.set_ylabel("loss (nats per answer token)")
    beside(axes)
    return axes


def sizes_of(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each size, from the smallest, with its label; one group where sizes are not known."""
    if "params" not in rows or rows["params"].isna().all():
        return [("all runs", rows)]
    return [
        (f"{format_quantity(size)} parameters", rows[rows["params"] == size])
        for size in np.unique(rows["params"].dropna().to_numpy(float)).tolist()
    ]


def _above(axes: Axes) -> None:
    columns = 2 if len(axes.get_legend_handles_labels()[1]) < 5 else 3
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, handlelength=1.6, borderaxespad=0.1)

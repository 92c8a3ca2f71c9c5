"""Mixtures of many sources as parallel coordinates: a line for each."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plots.mixtures.landscape import (
    CANDIDATES,
    Landscape,
    candidate_marks,
    objective_bar,
    objective_norm,
)
from analysis.plots.panels import shortened
from analysis.plots.style import FORECAST, SIZES

_MOST_LINES = 400
_TICKS = np.array([0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0])
_CROWDED = 7  # sources whose names are written aslant
_MOST_LETTERS = 20


def width_of(sources: int) -> float:
    """Width in inches of a figure of so many sources."""
    return 6.4 if sources <= _CROWDED else min(6.4 + 0.35 * (sources - _CROWDED), 11.0)


def parallel(found: Landscape, axes: Axes) -> Axes:
    """Draws the share of each source, a line a mixture: tried ones by their objective, candidates on top.

    Bars show the range of each share among the mixtures that cannot be told from the chosen one.

    Args:
        found: of any number of sources.
        axes: the axes to draw on.
    """
    order = np.argsort(-found.candidates["chosen"], kind="stable")
    norm = objective_norm(found.objective)
    axes.set_yscale("function", functions=(_root, np.square))
    for place, source in enumerate(order):
        low, high = found.ranges[found.sources[source]]
        axes.plot([place, place], [low, high], color=FORECAST, alpha=0.3, lw=9, solid_capstyle="butt", zorder=3)
    axes.add_collection(_lines(found, order, norm))
    for name, (colour, marker, _) in reversed(CANDIDATES.items()):
        if name in found.candidates:
            shares, style = found.candidates[name][order], "-" if name == "chosen" else ":"
            axes.plot(shares, color=colour, ls=style, lw=2.0 if name == "chosen" else 1.2, zorder=5)
            axes.plot(shares, marker, ms=6.5, color=colour, mec="white", mew=0.6, ls="", zorder=6, clip_on=False)
    names, aslant = [shortened(found.sources[source], _MOST_LETTERS) for source in order], len(order) > _CROWDED
    axes.set_xticks(range(len(order)), names, rotation=40 if aslant else 0, ha="right" if aslant else "center")
    for label in axes.get_xticklabels():
        label.set_parse_math(False)
        label.set_fontsize(8)
    axes.set_xlim(-0.35, len(order) - 0.65)
    most = max(float(found.tried.max()), *(float(shares.max()) for shares in found.candidates.values()))
    most = max(most, *(high for _, high in found.ranges.values()))
    axes.set_ylim(0, min(1.0, 1.05 * most))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in _TICKS if tick <= most * 1.05]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_ylabel("share of the training tokens")
    objective_bar(axes, norm)
    level = f"{100 * found.level:.4g}%"
    marks = [
        *candidate_marks(found.candidates),
        Line2D([], [], color=SIZES(0.5), lw=1.2, label="tried"),
        Line2D([], [], color=FORECAST, alpha=0.3, lw=7, label=f"not told from the chosen one ({level})"),
    ]
    axes.legend(handles=marks, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.2)
    return axes


def _lines(found: Landscape, order: np.ndarray, norm: object) -> LineCollection:
    """Lines of the tried mixtures, the best on top; of very many only some, spread evenly over the objective."""
    ranked = np.argsort(-found.objective, kind="stable")
    if len(ranked) > _MOST_LINES:
        ranked = ranked[np.linspace(0, len(ranked) - 1, _MOST_LINES).round().astype(int)]
    places = np.arange(len(order))
    lines = [np.column_stack([places, found.tried[row][order]]) for row in ranked]
    crowd = float(np.clip(30 / len(ranked), 0.25, 1.0))
    return LineCollection(
        lines,
        array=found.objective[ranked],
        cmap=SIZES,
        norm=norm,
        lw=0.4 + 0.8 * crowd,
        alpha=0.3 + 0.5 * crowd,
        zorder=2,
    )


def _root(shares: Float[np.ndarray, " *places"]) -> Float[np.ndarray, " *places"]:
    return np.sqrt(np.maximum(shares, 0.0))

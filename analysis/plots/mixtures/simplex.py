"""Mixtures of three sources as a triangle, and of two as a line, with the objective over them."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter
from matplotlib.tri import Triangulation
from scipy.spatial import ConvexHull, QhullError

from analysis.plots.mixtures.landscape import (
    CANDIDATES,
    OBJECTIVE,
    Grid,
    Landscape,
    candidate_marks,
    objective_bar,
    objective_norm,
    tried_mark,
)
from analysis.plots.panels import shortened
from analysis.plots.style import FORECAST, INK, SIZES

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
_OUTWARDS = np.array([[0.0, -1.0], [np.sqrt(3) / 2, 0.5], [-np.sqrt(3) / 2, 0.5]])  # from the side after each corner
_TURNED = (0.0, -60.0, 60.0)  # degrees of these sides
_STEPS = np.array([0.2, 0.4, 0.6, 0.8])
_LEVELS = 14
_PAD = 0.12  # of the height that the tried mixtures take
_MOST_LETTERS = 18


def simplex(found: Landscape, axes: Axes) -> Axes:
    """Draws the mixtures of three sources: the objective as filled contours, tried mixtures, candidates.

    The set that cannot be told from the chosen mixture is outlined, and the hull of the tried ones dashed.

    Args:
        found: of three sources.
        axes: the axes to draw on.
    """
    grid = found.grid
    assert grid is not None
    x, y = _place(grid.shares)
    norm = objective_norm(grid.objective)
    over = Triangulation(x, y)
    levels = np.linspace(float(norm.vmin or 0.0), float(norm.vmax or 1.0), _LEVELS)
    axes.tricontourf(over, grid.objective, levels, cmap=SIZES, norm=norm, extend="max", alpha=0.9, zorder=1)
    _scales(found.sources, axes)
    _hull(found.tried, axes)
    if (grid.excess > 0).any() and (grid.excess <= 0).any():
        axes.tricontour(over, grid.excess, [0.0], colors=FORECAST, linewidths=2.0, zorder=4)
    axes.plot(*_place(found.tried), "o", ms=4, color=INK, mec="white", mew=0.6, zorder=5)
    for name, (colour, marker, _) in reversed(CANDIDATES.items()):
        if name in found.candidates:
            place = _place(found.candidates[name][None])
            axes.plot(*place, marker, ms=8, color=colour, mec="white", mew=0.9, zorder=7, clip_on=False)
    objective_bar(axes, norm)
    axes.set_aspect("equal")
    axes.axis("off")
    axes.set_xlim(-0.1, 1.1)
    axes.set_ylim(-0.14, 0.9)
    label = f"not told from the chosen one ({100 * found.level:.4g}%)"
    marks = [
        *candidate_marks(found.candidates),
        tried_mark(),
        Line2D([], [], color=FORECAST, lw=2.0, label=label),
        Line2D([], [], color=INK, lw=1.0, ls="--", label="hull of those tried"),
    ]
    axes.legend(handles=marks, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.2)
    return axes


def _place(shares: Float[np.ndarray, "mixtures 3"]) -> Float[np.ndarray, "2 mixtures"]:
    return np.asarray((shares @ _CORNERS).T)


def _scales(sources: tuple[str, ...], axes: Axes) -> None:
    """Lines of equal share, their values along the sides, and the sources' names."""
    unit = np.eye(3)
    axes.plot(*_place(unit[[0, 1, 2, 0]]), color=INK, lw=0.9, zorder=3)
    for corner, name in enumerate(sources):
        # The share of a corner's source is read along the side that leads to it from the next corner.
        following, last = (corner + 1) % 3, (corner + 2) % 3
        outwards = _OUTWARDS[corner]
        for share in _STEPS:
            begin = share * unit[corner] + (1 - share) * unit[following]
            end = share * unit[corner] + (1 - share) * unit[last]
            axes.plot(*_place(np.stack([begin, end])), color="white", lw=0.5, alpha=0.45, zorder=2)
            x, y = (begin @ _CORNERS + 0.035 * outwards).tolist()
            axes.text(x, y, f"{share:.0%}", fontsize=6.5, ha="center", va="center")
        x, y = ((unit[corner] + unit[following]) / 2 @ _CORNERS + 0.105 * outwards).tolist()
        short = shortened(name, _MOST_LETTERS)
        title = f"← {short}" if corner == 0 else f"{short} →"  # towards the corner
        axes.text(x, y, title, fontsize=8.5, ha="center", va="center", rotation=_TURNED[corner], parse_math=False)


def _hull(tried: Float[np.ndarray, "mixtures 3"], axes: Axes) -> None:
    try:
        around = ConvexHull(_place(tried).T).vertices
    except QhullError:  # mixtures on a line
        return
    for first, second in pairwise([*around, around[0]]):
        axes.plot(*_place(tried[[first, second]]), color="white", lw=1.8, zorder=3)
        axes.plot(*_place(tried[[first, second]]), color=INK, lw=1.0, ls="--", zorder=3)


def share_line(found: Landscape, axes: Axes) -> Axes:
    """Draws the objective over the share of the first of two sources, with tried mixtures and candidates.

    Args:
        found: of two sources.
        axes: the axes to draw on.
    """
    grid = found.grid
    assert isinstance(grid, Grid)
    share = grid.shares[:, 0]
    band = grid.objective * np.exp(-grid.error), grid.objective * np.exp(grid.error)
    axes.fill_between(share, *band, color=INK, alpha=0.15, lw=0, zorder=1)
    axes.plot(share, grid.objective, color=INK, lw=1.3, zorder=2)
    axes.axvspan(*found.ranges[found.sources[0]], color=FORECAST, alpha=0.15, lw=0, zorder=0)
    axes.plot(found.tried[:, 0], found.objective, "o", ms=4, color=INK, mec="white", mew=0.5, zorder=4)
    for name, (colour, marker, _) in reversed(CANDIDATES.items()):
        if name in found.candidates:
            place = found.candidates[name][0], found.expected[name]
            axes.plot(*place, marker, ms=7.5, color=colour, mec="white", mew=0.8, zorder=6, clip_on=False)
    low, high = float(grid.objective.min()), max(float(found.objective.max()), *found.expected.values())
    axes.set_ylim(low - _PAD * (high - low), high + _PAD * (high - low))
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"share of {shortened(found.sources[0])}, the rest {shortened(found.sources[1])}", parse_math=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylabel(OBJECTIVE)
    level = f"{100 * found.level:.4g}%"
    marks = [
        *candidate_marks(found.candidates),
        tried_mark(),
        Line2D([], [], color=INK, lw=6, alpha=0.2, label=f"difference from the chosen one, {level}"),
        Line2D([], [], color=FORECAST, lw=6, alpha=0.25, label=f"not told from it ({level})"),
    ]
    axes.legend(handles=marks, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, columnspacing=1.2)
    return axes

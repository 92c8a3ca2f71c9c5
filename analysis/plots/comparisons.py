"""Comparisons: the best contender against each other one, by budget and at the target; and every two of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from analysis.comparing.comparison import Comparison, PairComparison, Span
from analysis.comparing.score import ComparisonScore, ScoredPair
from analysis.comparing.text import better_than, chance, turned
from analysis.plots.style import ACTUAL, INK, PARAMS, TOKENS, log_axis, log_height, power

# Of contenders in the order of their names, so that one has its colour in every figure.
_COLOURS = (PARAMS, "#e69f00", TOKENS, "#d55e00", "#56b4e9", "#a0522d", "#7570b3", "#999933")
_LARGEST = 1e4  # a factor beyond it is drawn there: no fold tests any such
_BAR = 0.35  # of the opacity of a point


@dataclass(frozen=True)
class Line:
    """The best contender against another, or the other way round.

    Attributes:
        other: the name of the other.
        colour: of the other.
        flops: of each budget, then of the target.
        value: at each.
        low: ends of the intervals.
        high: likewise.
        actual: as scored, or None.
    """

    other: str
    colour: str
    flops: Float[np.ndarray, " points"]
    value: Float[np.ndarray, " points"]
    low: Float[np.ndarray, " points"]
    high: Float[np.ndarray, " points"]
    actual: float | None


def colour_of(name: str, names: Sequence[str]) -> str:
    """The colour of a contender among others."""
    return _COLOURS[sorted(names).index(name) % len(_COLOURS)]


def multiplier_lines(made: Comparison, score: ComparisonScore | None) -> list[Line]:
    """The compute multiplier of the contender that is most likely best over each other; those not known left out."""

    def ends(span: Span, best_first: bool) -> tuple[float, float, float]:
        value, low, high = np.clip(turned(span, best_first), 1 / _LARGEST, _LARGEST)
        return float(value), float(low), float(high)

    def actual(each: ScoredPair, best_first: bool) -> float | None:
        if each.actual_multiplier is None:
            return None
        return 1 / each.actual_multiplier if best_first else each.actual_multiplier

    return _lines(made, score, lambda row: row.multiplier, ends, actual)


def difference_lines(made: Comparison, score: ComparisonScore | None) -> list[Line]:
    """The loss of the contender that is most likely best less that of each other, in percent."""

    def ends(span: Span, best_first: bool) -> tuple[float, float, float]:
        value, low, high = (np.nan if end is None else 100 * end for end in (span.value, span.low, span.high))
        return (-value, -high, -low) if best_first else (value, low, high)

    def actual(each: ScoredPair, best_first: bool) -> float | None:
        return 100 * (-each.actual if best_first else each.actual)

    return _lines(made, score, lambda row: row.difference, ends, actual)


def _lines(
    made: Comparison,
    score: ComparisonScore | None,
    of: Callable[..., Span],
    ends: Callable[[Span, bool], tuple[float, float, float]],
    actual: Callable[[ScoredPair, bool], float | None],
) -> list[Line]:
    best, lines = made.contenders[0], []
    scored = {} if score is None else {(each.first, each.second): each for each in score.pairs}
    for other in made.contenders[1:]:
        each = pair_of(made, best, other)
        best_first = each.first == best
        target = float(np.sqrt(made.targets[best].flops * made.targets[other].flops))
        points = [(row.flops, *ends(of(row), best_first)) for row in each.budgets]
        points.append((target, *ends(of(each), best_first)))
        table = np.array(points, float)
        if np.isnan(table[-1, 1]):
            continue
        found = scored.get((each.first, each.second))
        flops, value, low, high = table[~np.isnan(table[:, 1])].T
        outcome = None if found is None else actual(found, best_first)
        lines.append(Line(other, colour_of(other, made.contenders), flops, value, low, high, outcome))
    return lines


def pair_of(made: Comparison, one: str, other: str) -> PairComparison:
    """The comparison of two contenders in whichever order."""
    return next(each for each in made.pairs if {each.first, each.second} == {one, other})


def multiplier_vs_flops(lines: Sequence[Line], best: str, axes: Axes) -> Axes:
    """Draws compute multipliers over compute, log-log: a point with its interval at each budget, a band to the target.

    Args:
        lines: at least one.
        best: the contender that is ahead where the multiplier is above 1.
        axes: the axes to draw on.
    """
    _draw(lines, axes)
    axes.axhline(1, color=INK, lw=0.8)
    low = min(float(np.min(line.low)) for line in lines)
    high = max(float(np.max(line.high)) for line in lines)
    axes.set_ylim(min(low, 1.0) / 1.1, max(high, 1.0) * 1.1)
    log_axis(axes, "training FLOPs of each", power)
    over = f"over {lines[0].other}" if len(lines) == 1 else "over each other"
    log_height(axes, f"compute multiplier of {best} {over}", lambda value, _: f"{value:g}")
    return axes


def difference_vs_flops(lines: Sequence[Line], best: str, axes: Axes) -> Axes:
    """Draws differences of losses over compute, in percent, with intervals, a band to the target and a line at 0.

    Args:
        lines: at least one.
        best: the contender that is ahead where the difference is below 0.
        axes: the axes to draw on.
    """
    _draw(lines, axes)
    axes.axhline(0, color=INK, lw=0.8)
    log_axis(axes, "training FLOPs of each", power)
    whose = f"{lines[0].other}'s" if len(lines) == 1 else "the other's"
    axes.set_ylabel(f"{best}'s loss less {whose} (%)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return axes


def _draw(lines: Sequence[Line], axes: Axes) -> None:
    for line in lines:
        seen, x = slice(0, len(line.flops) - 1), line.flops
        axes.errorbar(
            x[seen],
            line.value[seen],
            yerr=_bars(line)[:, seen],
            fmt="o",
            ms=3.5,
            lw=0,
            elinewidth=0.9,
            color=line.colour,
            ecolor=(line.colour, _BAR),
            zorder=3,
        )
        tail = slice(max(len(x) - 2, 0), None)
        axes.fill_between(x[tail], line.low[tail], line.high[tail], color=line.colour, alpha=0.15, lw=0)
        axes.plot(x[tail], line.value[tail], color=line.colour, lw=1.2, zorder=3)
        axes.plot(x[-1], line.value[-1], "D", ms=4.5, color=line.colour, mec="none", zorder=4)
        place = (x[-1], line.value[-1])
        axes.annotate(line.other, place, (6, 0), textcoords="offset points", color=line.colour, va="center", fontsize=8)
        if line.actual is not None:
            colour = ACTUAL if len(lines) == 1 else line.colour
            axes.plot(x[-1], line.actual, "X", ms=8, color=colour, mec="white", mew=0.5, zorder=5)
    axes.plot([], [], "o", ms=3.5, color=INK, label="runs")
    axes.plot([], [], "D", ms=4.5, color=INK, label="target, forecast")
    if any(line.actual is not None for line in lines):
        colour = ACTUAL if len(lines) == 1 else INK
        axes.plot([], [], "X", ms=8, color=colour, mec="white", mew=0.5, label="target, actual")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3, handlelength=1.0, borderaxespad=0.1)
    axes.margins(x=0.16)


def _bars(line: Line) -> Float[np.ndarray, "ends points"]:
    return np.maximum(np.stack([line.value - line.low, line.high - line.value]), 0.0)


def better_matrix(made: Comparison, axes: Axes) -> Axes:
    """Draws the probability of every contender to be better than every other, the row than the column.

    Args:
        made: the comparison, of contenders that are drawn from the most likely best.
        axes: the axes to draw on.
    """
    names = made.contenders
    chances: Mapping[tuple[int, int], float] = {
        (row, column): better_than(made, name, other)
        for row, name in enumerate(names)
        for column, other in enumerate(names)
        if row != column
    }
    for (row, column), share in chances.items():
        colour, strength = (PARAMS, share - 0.5) if share >= 0.5 else ("#e69f00", 0.5 - share)
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=colour, alpha=1.1 * strength, lw=0))
        axes.text(column, row, chance(share), ha="center", va="center", fontsize=8 if len(names) < 9 else 6)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.grid(False)
    axes.set_xlabel("than")
    axes.set_ylabel("better")
    return axes

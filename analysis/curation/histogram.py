"""A rule's values as a histogram: where its bars, ticks and thresholds lie in an SVG."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.curation.funnel import Histogram, Reason
from analysis.curation.numbers import counted, value_of
from analysis.formatting import format_quantity

WIDTH, HEIGHT = 460, 150
"""Of the axes, in the units of the SVG; the margins of labels lie around them."""
_TICKS = 6


@dataclass(frozen=True)
class Bar:
    """A bin with documents: its place in the SVG, and what it holds."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Mark:
    """A tick or a threshold: its place along its axis, and its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Drawing:
    """A histogram as shapes.

    Attributes:
        bars: of the bins that hold documents; their heights are logarithms, so that one document is seen beside many.
        shades: begin and width of the values that are dropped.
        limits: thresholds within the axes.
        columns: ticks of the values.
        rows: ticks of the counts.
        outside: documents that lie beyond the axes; empty for none.
    """

    bars: tuple[Bar, ...]
    shades: tuple[tuple[float, float], ...]
    limits: tuple[Mark, ...]
    columns: tuple[Mark, ...]
    rows: tuple[Mark, ...]
    outside: str


def drawing(reason: Reason) -> Drawing | None:
    """The histogram of a rule; None where it judged nothing."""
    bins = reason.histogram
    if bins is None or not bins.judged or (bins.log and bins.edges[0] <= 0):
        return None
    most = max(*bins.counts, 1)
    edges = [_x(edge, bins) for edge in bins.edges]
    bars = [
        Bar(left, HEIGHT - (height := _y(count, most)), right - left, height, _title(bins, number))
        for number, (left, right, count) in enumerate(zip(edges[:-1], edges[1:], bins.counts, strict=True))
        if count
    ]
    inside = [limit for limit in reason.thresholds if bins.edges[0] <= limit <= bins.edges[-1]]
    return Drawing(
        bars=tuple(bars),
        shades=tuple(_shades(reason, bins)),
        limits=tuple(Mark(_x(limit, bins), value_of(limit)) for limit in inside),
        columns=tuple(Mark(_x(value, bins), format_quantity(value)) for value in _ticks(bins)),
        rows=tuple(Mark(HEIGHT - _y(10**power, most), f"{10**power:,}") for power in range(len(str(most)))),
        outside=_outside(bins),
    )


def _x(value: float, bins: Histogram) -> float:
    """The place of a value; the nearest end for one beyond the axes."""
    low, high = bins.edges[0], bins.edges[-1]
    value = min(max(value, low), high)
    part = math.log(value / low) / math.log(high / low) if bins.log else (value - low) / (high - low)
    return round(WIDTH * part, 2)


def _y(count: int, most: int) -> float:
    """The height of a count, as its logarithm: one document has some height, and the most leave some room above."""
    return round(HEIGHT * (math.log10(count) + 0.3) / (math.log10(most) + 0.4), 2)


def _title(bins: Histogram, number: int) -> str:
    low, high = (value_of(edge) for edge in bins.edges[number : number + 2])
    return f"{low} to {high}: {counted(bins.counts[number])}"


def _shades(reason: Reason, bins: Histogram) -> Iterator[tuple[float, float]]:
    least, most = reason.limits or (None, None)
    if least is not None and (end := _x(least, bins)) > 0:
        yield 0.0, end
    if most is not None and (begin := _x(most, bins)) < WIDTH:
        yield begin, round(WIDTH - begin, 2)


def _ticks(bins: Histogram) -> list[float]:
    """A few round values within the axes."""
    low, high = bins.edges[0], bins.edges[-1]
    if bins.log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        step = max(1, math.ceil((last - first) / _TICKS))
        if last - first >= 2:
            return [float(f"1e{power}") for power in range(first, last + 1, step)]
    step_size = _round_step((high - low) / _TICKS)
    begin, end = math.ceil(low / step_size - 1e-9), math.floor(high / step_size + 1e-9)
    return [
        float(f"{number * step_size:.12g}")
        for number in range(begin, end + 1)
        if number * step_size > 0 or not bins.log
    ]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 and 10 times a power of ten that is not below a number."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _outside(bins: Histogram) -> str:
    sides = ((bins.below, "below", bins.edges[0]), (bins.above, "above", bins.edges[-1]))
    parts = [f"{count:,} {side} {value_of(edge)}" for count, side, edge in sides if count]
    return " and ".join(parts)

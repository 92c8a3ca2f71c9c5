"""A histogram's shapes lie where its values are."""

import math

import pytest

from analysis.curation.funnel import Histogram, Reason
from analysis.curation.histogram import HEIGHT, WIDTH, Drawing, drawing


def drawn(
    edges: list[float],
    counts: list[int],
    limits: tuple[float | None, float | None] | None = None,
    log: bool = False,
    outside: tuple[int, int] = (0, 0),
) -> Drawing | None:
    bins = Histogram(tuple(edges), tuple(counts), *outside, log)
    return drawing(Reason("r", 0, 0, "", "words", limits, bins))


def test_bars_lie_between_their_edges_and_rise_with_their_counts() -> None:
    made = drawn([0, 1, 2, 3, 4], [1, 0, 10, 1000])
    assert made is not None
    assert [(bar.x, bar.x + bar.width) for bar in made.bars] == [(0, 115), (230, 345), (345, 460)]
    heights = [bar.height for bar in made.bars]
    assert 0 < heights[0] < heights[1] < heights[2] < HEIGHT
    assert [bar.y + bar.height for bar in made.bars] == [HEIGHT] * 3
    steps = heights[1] - heights[0], heights[2] - heights[1]
    assert steps[1] / steps[0] == pytest.approx(2, rel=0.01), "two decades over one"
    assert [bar.title for bar in made.bars] == ["0 to 1: 1 document", "2 to 3: 10 documents", "3 to 4: 1,000 documents"]
    assert [row.label for row in made.rows] == ["1", "10", "100", "1,000"]
    assert made.outside == ""


def test_logarithmic_bins_and_thresholds() -> None:
    made = drawn([1, 10, 100, 1000, 1e6], [1, 1, 1, 1], (50, 1e5), log=True, outside=(3, 2))
    assert made is not None
    assert [limit.at for limit in made.limits] == [
        pytest.approx(WIDTH * math.log(50, 1e6), abs=0.01),
        pytest.approx(WIDTH * math.log(1e5, 1e6), abs=0.01),
    ]
    assert [limit.label for limit in made.limits] == ["50", "100k"]
    (_, low), (high, rest) = made.shades
    assert (low, high) == (made.limits[0].at, made.limits[1].at)
    assert high + rest == pytest.approx(WIDTH)
    assert [tick.label for tick in made.columns] == ["1", "10", "100", "1k", "10k", "100k", "1M"]
    assert made.outside == "3 below 1 and 2 above 1M"


@pytest.mark.parametrize(
    ("limits", "shades", "marks"),
    [
        (None, 0, 0),
        ((None, None), 0, 0),
        ((0.5, None), 1, 1),
        ((None, 0.5), 1, 1),
        ((2.0, None), 1, 0),
        ((-1.0, 3.0), 0, 0),
        ((0.0, 1.0), 0, 2),
    ],
)
def test_thresholds_beyond_the_axes(limits: tuple[float | None, float | None], shades: int, marks: int) -> None:
    made = drawn([0, 0.5, 1], [2, 3], limits)
    assert made is not None
    assert (len(made.shades), len(made.limits)) == (shades, marks)
    assert all(begin >= 0 and begin + width <= WIDTH for begin, width in made.shades)


@pytest.mark.parametrize(
    ("low", "high", "log", "labels"),
    [
        (0, 1, False, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (3, 10, False, ["4", "6", "8", "10"]),
        (-0.5, 0.5, False, ["-0.4", "-0.2", "0", "0.2", "0.4"]),
        (1, 1e12, True, ["1", "100", "10k", "1M", "100M", "10B", "1T"]),
        (20, 90, True, ["20", "40", "60", "80"]),
        (1e-9, 3e-9, False, ["1e-09", "1.5e-09", "2e-09", "2.5e-09", "3e-09"]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, log: bool, labels: list[str]) -> None:
    made = drawn([low, (low * high) ** 0.5 if log else (low + high) / 2, high], [1, 1], log=log)
    assert made is not None
    assert [tick.label for tick in made.columns] == labels
    assert all(0 <= tick.at <= WIDTH for tick in made.columns)


def test_nothing_is_drawn_of_nothing() -> None:
    assert drawn([0, 1], [0]) is None
    assert drawn([0, 1], [4], log=True) is None, "no logarithm of 0"
    assert drawing(Reason("r", 0, 0)) is None
    made = drawn([0, 1], [0], outside=(0, 7))
    assert made is not None
    assert (made.bars, made.outside) == ((), "7 above 1")

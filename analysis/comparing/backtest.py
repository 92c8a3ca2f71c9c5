"""Backtests of comparisons: contenders are compared by their cheaper runs, and judged by their dearer ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparing.contenders import Contender, check_contenders
from analysis.comparing.differences.cells import Cells
from analysis.comparing.differences.difference import Surfaces, difference
from analysis.comparing.differences.pairs import Pairs, pair
from analysis.comparing.text import backtest_text
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.result import Result

FACTORS = (3.0, 10.0, 30.0, 100.0)
BINS = (0.5, 0.6, 0.8, 0.9, 0.97, 1.0)
LEVEL = 0.9
_FEWEST_PAIRS, _MOST_ORIGINS, _DRAWS = 4, 5, 60


@dataclass(frozen=True)
class Decisions:
    """How the decisions at some distance came out.

    Attributes:
        factor: about how many times the FLOPs of the largest fitted pairs the judged ones have.
        count: decisions.
        right: share in which the likelier contender was the better one.
        largest: the same of ranking by the pairs of the largest fitted budget.
        alone: the same of a law of each contender by itself; None where runs were too few for laws.
        brier: mean squared error of the probability; 0.25 for even chances.
        covered: share of the 90 % intervals that hold the difference.
        error: mean absolute error of the difference of log losses.
        largest_error: the same of the difference at the largest fitted budget.
    """

    factor: float
    count: int
    right: float
    largest: float
    alone: float | None
    brier: float
    covered: float
    error: float
    largest_error: float


@dataclass(frozen=True)
class Stated:
    """How often decisions that were stated with some probability came out right.

    Attributes:
        low: the least probability of the likelier contender.
        high: the largest.
        count: decisions.
        stated: mean probability.
        right: share that came out right; None without decisions.
    """

    low: float
    high: float
    count: int
    stated: float | None
    right: float | None


@dataclass(frozen=True, eq=False)
class ComparisonBacktest(Result):
    """A backtest of comparisons.

    Attributes:
        contenders: their names.
        by_distance: for judged pairs about 3, 10, 30 and 100 times the FLOPs of the fitted ones; only those there are.
        calibration: by the probability stated.
        level: of the intervals.
        frame: one row a decision: the names, ``fitted_flops flops difference forecast low high better largest alone``.
        warnings: in words and codes.
    """

    contenders: tuple[str, ...]
    by_distance: tuple[Decisions, ...]
    calibration: tuple[Stated, ...]
    level: float
    frame: pd.DataFrame
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return backtest_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling backtest --compare``."""
        return {
            "contenders": list(self.contenders),
            "decisions": len(self.frame),
            "by_distance": [asdict(each) for each in self.by_distance],
            "calibration": [asdict(each) for each in self.calibration],
            "level": self.level,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a distance, and the figures of :class:`Decisions`."""
        return pd.DataFrame(asdict(each) for each in self.by_distance)


def backtest_comparisons(contenders: Sequence[Contender]) -> ComparisonBacktest:
    """Compares every two contenders by their runs up to a budget, and judges that by each pair of runs beyond it.

    Args:
        contenders: two or more.

    Raises:
        InputError: losses that do not compare, or no two contenders with enough pairs of runs at different budgets.
    """
    warnings = check_contenders(contenders, budgets=False)  # those that share none give no decisions
    surfaces: dict[str, Surfaces] = {}
    rows: list[dict[str, Any]] = []
    for first, second in combinations(contenders, 2):
        both = pair(first.cells, second.cells)
        for origin in _origins(both):
            made = surfaces.setdefault(f"{origin:.3f}", Surfaces())
            for row in _judged(first.cells, second.cells, both, origin, made):
                rows.append({"first": first.name, "second": second.name, **row})
    if not rows:
        raise InputError(
            f"no two of {', '.join(each.name for each in contenders)} have {_FEWEST_PAIRS} pairs of runs of one size "
            "and length below a budget, and more beyond it"
        )
    frame = pd.DataFrame(rows)
    return ComparisonBacktest(
        contenders=tuple(each.name for each in contenders),
        by_distance=decisions_by_distance(frame),
        calibration=calibration_of(frame),
        level=LEVEL,
        frame=frame,
        warnings=warnings,
    )


def _origins(pairs: Pairs) -> list[float]:
    """Log FLOPs up to which pairs are fitted: evenly spaced over the budgets that leave enough of them."""
    if not len(pairs):
        return []
    budget = pairs.budget
    ends = [float(pairs.compute[budget <= number].max()) for number in range(int(budget.max()))]
    enough = [end for end in ends if (pairs.compute <= end).sum() >= _FEWEST_PAIRS]
    if not enough:
        return []
    places = np.unique(np.linspace(0, len(enough) - 1, min(_MOST_ORIGINS, len(enough))).round().astype(int))
    return [enough[place] for place in places]


def _judged(
    first: Cells, second: Cells, pairs: Pairs, origin: float, surfaces: Surfaces
) -> list[Mapping[str, float | bool | None]]:
    """A row for each pair beyond an origin, from the cells up to it."""
    held = pairs.take(pairs.compute > origin)
    below = [surfaces.upto(cells, origin) for cells in (first, second)]
    made = difference(below[0], below[1], (held.first, held.second), draws=_DRAWS, surfaces=surfaces)
    seen = pairs.take(pairs.compute <= origin)
    top = seen.take(seen.budget == seen.budget.max())
    largest = float(np.average(top.delta, weights=top.weight))
    low, high = made.interval(LEVEL)
    ours, theirs = (surfaces.of(cells, _DRAWS) for cells in below)
    alone = None if ours is None or theirs is None else theirs.log_loss(held.second) - ours.log_loss(held.first)
    return [
        {
            "fitted_flops": float(np.exp(origin)),
            "flops": float(np.exp(held.compute[i])),
            "difference": float(held.delta[i]),
            "forecast": float(made.centre[i]),
            "low": float(low[i]),
            "high": float(high[i]),
            "better": float(made.better[i]),
            "largest": largest,
            "alone": None if alone is None else float(alone[i]),
        }
        for i in range(len(held))
    ]


def decisions_by_distance(frame: pd.DataFrame) -> tuple[Decisions, ...]:
    """How decisions came out at each distance; ``frame`` is that of a backtest, or several of them together."""
    reach = np.log((frame["flops"] / frame["fitted_flops"]).to_numpy())
    nearest = np.abs(reach[:, None] - np.log(FACTORS)[None]).argmin(axis=1)
    found = []
    for place, factor in enumerate(FACTORS):
        rows = frame[nearest == place]
        if not len(rows):
            continue
        actual = rows["difference"]
        alone = rows[rows["alone"].notna()]
        found.append(
            Decisions(
                factor=factor,
                count=len(rows),
                right=_share((rows["better"] > 0.5) == (actual < 0)),
                largest=_share((rows["largest"] < 0) == (actual < 0)),
                alone=_share((alone["alone"] < 0) == (alone["difference"] < 0)) if len(alone) else None,
                brier=float(((rows["better"] - (actual < 0)) ** 2).mean()),
                covered=_share((rows["low"] <= actual) & (actual <= rows["high"])),
                error=float((rows["forecast"] - actual).abs().mean()),
                largest_error=float((rows["largest"] - actual).abs().mean()),
            )
        )
    return tuple(found)


def calibration_of(frame: pd.DataFrame) -> tuple[Stated, ...]:
    """How often decisions came out right by the probability stated; ``frame`` as of :func:`decisions_by_distance`."""
    stated = np.maximum(frame["better"], 1 - frame["better"])
    right = (frame["better"] > 0.5) == (frame["difference"] < 0)
    found = []
    for low, high in pairwise(BINS):
        inside = (stated >= low) & ((stated < high) if high < 1 else (stated <= high))
        count = int(inside.sum())
        mean = float(stated[inside].mean()) if count else None
        found.append(Stated(low, high, count, mean, _share(right[inside]) if count else None))
    return tuple(found)


def _share(holds: pd.Series) -> float:
    return float(holds.mean())

"""What the runs themselves show, budget by budget: differences, multipliers, their trend, and where curves cross."""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from analysis.comparing.comparison import BudgetRow, Span, finite
from analysis.comparing.contenders import Contender
from analysis.comparing.differences.cells import Cells
from analysis.comparing.differences.difference import Difference, Surfaces, difference
from analysis.comparing.differences.multiplier import gain_at
from analysis.comparing.differences.pairs import Pairs
from analysis.comparing.differences.surfaces import Surface
from analysis.laws import Inputs
from analysis.stats import least_squares

_POINTS = 9  # between the largest paired runs and the target


def by_budget(
    first: Contender, pairs: Pairs, surface: Surface | None, level: float, scatter: float
) -> tuple[BudgetRow, ...]:
    """The mean difference and multiplier of the pairs at each budget.

    Args:
        first: the first contender.
        pairs: of its cells and the second's.
        surface: the first's.
        level: of the intervals.
        scatter: standard deviation of the difference of two runs.
    """
    rows = []
    half = float(norm.ppf((1 + level) / 2))
    for number in range(int(pairs.budget.max()) + 1 if len(pairs) else 0):
        here = pairs.take(pairs.budget == number)
        centre = float(np.average(here.delta, weights=here.weight))
        error = half * scatter / np.sqrt(here.weight.sum())
        point = Inputs(*(np.array([np.mean(axis)]) for axis in here.first.axes))
        gain = gain_at(first.cells, surface, point)
        ends = np.array([centre, centre + error, centre - error])
        factors = None if gain is None else gain.factor(ends) * np.exp(np.mean(here.first.c - here.second.c))
        rows.append(
            BudgetRow(
                flops=float(np.exp(here.compute.mean())),
                pairs=len(here),
                difference=Span(centre, centre - error, centre + error),
                multiplier=Span(*((None,) * 3 if factors is None else map(finite, factors))),
            )
        )
    return tuple(rows)


def trend_of(rows: tuple[BudgetRow, ...], level: float) -> Span:
    """Factor by which the multiplier grows per tenfold compute: a line through its logs, by the budgets' pairs."""
    known = [(row, row.multiplier.value) for row in rows if row.multiplier.value]
    if len(known) < 3:
        return Span(None, None, None)
    x = np.log10([row.flops for row, _ in known])
    y = np.log([value for _, value in known])
    pairs = np.array([float(row.pairs) for row, _ in known])
    fit = least_squares(np.stack([np.ones_like(x), x - x.mean()], axis=1), y, pairs)
    spread = fit.std
    if spread is None:
        return Span(float(np.exp(fit.theta[1])), None, None)
    half = student.ppf((1 + level) / 2, fit.freedom) * spread * np.sqrt(fit.unit_covariance[1, 1])
    ends = (fit.theta[1], fit.theta[1] - half, fit.theta[1] + half)
    return Span(*(float(np.exp(np.clip(end, -50, 50))) for end in ends))


def crossing_of(
    first: Cells, second: Cells, pairs: Pairs, targets: tuple[Inputs, Inputs], made: Difference, surfaces: Surfaces
) -> tuple[float | None, float]:
    """FLOPs at which the forecast changes sign beyond the largest pairs, and how likely the order changes there.

    Args:
        first: cells of the first contender.
        second: of the second.
        pairs: of their cells.
        targets: of both.
        made: the difference at the target.
        surfaces: fitted before.
    """
    if not len(pairs):
        return None, 0.0
    top = pairs.take(pairs.budget == pairs.budget.max())
    now = float(np.average(top.delta, weights=top.weight))
    error = made.scatter / np.sqrt(top.weight.sum())
    lead = float(norm.cdf(-now / error)) if error > 0 else float(now < 0)
    ahead = float(made.better[0])
    crosses = lead * (1 - ahead) + (1 - lead) * ahead
    if (now < 0) == (made.centre[0] < 0) or targets[0].c[0] <= top.compute.mean():
        return None, crosses
    share = np.linspace(0.0, 1.0, _POINTS)
    paths = tuple(
        Inputs(*(a.mean() + share * (b[0] - a.mean()) for a, b in zip(begin.axes, end.axes, strict=True)))
        for begin, end in zip((top.first, top.second), targets, strict=True)
    )
    along = difference(first, second, (paths[0], paths[1]), draws=20, surfaces=surfaces).centre
    along[0] = now
    turned = np.flatnonzero((along < 0) != (now < 0))
    if not len(turned):  # a difference of 0 at the target
        return None, crosses
    place = int(turned[0])
    before, after = along[place - 1], along[place]
    compute = (paths[0].c + paths[1].c) / 2
    at = compute[place - 1] + (compute[place] - compute[place - 1]) * before / (before - after)
    return float(np.exp(at)), crosses

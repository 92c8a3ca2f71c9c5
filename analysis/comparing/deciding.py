"""Which further pairs of runs would decide a comparison, and what they cost.

The true difference at the target is known as well as the interval says: Student's t of variance V about the forecast.
Further pairs leave a variance W < V, so the forecast after them is spread by V - W about the present one. The
probability that the comparison will then state for its likelier contender is the mean over that spread: the forecast of
now need not come true.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from analysis.comparing.differences.difference import Difference
from analysis.comparing.differences.pairs import Pairs
from analysis.formatting import format_power
from analysis.laws import Inputs

STEPS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
MOST_SEEDS = 8
_POINTS = 2001


@dataclass(frozen=True)
class Further:
    """Further pairs of runs.

    Attributes:
        flops: of each run.
        seeds: pairs, each of one run of either contender.
        cost: FLOPs of all their runs.
        confidence: mean of the probability that the comparison will state for the likelier contender.
        decides: probability that it will be as high as a decision asks.
    """

    flops: float
    seeds: int
    cost: float
    confidence: float
    decides: float


def further_pairs(
    made: Difference, pairs: Pairs, first: Inputs, second: Inputs, *, decided: float, target_seeds: float = 1.0
) -> tuple[Further, ...]:
    """Further pairs of runs short of the target, from 1 to 8 at budgets 1, 2, 4, ... times the largest paired runs.

    Args:
        made: the difference at the target as it is known now.
        pairs: of the fitted runs.
        first: the target of the first contender, one entry.
        second: of the second.
        decided: the probability that is a decision.
        target_seeds: pairs of runs at the target.
    """
    target = float((first.c[0] + second.c[0]) / 2)
    top = float(pairs.compute.max()) if len(pairs) else target - np.log(STEPS[-1])
    found = []
    for flops in top + np.log(STEPS):
        if flops >= target:
            break
        for seeds in range(1, MOST_SEEDS + 1):
            worth = expected(made, target - top, target - float(flops), seeds, decided, target_seeds)
            size = float(np.exp(flops))
            found.append(Further(size, seeds, 2 * seeds * size, *worth))
    return tuple(found)


def expected(
    made: Difference, reach: float, left: float, seeds: int, decided: float, target_seeds: float = 1.0
) -> tuple[float, float]:
    """Mean probability of the likelier contender after further pairs, and the probability that it decides.

    Args:
        made: the difference at the target as it is known now, with one entry.
        reach: log of the target's FLOPs over those of the largest pairs now.
        left: the same over those of the further pairs.
        seeds: how many.
        decided: the probability that is a decision.
        target_seeds: pairs of runs at the target.
    """
    noise, at_target = made.scatter**2, (made.scatter * made.noise_ratio) ** 2 / target_seeds
    now = max(float(made.scale[0]) ** 2 - at_target, 0.0)
    spread = max(now - (made.drift * max(reach, 0.0)) ** 2, 0.0)
    less = spread * noise / (spread * seeds + noise) if noise > 0 else 0.0
    then = min(less + (made.drift * max(left, 0.0)) ** 2, now)
    even = student.ppf((np.arange(_POINTS) + 0.5) / _POINTS, made.freedom)
    centre = float(made.centre[0]) + np.sqrt(now - then) * even
    scale = max(float(np.sqrt(then + at_target)), 1e-12)
    stated = student.cdf(np.abs(centre) / scale, made.freedom)
    return float(stated.mean()), float((stated >= decided).mean())


def cheapest(plans: Sequence[Further], decided: float) -> Further | None:
    """The cheapest further pairs that decide in expectation; None where none do."""
    enough = [plan for plan in plans if plan.confidence >= decided]
    return min(enough, key=lambda plan: (plan.cost, plan.seeds), default=None)


def deciding(
    made: Difference, pairs: Pairs, first: Inputs, second: Inputs, decided: float, target_seeds: float = 1.0
) -> str | None:
    """The cheapest further pairs that would decide, in words; None where the probability is enough already."""
    better = float(made.better[0])
    now = max(better, 1 - better)
    if now >= decided:
        return None
    return verdict(further_pairs(made, pairs, first, second, decided=decided, target_seeds=target_seeds), now, decided)


def verdict(plans: Sequence[Further], now: float, decided: float) -> str:
    """What further pairs would decide, in words.

    Args:
        plans: the further pairs.
        now: the probability of the likelier contender as it is.
        decided: the probability that is a decision.
    """
    if not plans:
        return f"the runs reach to the target, and its runs alone are left to decide: {_percent(now)} as it is"
    plan = cheapest(plans, decided)
    if plan is not None:
        return f"{runs_of(plan)} would decide: {_percent(plan.confidence)} in expectation, {_percent(now)} as it is"
    best = max(plans, key=lambda plan: (plan.confidence, -plan.cost))
    return (
        f"no runs short of the target would decide in expectation: {runs_of(best)} bring{'s' * (best.seeds == 1)} "
        f"{_percent(best.confidence)}, {_percent(now)} as it is"
    )


def runs_of(plan: Further) -> str:
    """Further pairs in words: ``2 runs of each at 3e18 FLOPs``."""
    runs = "one run" if plan.seeds == 1 else f"{plan.seeds} runs"
    return f"{runs} of each at {format_power(plan.flops)} FLOPs"


def _percent(share: float) -> str:
    # Rounded down: what falls short of a decision must not read as one.
    return f"{np.floor(1000 * share + 1e-9) / 10:.3g}%"

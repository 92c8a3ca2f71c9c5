"""Which further runs decide: the expectation over what the difference may be, and the words for it."""

import numpy as np
import pytest
from scipy.stats import norm

from analysis.comparing.deciding import Further, cheapest, expected, further_pairs, verdict
from analysis.comparing.differences.difference import Difference
from analysis.comparing.differences.pairs import Pairs
from analysis.runs.arrays import inputs_at

MANY = 1e9  # degrees of freedom: Student's t is the normal distribution


def known(
    centre: float, spread: float, scatter: float, drift: float, reach: float, freedom: float = MANY
) -> Difference:
    scale = np.sqrt(spread**2 + (drift * reach) ** 2 + scatter**2)
    return Difference(np.array([centre]), np.array([scale]), freedom, {}, 3, 2.0, scatter, drift)


def simulated(made: Difference, then: float, count: int = 200_000) -> tuple[float, float, float]:
    """Mean stated probability, share of decisions at 95 %, and share that is right, of truths that are measured."""
    rng, noise = np.random.default_rng(0), made.scatter**2
    now = float(made.scale[0]) ** 2 - noise
    truth = made.centre[0] + np.sqrt(now) * rng.standard_normal(count)
    of_measuring = now * then / (now - then)
    measured = truth + np.sqrt(of_measuring) * rng.standard_normal(count)
    centre = (made.centre[0] * of_measuring + measured * now) / (of_measuring + now)
    stated = norm.cdf(np.abs(centre) / np.sqrt(then + noise))
    run = truth + made.scatter * rng.standard_normal(count)
    return float(stated.mean()), float((stated >= 0.95).mean()), float(((run < 0) == (centre < 0)).mean())


@pytest.mark.parametrize("seeds", [1, 4])
@pytest.mark.parametrize("left", [0.0, 1.0])
def test_the_expectation_is_that_of_simulated_experiments(left: float, seeds: int) -> None:
    spread, scatter, drift, reach = 0.004, 0.005, 0.004, 2.5
    made = known(-0.01, spread, scatter, drift, reach)
    then = 1 / (1 / spread**2 + seeds / scatter**2) + (drift * left) ** 2
    confidence, decides = expected(made, reach, left, seeds, 0.95)
    stated, decided, right = simulated(made, then)
    assert confidence == pytest.approx(stated, abs=0.003)
    assert decides == pytest.approx(decided, abs=0.005)
    assert confidence == pytest.approx(right, abs=0.004)  # what is stated is how often it is right
    # The classical error: as if the forecast came true.
    naive = float(norm.cdf(0.01 / np.sqrt(then + scatter**2)))
    assert abs(naive - right) > 0.02


def test_no_further_runs_leave_what_is_stated() -> None:
    made = known(-0.01, 0.0, 0.005, 0.004, 2.5, freedom=5)
    confidence, decides = expected(made, 2.5, 2.5, 8, 0.95)
    assert confidence == pytest.approx(float(made.better[0]), abs=1e-9)
    assert decides == 0


def pairs(top: float) -> Pairs:
    at = inputs_at(np.array([1e6, 1e6]), np.array([1e7, 1e8]), np.array([top / 10, top]))
    return Pairs(at, at, np.array([-0.01, -0.01]), np.ones(2), None, 0, 0.0)


def test_more_runs_and_larger_ones_are_worth_more_and_none_reaches_the_target() -> None:
    target = inputs_at(1e7, 1e9, 1e16)
    made = known(-0.012, 0.004, 0.004, 0.003, float(np.log(1e16 / 1e14)))
    plans = further_pairs(made, pairs(1e14), target, target, decided=0.95)
    assert max(plan.flops for plan in plans) < 1e16
    assert sorted({plan.seeds for plan in plans}) == list(range(1, 9))
    assert all(plan.cost == pytest.approx(2 * plan.seeds * plan.flops) for plan in plans)
    at = {(round(plan.flops / 1e14), plan.seeds): plan.confidence for plan in plans}
    assert at[1, 1] < at[1, 8] < at[64, 8]
    assert at[1, 1] < at[64, 1]


def test_the_cheapest_that_decides_is_named_or_that_none_does() -> None:
    few, many = Further(1e14, 1, 2e14, 0.93, 0.4), Further(4e14, 2, 1.6e15, 0.957, 0.7)
    more = Further(8e14, 2, 3.2e15, 0.97, 0.8)
    assert cheapest([few, more, many], 0.95) == many
    assert verdict([few, many], 0.9, 0.95) == (
        "2 runs of each at 4e14 FLOPs would decide: 95.7% in expectation, 90% as it is"
    )
    assert verdict([few], 0.9, 0.95) == (
        "no runs short of the target would decide in expectation: one run of each at 1e14 FLOPs brings 93%, "
        "90% as it is"
    )
    assert "94.9%" in verdict([Further(1e14, 1, 2e14, 0.94999, 0.4)], 0.9, 0.95)
    assert verdict([], 0.9, 0.95).startswith("the runs reach to the target")

"""The posterior about a target: Gaussian conditioning, in any order, and what no number of seeds can determine."""

import numpy as np
import pytest
from jaxtyping import Float

from analysis.design.posterior import Posterior, default_law, slopes, useful_seeds
from analysis.laws import Inputs
from analysis.runs.arrays import inputs_at

SKALING = ("skaling", {"E": 1.7, "A": 70.0, "B": 290.0, "alpha": 0.24, "beta": 0.27, "k": 1.4})


def runs(target: float = 1e22) -> Inputs:
    """Three sizes at each of four budgets and, last, the target."""
    flops, spread = (x.ravel() for x in np.meshgrid(np.geomspace(1e18, 1e20, 4), [0.4, 1.0, 2.5], indexing="ij"))
    flops, spread = np.append(flops, target), np.append(spread, 1.0)
    n = np.sqrt(flops / 120) * spread
    return inputs_at(n, flops / 6 / n, flops)


def posterior(noise: float = 0.003) -> Posterior:
    at = runs()
    return Posterior.prior(at, [default_law(at), SKALING], np.full(12, noise))


def one(row: int, count: int = 1) -> Float[np.ndarray, " rows"]:
    return (np.arange(12) == row) * count


def test_runs_at_once_or_one_after_another_tell_the_same() -> None:
    seeds = np.array([2, 0, 1, 0, 3, 0, 0, 1, 0, 1, 0, 1])
    step = posterior()
    for row in np.repeat(np.arange(12), seeds)[::-1]:
        step = step.with_run(int(row))
    np.testing.assert_allclose(posterior().given(seeds).covariance, step.covariance, atol=1e-12)


def test_a_gain_is_what_the_variance_loses() -> None:
    known = posterior().given(one(4) + one(9))
    for row, gain in enumerate(known.variance_reductions()):
        assert known.std**2 - known.with_run(row).std ** 2 == pytest.approx(gain, rel=1e-6)


def test_one_law_and_one_run_by_hand() -> None:
    at = runs()
    law = default_law(at)
    size, data = np.exp(-0.35 * (at.n - at.n.mean())), np.exp(-0.35 * (at.d - at.d.mean()))
    terms = np.stack(
        [np.ones_like(size), size, data, -(at.n - at.n.mean()) * size, -(at.d - at.d.mean()) * data], axis=1
    )
    j = terms / (1 + size + data)[:, None]
    # On the line of equal growth the distance is the log of the FLOPs' factor.
    missed = 0.002**2 * np.log(1e22 / 1e20) ** 1.5
    reported = (j[-1] @ j[10]) ** 2 / (j[10] @ j[10] + missed + 0.003**2)
    found = Posterior.prior(at, [law], np.full(12, 0.003)).with_run(10)
    assert found.std**2 == pytest.approx(j[-1] @ j[-1] - reported)


def test_out_of_proportion_tells_less_and_like_the_target_more() -> None:
    def left(ratio: float, target_ratio: float) -> float:
        """The least that any number of runs of a ratio leaves unknown of a target of five times the FLOPs."""
        n, c = np.sqrt(np.array([1e21, 5e21]) / 6 / np.array([ratio, target_ratio])), np.array([1e21, 5e21])
        at = inputs_at(n, c / 6 / n, c)
        law = ("chinchilla", {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658})
        own = Posterior.prior(at, [law], np.full(1, 1e-9))
        covariance = own.covariance[0] - slopes(at, *law) @ slopes(at, *law).T
        return float(np.sqrt(covariance[0, 0]))

    assert left(25, 25) < left(250, 25) < left(2500, 25)
    assert left(0.25, 25) > 1.5 * left(25, 25)
    assert left(2500, 2500) < left(25, 2500)


def test_no_number_of_seeds_makes_up_for_distance() -> None:
    low_compute, spread = np.zeros(12, np.int64), np.zeros(12, np.int64)
    low_compute[:3] = 10**6
    spread[:] = 1
    assert posterior().given(spread).std < posterior().given(low_compute).std / 3
    assert posterior().given(np.full(12, 10**6)).std > 0.002


def test_seeds_that_tell_grow_with_noise_and_fall_with_distance() -> None:
    low, high = (useful_seeds(runs(), np.full(12, noise)) for noise in (0.001, 0.05))
    assert (low == 1).all()
    assert high[1] < high[10]
    np.testing.assert_array_equal(high, np.sort(high.reshape(4, 3), axis=0).reshape(12))


def test_what_is_left_out_stays_unknown() -> None:
    keep = np.arange(12) % 2 == 0
    part = posterior().given(one(3)).subset(keep)
    np.testing.assert_allclose(part.variance_reductions(), posterior().given(one(3)).variance_reductions()[keep])
    assert part.std == posterior().given(one(3)).std

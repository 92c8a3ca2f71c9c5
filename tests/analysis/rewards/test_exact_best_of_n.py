"""Best-of-n from samples: equal to enumeration, unbiased where usual estimates are not; the divergence's bound."""

import itertools

import numpy as np
import pytest

from analysis.rewards.best_of_n import best_weights, expected_best, kl_bound, usual_sizes
from analysis.rewards.forecasting.methods import log_n

CASES = {
    "distinct": ([0.3, -1.2, 2.0, 0.7, -0.1], [1.0, 2.0, -3.0, 0.5, 4.0]),
    "ties": ([1.0, 1.0, 0.0, 2.0, 2.0, 2.0], [1.0, 5.0, -3.0, 0.5, 4.0, 0.0]),
    "all alike": ([0.5, 0.5, 0.5], [1.0, 2.0, 6.0]),
    "negative": ([-3.0, -5.0, -4.0, -4.0], [-1.0, -2.0, -7.0, -6.0]),
}


def by_enumeration(proxy: np.ndarray, gold: np.ndarray, n: int) -> float:
    """Mean over all subsets of n of gold of the best by the proxy, ties by lot."""
    values = []
    for subset in itertools.combinations(range(len(proxy)), n):
        chosen = np.array(subset)
        values.append(gold[chosen[proxy[chosen] == proxy[chosen].max()]].mean())
    return float(np.mean(values))


@pytest.mark.parametrize("name", list(CASES))
def test_equals_the_mean_over_all_subsets(name: str) -> None:
    proxy, gold = map(np.array, CASES[name])
    sizes = np.arange(1, len(proxy) + 1)
    expected = [by_enumeration(proxy, gold, int(n)) for n in sizes]
    np.testing.assert_allclose(expected_best(proxy, gold, sizes), expected, rtol=1e-12)
    np.testing.assert_allclose(best_weights(proxy, sizes).sum(axis=1), 1.0, rtol=1e-12)


def policy_expectation(probability: np.ndarray, proxy: np.ndarray, gold: np.ndarray, n: int) -> float:
    """Gold of the best of n independent answers of a discrete policy, by enumerating every draw."""
    total = 0.0
    for draw in itertools.product(range(len(probability)), repeat=n):
        chosen = np.array(draw)
        best = chosen[proxy[chosen] == proxy[chosen].max()]
        total += float(np.prod(probability[chosen])) * float(gold[best].mean())
    return total


PROBABILITY = np.array([0.1, 0.4, 0.3, 0.2])
PROXY, GOLD = np.array([3.0, 1.0, 2.0, 2.0]), np.array([-5.0, 0.0, 2.0, 1.0])


def _exact(answers: np.ndarray, n: int) -> float:
    return float(expected_best(PROXY[answers], GOLD[answers], np.array([n]))[0])


def _reused(answers: np.ndarray, n: int) -> float:
    """The usual mistake: subsets drawn with replacement, so that a sample competes with itself."""
    proxy, gold = PROXY[answers], GOLD[answers]
    share = np.full(len(answers), 1 / len(answers))
    return policy_expectation(share, proxy, gold, n)


def test_unbiased_on_a_discrete_policy_where_reused_samples_are_not() -> None:
    samples, n = 4, 3
    draws = [np.array(draw) for draw in itertools.product(range(4), repeat=samples)]
    chance = np.array([np.prod(PROBABILITY[draw]) for draw in draws])
    truth = policy_expectation(PROBABILITY, PROXY, GOLD, n)
    exact, reused = (float(chance @ [estimate(draw, n) for draw in draws]) for estimate in (_exact, _reused))
    assert exact == pytest.approx(truth, abs=1e-12)
    assert abs(reused - truth) > 0.1


def best_of_n_divergence(probability: np.ndarray, reward: np.ndarray, n: int) -> float:
    """KL of best-of-n from a discrete policy, by the distribution of the best: ties share by probability."""
    best = np.zeros(len(probability))
    for value in np.unique(reward):
        group = reward == value
        won = probability[reward <= value].sum() ** n - probability[reward < value].sum() ** n
        best[group] = won * probability[group] / probability[group].sum()
    held = best > 0
    return float(best[held] @ np.log(best[held] / probability[held]))


@pytest.mark.parametrize("n", [2, 8, 64])
def test_the_divergence_is_bounded_and_reaches_its_bound_without_ties(n: int) -> None:
    bound = float(kl_bound(np.array([float(n)]))[0])
    many = np.full(20_000, 1 / 20_000)
    assert best_of_n_divergence(many, np.arange(20_000.0), n) == pytest.approx(bound, rel=2e-3)
    assert best_of_n_divergence(many, np.arange(20_000.0) // 5_000, n) < bound - 0.01
    assert best_of_n_divergence(PROBABILITY, PROXY, n) < bound


def test_sizes_are_powers_of_two() -> None:
    assert usual_sizes(1) == [1]
    assert usual_sizes(96) == [1, 2, 4, 8, 16, 32, 64]
    assert usual_sizes(128) == [1, 2, 4, 8, 16, 32, 64, 128]


def test_log_n_inverts_the_bound() -> None:
    n = np.array([1.0, 1.01, 2.0, 17.0, 4096.0, 1e9])
    np.testing.assert_allclose(log_n(np.sqrt(kl_bound(n))), np.log(n), rtol=1e-6, atol=1e-9)

"""The best of n by its estimators against enumeration, on policies with few answers."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from analysis.rewards.best_of_n import best_weights
from scaling.posttrain.best_of_n.order_statistics import (
    best_kl,
    best_probabilities,
    best_shares,
    kl_bound,
    mean_and_error,
    measured_kl,
    usual_sizes,
    win_rates,
)

# A policy of four answers: two share a proxy, and the best by the proxy is bad.
POLICY = np.array([0.4, 0.3, 0.2, 0.1])
PROXY = np.array([0.0, 1.0, 1.0, 2.0])
GOLD = np.array([0.5, 1.0, 3.0, -1.0])
DRAWN = 5  # answers to a prompt

Estimate = Callable[[np.ndarray, np.ndarray, int], float]


def unbiased(proxy: np.ndarray, gold: np.ndarray, n: int) -> float:
    return float((best_shares(proxy, np.array([n])) @ gold)[0])


def with_replacement(proxy: np.ndarray, gold: np.ndarray, n: int) -> float:
    """The seeded fault: n answers are drawn from the m again and again, and reused."""
    shares = best_probabilities(np.full(len(proxy), 1 / len(proxy)), proxy, n)
    return float(shares @ gold)


def expected(estimate: Estimate, n: int) -> float:
    """The estimate's expectation, over every sample of answers that there is."""
    total = 0.0
    for drawn in itertools.product(range(4), repeat=DRAWN):
        at = list(drawn)
        total += POLICY[at].prod() * estimate(PROXY[at], GOLD[at], n)
    return total


def truth(n: int) -> float:
    """Gold of the best of n, over every n answers that there are; ties are broken by lot."""
    total = 0.0
    for drawn in itertools.product(range(4), repeat=n):
        at = list(drawn)
        best = PROXY[at] == PROXY[at].max()
        total += POLICY[at].prod() * GOLD[at][best].mean()
    return total


@pytest.mark.parametrize("n", range(1, DRAWN + 1))
def test_the_estimate_is_unbiased(n: int) -> None:
    assert expected(unbiased, n) == pytest.approx(truth(n), abs=1e-12)


@pytest.mark.parametrize("n", range(2, DRAWN + 1))
def test_reused_answers_are_noticed(n: int) -> None:
    assert abs(expected(with_replacement, n) - truth(n)) > 0.01


def test_shares_are_those_of_all_subsets() -> None:
    random = np.random.default_rng(0)
    proxy = random.integers(0, 4, 9).astype(np.float64)
    sizes = np.arange(1, 10)
    shares = best_shares(proxy, sizes)
    for at, n in enumerate(sizes.tolist()):
        found = np.zeros(9)
        subsets = [list(subset) for subset in itertools.combinations(range(9), n)]
        for subset in subsets:
            best = [i for i in subset if proxy[i] == proxy[subset].max()]
            found[best] += 1 / len(best) / len(subsets)
        np.testing.assert_allclose(shares[at], found, atol=1e-12)
    # The same as of tables that anybody brings.
    np.testing.assert_allclose(shares, best_weights(proxy, sizes), atol=1e-12)


def test_many_answers_overflow_nothing() -> None:
    proxy = np.random.default_rng(0).normal(size=5000)
    sizes = usual_sizes(5000)
    shares = best_shares(proxy, sizes)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-8)
    assert (np.diff(shares @ proxy) > 0).all()
    assert (shares @ proxy)[-1] == pytest.approx(proxy.max())


def test_usual_sizes_end_with_all() -> None:
    assert usual_sizes(1).tolist() == [1]
    assert usual_sizes(8).tolist() == [1, 2, 4, 8]
    assert usual_sizes(12).tolist() == [1, 2, 4, 8, 12]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_distribution_of_the_best_is_that_of_all_draws(n: int) -> None:
    found = np.zeros(4)
    for drawn in itertools.product(range(4), repeat=n):
        at = np.array(drawn)
        best = at[PROXY[at] == PROXY[at].max()]
        np.add.at(found, best, POLICY[at].prod() / len(best))
    np.testing.assert_allclose(best_probabilities(POLICY, PROXY, n), found, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 4, 16, 128])
def test_kl_is_at_most_its_bound(n: int) -> None:
    bound = float(kl_bound(np.array([n]))[0])
    random = np.random.default_rng(n)
    for outcomes in (2, 8, 50):
        policy = random.dirichlet(np.ones(outcomes))
        for proxy in (random.normal(size=outcomes), random.integers(0, 3, outcomes).astype(np.float64)):
            assert -1e-12 <= best_kl(policy, proxy, n) <= bound + 1e-12
    if n > 1:  # taken for an equality, it is wrong where an answer is likely by itself
        assert best_kl(POLICY, PROXY, n) < 0.9 * bound


@pytest.mark.parametrize("n", [1, 2, 4, 16, 128])
def test_kl_is_its_bound_without_ties(n: int) -> None:
    """Many unlikely answers, each with a proxy of its own: nearly a continuous policy."""
    many = np.full(200_000, 1 / 200_000)
    assert best_kl(many, np.arange(200_000.0), n) == pytest.approx(float(kl_bound(np.array([n]))[0]), abs=1e-4)


def test_measured_kl_takes_equal_answers_together() -> None:
    sizes = np.array([1, 2, 8])
    keys = [b"x", b"y", b"x", b"z", b"x", b"y", b"x", b"w"]
    proxy = np.array([0.0, 1.0, 0.0, 2.0, 0.0, 1.0, 0.0, 1.0])
    exact = [best_kl(np.array([0.5, 0.25, 0.125, 0.125]), np.array([0.0, 1.0, 2.0, 1.0]), n) for n in (1, 2, 8)]
    np.testing.assert_allclose(measured_kl(keys, proxy, sizes), exact, atol=1e-12)
    rounded = proxy + 1e-7 * np.array([0, 0, 1, 0, 2, 0, 3, 0])  # as of one answer in batches of two shapes
    np.testing.assert_allclose(measured_kl(keys, rounded, sizes), exact, atol=1e-12)
    apart = measured_kl([bytes([i]) for i in range(8)], np.arange(8.0), sizes)
    assert (measured_kl(keys, proxy, sizes)[1:] < apart[1:]).all()
    assert (apart <= kl_bound(sizes) + 1e-12).all()
    assert measured_kl([b"x"] * 8, np.zeros(8), sizes).tolist() == [0.0, 0.0, 0.0]


def test_win_rates_are_those_of_all_subsets_and_one_more() -> None:
    random = np.random.default_rng(1)
    proxy, gold = random.permutation(7).astype(np.float64), random.integers(0, 3, 7).astype(np.float64)
    sizes = np.arange(1, 8)
    rates = win_rates(proxy, gold, sizes)
    for at, n in enumerate(sizes[:-1].tolist()):
        wins = []
        for subset in itertools.combinations(range(7), n):
            best = max(subset, key=lambda i: proxy[i])
            wins += [(gold[best] > gold[i]) + 0.5 * (gold[best] == gold[i]) for i in range(7) if i not in subset]
        assert rates[at] == pytest.approx(np.mean(wins), abs=1e-12)
    assert np.isnan(rates[-1])


def test_by_its_own_proxy_the_best_wins_n_of_n_and_one() -> None:
    sizes = np.arange(1, 12)
    proxy = np.random.default_rng(2).normal(size=12)
    np.testing.assert_allclose(win_rates(proxy, proxy, sizes), sizes / (sizes + 1), atol=1e-12)
    for tied in (np.round(proxy), np.zeros(12)):
        rates = win_rates(tied, tied, sizes)
        assert (rates <= sizes / (sizes + 1) + 1e-12).all()
        assert (rates[1:3] < sizes[1:3] / (sizes[1:3] + 1) - 1e-3).all()


def test_standard_errors_are_over_prompts() -> None:
    mean, error = mean_and_error(np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]]))
    np.testing.assert_allclose(mean, [3.0, 2.0])
    np.testing.assert_allclose(error, [2 / np.sqrt(3), 0.0])
    assert np.isnan(mean_and_error(np.ones((1, 2)))[1]).all()

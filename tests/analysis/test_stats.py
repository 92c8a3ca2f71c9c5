"""The statistics that rooms share, against closed forms, simulation and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.stats import (
    batched_least_squares,
    central_interval,
    clusters,
    least_squares,
    pooled_std,
    random_effects,
    robust_std,
    weighted_quantiles,
)

RNG = np.random.default_rng


def test_robust_std_of_a_normal_sample_ignores_outliers() -> None:
    sample = 0.3 * RNG(0).standard_normal(20_000)
    assert robust_std(sample) == pytest.approx(0.3, rel=0.02)
    sample[:200] = 1e6
    assert robust_std(sample) == pytest.approx(0.3, rel=0.04)


def test_robust_std_is_about_zero_and_not_about_the_median() -> None:
    assert robust_std(np.array([1.0, 1.0, 1.0])) == pytest.approx(1 / 0.6744897501960817)


def test_pooled_std_weighs_by_degrees_of_freedom() -> None:
    assert pooled_std([3.0, 1.0], [1, 3]) == pytest.approx(np.sqrt((9 + 3) / 4))
    assert pooled_std([], []) is None
    assert pooled_std([2.0], [0]) is None


def test_central_interval_of_each_column() -> None:
    draws = np.stack([np.linspace(0, 1, 101), np.linspace(0, 10, 101)], axis=1)
    low, high = central_interval(draws)
    np.testing.assert_allclose([low, high], [[0.05, 0.5], [0.95, 9.5]])
    assert central_interval(draws[:, 0], 0.5)[1] == pytest.approx(0.75)


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(1, 9)), min_size=1, max_size=30), st.floats(0.01, 0.99))
def test_weighted_quantile_is_that_of_repeated_values(pairs: list[tuple[int, int]], level: float) -> None:
    values, counts = np.array(pairs).T
    (found,) = weighted_quantiles(values.astype(float), counts.astype(float), [level])
    assert found == np.quantile(np.repeat(values, counts), level, method="inverted_cdf")


def test_weighted_quantiles_of_each_column() -> None:
    values = np.array([[1.0, 30.0], [2.0, 10.0], [3.0, 20.0]])
    np.testing.assert_array_equal(
        weighted_quantiles(values, np.array([0.6, 0.3, 0.1]), [0.05, 0.5, 0.95]), [[1, 10], [1, 30], [3, 30]]
    )


@given(st.lists(st.floats(-3, 3), max_size=40), st.floats(0.0, 1.0))
def test_clusters_equal_a_plain_loop(values: list[float], width: float) -> None:
    numbers, number, first = {}, -1, -np.inf
    for value in sorted(values):
        if value > first + width:
            number, first = number + 1, value
        numbers[value] = number
    np.testing.assert_array_equal(clusters(np.array(values), width), [numbers[value] for value in values])


def test_a_cluster_is_measured_from_its_first_value() -> None:
    np.testing.assert_array_equal(clusters(np.array([0.3, 0.0, 0.1, 0.2]), 0.15), [1, 0, 0, 1])


def test_least_squares_recovers_a_line_with_its_covariance() -> None:
    rng = RNG(1)
    x = rng.uniform(-1, 1, 12)
    design, weight = np.stack([np.ones(12), x], axis=1), rng.uniform(1, 9, 12)
    truth = np.array([2.0, -3.0])
    fits = [
        least_squares(design, design @ truth + rng.standard_normal(12) / np.sqrt(weight), weight) for _ in range(2000)
    ]
    theta = np.stack([fit.theta for fit in fits])
    np.testing.assert_allclose(theta.mean(axis=0), truth, atol=0.03)
    np.testing.assert_allclose(np.cov(theta.T), fits[0].unit_covariance, rtol=0.15, atol=0.002)
    assert fits[0].freedom == 10
    assert np.mean([fit.chi_square for fit in fits]) == pytest.approx(10, rel=0.05)


def test_a_saturated_fit_has_no_residual_deviation() -> None:
    fit = least_squares(np.eye(3), np.arange(3.0))
    assert fit.freedom == 0
    assert fit.std is None
    np.testing.assert_allclose(fit.theta, np.arange(3.0))


def test_less_than_full_rank_counts_in_the_degrees_of_freedom() -> None:
    fit = least_squares(np.ones((4, 2)), np.array([0.0, 0.0, 2.0, 2.0]))
    assert fit.freedom == 3
    assert fit.std == pytest.approx(np.sqrt(4 / 3))


def test_batched_least_squares_equals_one_fit_at_a_time() -> None:
    rng = RNG(2)
    design, y, weight = rng.standard_normal((9, 3)), rng.standard_normal(9), rng.uniform(0.1, 1, (5, 9))
    np.testing.assert_allclose(
        batched_least_squares(design, y, weight), [least_squares(design, y, row).theta for row in weight]
    )


def test_random_effects_finds_the_scatter_beyond_the_errors() -> None:
    rng = RNG(3)
    x = np.linspace(-1, 1, 4000)
    design, error = np.stack([np.ones_like(x), x], axis=1), rng.uniform(0.05, 0.2, len(x))
    y = 1 + 2 * x + np.hypot(error, 0.3) * rng.standard_normal(len(x))
    fit, scatter = random_effects(design, y, error**2)
    assert scatter == pytest.approx(0.3, rel=0.05)
    assert fit.chi_square == pytest.approx(fit.freedom, rel=1e-6)
    np.testing.assert_allclose(fit.theta, [1, 2], atol=0.03)
    np.testing.assert_allclose(fit.weight, 1 / (error**2 + scatter**2))


def test_random_effects_without_surplus_is_plain_weighting() -> None:
    design, y, variance = np.stack([np.ones(3), np.arange(3.0)], axis=1), np.array([0.0, 1.1, 1.9]), np.ones(3)
    fit, scatter = random_effects(design, y, variance)
    assert scatter == 0
    np.testing.assert_allclose(fit.theta, least_squares(design, y).theta)
    assert random_effects(design[:2], y[:2], variance[:2])[1] == 0

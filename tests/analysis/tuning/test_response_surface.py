"""The least of a quadratic surface: known surfaces, what noise does to it, and what is refused."""

import numpy as np
import pytest
from jaxtyping import Float

from analysis.errors import InputError
from analysis.tuning.response_surface import ResponseSurface, fit_response_surface

RATES = np.log([0.25, 0.5, 1.0, 2.0, 4.0])[:, None]
LEAST = np.array([0.3, -0.4])
CURVATURE = np.array([[0.01, -0.004], [-0.004, 0.02]])


def quadratic(x: Float[np.ndarray, "rows k"]) -> Float[np.ndarray, " rows"]:
    k = x.shape[1]
    away = x - LEAST[:k]
    return 0.5 + np.einsum("ri,ij,rj->r", away, CURVATURE[:k, :k], away) / 2


def square(values: int) -> Float[np.ndarray, "rows 2"]:
    """A grid of so many values of each of two hyperparameters, a factor of 2 apart."""
    axis = np.log(2.0) * (np.arange(values) - values // 2)
    return np.stack([line.ravel() for line in np.meshgrid(axis, axis)], axis=1)


def lopsided(u: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Excess over a least at 0 that is 1.5 % at 4 times the rate and 6.5 % at a quarter of it."""
    return 0.0119 * (np.exp(-1.55 * u) + 1.55 * u - 1)


def one_group(
    x: Float[np.ndarray, "rows k"], log_loss: Float[np.ndarray, " rows"], **options: float
) -> ResponseSurface:
    return fit_response_surface(x, log_loss, np.zeros(len(x), int), **options)


@pytest.mark.parametrize("x", [RATES, square(5)], ids=["rate", "rate and batch"])
def test_an_exact_quadratic(x: Float[np.ndarray, "rows k"]) -> None:
    k = x.shape[1]
    found = one_group(x, quadratic(x), within=1.0)
    np.testing.assert_allclose(found.optimum, LEAST[:k], atol=1e-9)
    np.testing.assert_allclose(found.curvature, CURVATURE[:k, :k], atol=1e-10)
    assert found.has_minimum
    assert found.bracketed.all()
    value, error = found.excess(np.zeros(k))
    assert value == pytest.approx(LEAST[:k] @ CURVATURE[:k, :k] @ LEAST[:k] / 2)
    assert error == pytest.approx(0, abs=1e-9)


def test_what_seeds_share_drops_out() -> None:
    x, seed = np.tile(RATES, (3, 1)), np.repeat([0, 1, 2], 5)
    level = np.array([0.0, 0.05, -0.08])[seed]
    found = fit_response_surface(x, quadratic(x) + level, seed, within=1.0)
    np.testing.assert_allclose(found.optimum, LEAST[:1], atol=1e-9)
    assert found.freedom == 15 - 3 - 2
    missing = np.arange(15) != 7  # a seed without its best run still counts for the rest
    np.testing.assert_allclose(
        fit_response_surface(x[missing], (quadratic(x) + level)[missing], seed[missing], within=1.0).optimum,
        LEAST[:1],
        atol=1e-9,
    )


def test_steep_and_diverged_settings_are_left_out() -> None:
    u = RATES[:, 0]
    found = one_group(RATES, lopsided(u))
    assert found.n_settings == 4
    assert abs(found.optimum[0]) < 0.25
    assert abs(one_group(RATES, lopsided(u), within=1.0).optimum[0]) > 0.3
    dense = square(9)
    loss = quadratic(dense)
    loss[dense[:, 0] > 2] = 2.4
    np.testing.assert_allclose(one_group(dense, loss).optimum, LEAST, atol=1e-9)


@pytest.mark.parametrize(
    ("shift", "bracketed"), [(0.0, True), (2.0, False), (-2.0, False)], ids=["inside", "beyond", "before"]
)
def test_a_best_at_the_edge_is_not_bracketed(shift: float, bracketed: bool) -> None:
    assert one_group(RATES, quadratic(RATES - shift)).bracketed.all() == bracketed


def test_a_ridge_is_no_minimum() -> None:
    x = square(5)
    found = one_group(x, x[:, 0] ** 2 - 0.01 * x[:, 1] ** 2, within=1.0)
    assert not found.has_minimum
    with pytest.raises(ValueError, match="no minimum"):
        found.excess(np.zeros(2))


@pytest.mark.parametrize("k", [1, 2])
def test_standard_errors_are_those_of_repeated_experiments(k: int) -> None:
    """Spread of the optimum and of the excess over 400 noisy repeats, against what each of them says of itself."""
    rng = np.random.default_rng(k)
    x = np.tile(RATES if k == 1 else square(5), (2, 1))
    group = np.repeat([0, 1], len(x) // 2)
    loss = quadratic(x)
    repeats = [
        fit_response_surface(x, loss + 0.0005 * rng.standard_normal(len(x)), group, within=1.0) for _ in range(400)
    ]
    at = np.array([found.optimum for found in repeats])
    said = np.mean([found.covariance for found in repeats], axis=0)
    np.testing.assert_allclose(np.cov(at.T), said[0, 0] if k == 1 else said, rtol=0.25, atol=2e-5)
    for away in (1.0, 0.0):
        excess = np.array([found.excess(LEAST[:k] + away) for found in repeats])
        truth = away**2 * CURVATURE[:k, :k].sum() / 2
        assert (np.abs(excess[:, 0] - truth) <= 2 * excess[:, 1]).mean() >= 0.9
        # At the least itself an error must allow for any place of it near by, so it is larger than the spread.
        assert excess[:, 0].std() * 0.8 < excess[:, 1].mean() < excess[:, 0].std() * (1.25 if away else 2)


def test_without_a_degree_of_freedom_there_is_no_error() -> None:
    found = one_group(RATES[1:4], quadratic(RATES[1:4]))
    assert found.covariance is None
    assert found.excess(np.zeros(1))[1] is None
    known = found.with_noise(0.001, 20)
    assert known.covariance is not None
    assert known.covariance[0, 0] > 0


@pytest.mark.parametrize(
    ("x", "group"),
    [
        (RATES[:2], [0, 0]),
        (np.stack([RATES[:, 0], RATES[:, 0]], axis=1), [0] * 5),
        (square(5)[(square(5) == 0).any(axis=1)], [0] * 9),
        (RATES, [0, 1, 2, 3, 4]),
    ],
    ids=["two rates", "one line", "a cross tells no interaction", "no seed twice"],
)
def test_too_few_settings(x: Float[np.ndarray, "rows k"], group: list[int]) -> None:
    with pytest.raises(InputError, match="do not determine a quadratic"):
        fit_response_surface(x, quadratic(x), np.array(group))

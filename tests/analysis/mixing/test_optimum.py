"""The optimum: it keeps to the hull and the limits, and is where a search of all mixtures finds it."""

import numpy as np
import pytest
from jaxtyping import Float

from analysis.mixing.optimum import Allowed, least

SIMPLEX = np.eye(3)
MANY = np.random.default_rng(0).dirichlet(np.ones(3), 12)


def curved(shares: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, " mixtures"]:
    return 1.0 + 0.2 / (0.05 + shares[:, 0]) + 0.1 / (0.1 + shares[:, 1]) + 0.4 * shares[:, 2] ** 2


def linear(shares: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, " mixtures"]:
    return np.asarray(2.0 + shares @ np.array([0.3, -0.5, 0.1]))


def grid(allowed: Allowed) -> Float[np.ndarray, "mixtures sources"]:
    """Mixtures in steps of 1 % that are allowed."""
    steps = np.arange(101) / 100
    every = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1])
    still = np.zeros(3)
    inside = [(mixture <= allowed.most + 1e-9).all() and allowed.room(mixture, still) > 0 for mixture in every]
    return every[np.array(inside)]


@pytest.mark.parametrize("limits", [(1.0, 1.0, 1.0), (0.4, 1.0, 1.0), (0.5, 0.3, 1.0)])
@pytest.mark.parametrize("corners", [SIMPLEX, MANY], ids=["simplex", "hull"])
def test_it_is_where_a_search_of_all_mixtures_finds_it(
    corners: Float[np.ndarray, "corners sources"], limits: tuple[float, ...]
) -> None:
    allowed = Allowed(corners, np.array(limits))
    start = allowed.extreme(np.zeros(3))
    assert start is not None
    found = least(curved, allowed, start)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert (found <= allowed.most + 1e-6).all()
    assert allowed.room(found, np.zeros(3)) > 0  # in the hull
    best = grid(allowed)[curved(grid(allowed)).argmin()]
    assert curved(found[None])[0] <= curved(best[None])[0] + 1e-6
    assert 0.5 * np.abs(found - best).sum() < 0.02


def test_a_linear_objective_has_its_least_at_a_corner() -> None:
    found = least(linear, Allowed(MANY, np.ones(3)), MANY.mean(axis=0))
    np.testing.assert_allclose(found, MANY[linear(MANY).argmin()], atol=1e-6)


def test_without_limits_the_best_lies_outside_of_them() -> None:
    """That the limits above hold is due to them, not to where the objective is least."""
    free = least(curved, Allowed(SIMPLEX, np.ones(3)), np.full(3, 1 / 3))
    assert free[0] > 0.5


def test_limits_that_leave_nothing_leave_nothing() -> None:
    assert Allowed(MANY, np.full(3, 0.2)).extreme(np.zeros(3)) is None

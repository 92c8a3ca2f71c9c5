"""The design of mixtures: it fills the space, every beginning of it does, and it holds what it lies around."""

import numpy as np
import pytest
from jaxtyping import Float
from scipy.optimize import linprog

from scaling.errors import InputError
from scaling.sweep.plan import swarm as design
from scaling.sweep.plan.swarm import swarm

SOURCES = range(2, 21)


def around(sources: int) -> Float[np.ndarray, " source"]:
    """Shares that differ by up to a factor of a hundred."""
    shares = np.geomspace(1, 100 if sources > 2 else 5, sources)
    return shares / shares.sum()


def holds(points: Float[np.ndarray, "point source"], shares: Float[np.ndarray, " source"]) -> bool:
    """Whether shares lie in the convex hull of points."""
    sides = np.vstack([points.T, np.ones(len(points))])
    return bool(linprog(np.zeros(len(points)), A_eq=sides, b_eq=[*shares, 1.0]).success)


def apart(points: Float[np.ndarray, "point source"]) -> float:
    """The smallest Hellinger distance of two points, times the square root of two."""
    roots = np.sqrt(points)
    distances = np.sqrt(np.square(roots[:, None] - roots).sum(axis=-1))
    return float(distances[np.triu_indices(len(points), 1)].min())


@pytest.mark.parametrize("sources", SOURCES)
def test_few_mixtures_span_every_share_and_hold_the_usual_ones(sources: int) -> None:
    shares = swarm(around(sources), sources + 1)
    np.testing.assert_allclose(shares[0], around(sources))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (shares > 0).all()
    assert (shares.max(axis=0) >= 3 * shares.min(axis=0)).all()
    assert holds(shares, np.full(sources, 1 / sources))
    assert holds(shares[1:], around(sources))


def test_mixtures_that_lean_less_do_not_hold_the_uniform_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design, "_INSIDE", 2.0)
    assert not holds(swarm(around(8), 9), np.full(8, 1 / 8))


@pytest.mark.parametrize("sources", SOURCES)
def test_every_beginning_is_the_design_of_that_count(sources: int) -> None:
    whole = swarm(around(sources), 3 * sources)
    for count in (1, 2, sources, sources + 2, 3 * sources - 1):
        np.testing.assert_array_equal(swarm(around(sources), count), whole[:count])


@pytest.mark.parametrize("sources", [2, 3, 5, 10])
@pytest.mark.parametrize("times", [2, 4])
def test_it_fills_the_space_better_than_chance(sources: int, times: int) -> None:
    """No two mixtures are as near as in the best of twenty draws, and none of the simplex is as far from all."""
    even, count = np.full(sources, 1 / sources), times * sources + 2
    rng = np.random.default_rng(0)
    drawn = [rng.dirichlet(np.ones(sources), count) for _ in range(20)]
    made = swarm(even, count)
    assert apart(made) > max(map(apart, drawn))
    simplex = np.sqrt(rng.dirichlet(np.ones(sources), 1000))

    def farthest(points: Float[np.ndarray, "point source"]) -> float:
        return float(np.square(simplex[:, None] - np.sqrt(points)).sum(axis=-1).min(axis=1).max())

    assert farthest(made) < float(np.median([farthest(points) for points in drawn]))


def test_they_lie_around_the_shares_that_are_given() -> None:
    centre = np.array([0.5, 0.3, 0.15, 0.05])
    points = design._dirichlet(4 * centre, 4000)
    np.testing.assert_allclose(points.mean(axis=0), centre, atol=0.01)
    expected = centre * (1 - centre) / (4 + 1)  # the variance of a Dirichlet distribution
    np.testing.assert_allclose(points.var(axis=0), expected, rtol=0.05)


def test_spread_and_least() -> None:
    even = np.full(4, 0.25)
    narrow, wide = (swarm(even, 40, spread)[5:].std() for spread in (0.1, 1.0))
    assert narrow < 0.6 * wide
    assert np.isfinite(swarm(np.array([0.99, 0.009, 0.001]), 40, spread=100)).all()
    shares = swarm(even, 40, least=0.1)
    assert shares.min() >= 0.1 - 1e-12
    assert shares.max() > 0.5


@pytest.mark.parametrize(
    ("shares", "least", "line"),
    [
        ([1.0], 0.0, "two sources or more"),
        ([0.5, 0.5], 0.5, "leaves nothing to vary"),
        ([1.0, 0.0], 0.0, "none is 0"),
        ([0.9, 0.1], 0.1, "none is 0 or at the least"),
        ([0.6, 0.6], 0.0, "sum to 1"),
    ],
)
def test_shares_without_room(shares: list[float], least: float, line: str) -> None:
    with pytest.raises(InputError, match=line):
        swarm(np.array(shares), 5, least=least)

"""Shapes of the contrast: their derivatives against differences, and what each is by its formula."""

import numpy as np
import pytest
from jaxtyping import Float

from analysis.mixing.contrast.shapes import SHAPES, Points, Shape
from analysis.mixing.contrast.solver import grown

STEP = 1e-6
K, RUNS = 4, 9


def points(waste: float = 0.2) -> Points:
    random = np.random.default_rng(0)
    logs = [random.normal(size=RUNS) for _ in range(3)]
    return Points(random.dirichlet(np.ones(K), RUNS), random.uniform(0.05, 1, RUNS), *logs, np.full(RUNS, waste))


def parameters(shape: Shape) -> Float[np.ndarray, "2 params"]:
    mean = np.r_[shape.prior(K).mean, np.log(0.06), 0.1]
    return mean + 0.2 * np.random.default_rng(1).normal(size=(2, len(mean)))


def differences(shape: Shape, theta: Float[np.ndarray, "2 params"]) -> Float[np.ndarray, "2 runs params"]:
    steps = STEP * np.eye(theta.shape[1])
    moved = [grown(shape, theta + step, points())[0] - grown(shape, theta - step, points())[0] for step in steps]
    return np.stack(moved, axis=-1) / (2 * STEP)


@pytest.mark.parametrize("name", SHAPES)
def test_derivatives_are_those_of_the_values(name: str) -> None:
    theta = parameters(SHAPES[name])
    partials = grown(SHAPES[name], theta, points())[1]
    np.testing.assert_allclose(partials, differences(SHAPES[name], theta), atol=2e-8, rtol=1e-5)
    wrong = partials.copy()
    wrong[..., -1] = 0  # as if the growth with compute were left out
    assert np.abs(wrong - differences(SHAPES[name], theta)).max() > 1e-4


def test_the_inverse_law_is_its_formula() -> None:
    c, g, h = np.array([0.5, 1.0, 2.0, 0.3]), np.array([0.4, 0.5, 0.6, 0.7]), points().shares
    theta = np.r_[np.log(c), np.log(g)][None]
    expected = np.log(1 + 1 / (c * h**g).sum(axis=1))
    np.testing.assert_allclose(SHAPES["inverse"].function(theta, points())[0][0], expected)


def test_a_share_of_none_is_none_of_a_sum() -> None:
    """At h = 0 the power h^g and its derivatives are 0, not undefined."""
    at = points()
    at.shares[:, 0] = 0.0
    value, partials = SHAPES["inverse"].function(parameters(SHAPES["inverse"])[:, :-2], at)
    assert np.isfinite(value).all()
    assert (partials[..., 0] == 0).all()
    assert (partials[..., K] == 0).all()


def test_repetition_costs_the_same_whatever_the_shape() -> None:
    theta = parameters(SHAPES["exponential"])
    more = grown(SHAPES["exponential"], theta, points(0.5))[0] - grown(SHAPES["exponential"], theta, points(0.0))[0]
    np.testing.assert_allclose(more, np.broadcast_to(0.5 * np.exp(theta[:, -2:-1]), more.shape))

"""Shapes of the contrast: what a mixture adds to the log loss on a domain, with derivatives by every parameter.

A law of mixtures is a level, one for each domain, size and length, and a shape of the shares:

    log L_i(h; N, D) = level_i(N, D) + (C / C0)^q S_i(h; N, D) + s_i log(D / D')

where h are the shares of what the sources are worth as new text, and D' is all that they are worth: D, unless some
repeat (see :func:`analysis.mixing.points.effective`).
The level belongs to the forecaster, which extrapolates better than the laws that were published with these shapes; it
also takes up their constants. The exponent q lets what a mixture changes grow or fall with compute.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Theta = Float[np.ndarray, "batch params"]
Values = Float[np.ndarray, "batch runs"]
Partials = Float[np.ndarray, "batch runs params"]


@dataclass(frozen=True)
class Points:
    """What a shape sees of some runs.

    Attributes:
        shares: of the sources.
        own: the share of the domain's own source, for shapes of it alone.
        n: log parameters over those of the middle run.
        d: log tokens over those of the middle run.
        c: log FLOPs over those of the middle run.
        waste: log tokens over what they are worth as new text.
    """

    shares: Float[np.ndarray, "runs sources"]
    own: Float[np.ndarray, " runs"] | None
    n: Float[np.ndarray, " runs"]
    d: Float[np.ndarray, " runs"]
    c: Float[np.ndarray, " runs"]
    waste: Float[np.ndarray, " runs"]


@dataclass(frozen=True)
class Prior:
    """Independent normal beliefs in the parameters, which decide where runs do not.

    Attributes:
        mean: of each parameter; also where the search starts.
        sd: standard deviation of each.
    """

    mean: Float[np.ndarray, " params"]
    sd: Float[np.ndarray, " params"]


@dataclass(frozen=True)
class Shape:
    """A form of the contrast.

    Attributes:
        name: as the command line knows it.
        formula: of what the mixture adds to a loss, for people.
        source: the paper.
        own: whether it sees the share of the domain's own source alone.
        joint: whether it depends on the size and length itself.
        prior: of its parameters, from the number of sources.
        function: (parameters, points) -> (S, its derivatives).
    """

    name: str
    formula: str
    source: str
    own: bool
    joint: bool
    prior: Callable[[int], Prior]
    function: Callable[[Theta, Points], tuple[Values, Partials]]


# The least share of its own source that a shape of it alone sees.
_LEAST_SHARE = 1e-4
# Beliefs in the exponents by which a coefficient falls with N and D: those of compute-optimal laws, .28 to .37.
_FALL = np.log(np.array([0.33, 0.33]))
_FALL_SD = 0.3


def _reciprocal(theta: Theta, shares: Float[np.ndarray, "runs sources"]) -> tuple[Values, Partials]:
    """1 / sum_j C_j h_j^g_j; parameters log C_j, then log g_j."""
    k = shares.shape[1]
    present = shares > 0
    log_h = np.log(np.where(present, shares, 1.0))
    power = np.exp(theta[:, None, k:])
    terms = np.where(present, np.exp(theta[:, None, :k] + power * log_h), 0.0)
    value = 1 / np.maximum(terms.sum(axis=-1), 1e-12)
    by_c = -(value**2)[..., None] * terms
    return value, np.concatenate([by_c, by_c * power * log_h], axis=-1)


def _exponent(theta: Theta, shares: Float[np.ndarray, "runs sources"]) -> tuple[Values, Partials]:
    """exp(sum_j t_j h_j)."""
    value = np.exp(np.clip(theta @ shares.T, -50, 20))
    return value, value[..., None] * shares


def _linear(theta: Theta, shares: Float[np.ndarray, "runs sources"]) -> tuple[Values, Partials]:
    """sum_j A_j h_j; parameters log A_j."""
    terms = np.exp(theta[:, None]) * shares
    return terms.sum(axis=-1), terms


def _above_one(value: Values, partials: Partials) -> tuple[Values, Partials]:
    """log(1 + M): where the level of a law is its unit, and M what the mixture adds."""
    return np.log1p(value), partials / (1 + value)[..., None]


def _inverse(theta: Theta, points: Points) -> tuple[Values, Partials]:
    return _above_one(*_reciprocal(theta, points.shares))


def _exponential(theta: Theta, points: Points) -> tuple[Values, Partials]:
    return _above_one(*_exponent(theta, points.shares))


def _bimix(theta: Theta, points: Points) -> tuple[Values, Partials]:
    assert points.own is not None
    log_h = np.log(np.maximum(points.own, _LEAST_SHARE))
    return -theta * log_h, np.broadcast_to(-log_h[:, None], (len(theta), len(log_h), 1))


Part = Callable[[Theta, Float[np.ndarray, "runs sources"]], tuple[Values, Partials]]


def _joint(first: Part, falling: Part, per_source: int) -> Callable[[Theta, Points], tuple[Values, Partials]]:
    """log(1 + M(h) + A(h) / N^a + B(h) / D^b); the parameters of M, A and B, then log a and log b."""

    def shape(theta: Theta, points: Points) -> tuple[Values, Partials]:
        k = points.shares.shape[1]
        total, partial = first(theta[:, : per_source * k], points.shares)
        coefficients, exponents = [partial], []
        for number, scale in enumerate((points.n, points.d)):
            begin = (per_source + number) * k
            exponent = np.exp(theta[:, number - 2, None])
            fall = np.exp(-exponent * scale)
            value, partial = falling(theta[:, begin : begin + k], points.shares)
            total = total + value * fall
            coefficients.append(partial * fall[..., None])
            exponents.append((-exponent * scale * value * fall)[..., None])
        return _above_one(total, np.concatenate([*coefficients, *exponents], axis=-1))

    return shape


def _inverse_prior(k: int) -> Prior:
    # Where every source counts alike, M is 1 at equal shares.
    return Prior(np.r_[np.full(k, -0.5 * np.log(k)), np.full(k, np.log(0.5))], np.r_[np.full(k, 2.0), np.full(k, 0.7)])


def _exponential_prior(k: int) -> Prior:
    return Prior(np.zeros(k), np.full(k, 6.0))


def _with_falling(first: Prior, k: int) -> Prior:
    coefficients = np.full(2 * k, np.log(0.1))
    return Prior(np.r_[first.mean, coefficients, _FALL], np.r_[first.sd, np.ones(2 * k), np.full(2, _FALL_SD)])


def _bimix_prior(_: int) -> Prior:
    return Prior(np.array([0.08]), np.array([0.2]))


_SHAPES = [
    Shape("inverse", "1 / sum_j C_j h_j^g_j", "2507.09404", False, False, _inverse_prior, _inverse),
    Shape(
        "inverse-joint",
        "1 / sum_j C_j h_j^g_j + sum_j A_j h_j / N^a + sum_j B_j h_j / D^b",
        "2507.09404",
        False,
        True,
        lambda k: _with_falling(_inverse_prior(k), k),
        _joint(_reciprocal, _linear, 2),
    ),
    Shape("exponential", "exp(sum_j t_j h_j)", "2403.16952", False, False, _exponential_prior, _exponential),
    Shape(
        "exponential-joint",
        "exp(sum_j t_j h_j) + exp(sum_j p_j h_j) / N^a + exp(sum_j r_j h_j) / D^b",
        "2403.16952, with every coefficient a function of the mixture",
        False,
        True,
        lambda k: _with_falling(_exponential_prior(k), k),
        _joint(_exponent, _exponent, 1),
    ),
    Shape("bimix", "h_i^-a", "2405.14908", True, False, _bimix_prior, _bimix),
]
SHAPES: dict[str, Shape] = {shape.name: shape for shape in _SHAPES}

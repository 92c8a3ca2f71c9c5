"""Ways to carry the difference of two contenders from the runs to a target, each with its resamples.

    constant             one difference of log losses
    late constant        the same, by the dearer runs above all
    compute              a straight line in log compute
    late compute         the same, by the dearer runs above all
    size and data        a plane in log parameters and log tokens
    multiplier           the second does with C what the first does with h C
    token multiplier     the second does with D tokens what the first does with h D
    exponents in common  one law of both, with coefficients of its own for each

Where no two cells pair, a law of each contender by itself is all there is. Beside pairs it is left out: what the two
laws miss by does not cancel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.comparing.differences.cells import Cells
from analysis.comparing.differences.pairs import Pairs
from analysis.comparing.differences.surfaces import Surface, shared_difference, shared_law
from analysis.laws import Inputs
from analysis.stats import batched_least_squares

_LATE = 1 / np.log(10.0)  # a run of a tenth of the compute weighs 1 / e as much
_GRID = np.linspace(-4.0, 4.0, 801)
Drawn = tuple[Float[np.ndarray, " rows"], Float[np.ndarray, "draws rows"]]


@dataclass(frozen=True)
class Evidence:
    """What a difference is read off.

    Attributes:
        first: cells of the first contender.
        second: cells of the second.
        pairs: of them.
        surfaces: fitted to each; None where cells are too few.
        weights: of the pairs in each resample.
        law_draws: resamples of the law of both, which take long; 0 for none.
    """

    first: Cells
    second: Cells
    pairs: Pairs
    surfaces: tuple[Surface | None, Surface | None]
    weights: Float[np.ndarray, "draws pairs"]
    law_draws: int


Way = Callable[[Evidence, Inputs, Inputs], Drawn | None]


def _linear(terms: Callable[[Inputs, Inputs], list[np.ndarray]], late: float, fewest: int) -> Way:
    def way(seen: Evidence, first: Inputs, second: Inputs) -> Drawn | None:
        pairs = seen.pairs
        design = np.stack(terms(pairs.first, pairs.second), axis=1)
        if len(pairs) < fewest:
            return None
        centre, scale = design.mean(axis=0), design.std(axis=0)
        if (scale[1:] < 1e-3).any():
            return None
        centre[0], scale[0] = 0.0, 1.0
        scaled = (design - centre) / scale
        if len(centre) > 2 and np.linalg.cond(scaled) > 30:
            return None
        weight = pairs.weight * np.exp(late * (pairs.compute - pairs.compute.max()))
        weights = np.concatenate([weight[None], weight * seen.weights])
        theta = batched_least_squares(scaled, pairs.delta, weights)
        at = (np.stack(terms(first, second), axis=1) - centre) / scale
        found = theta @ at.T
        return found[0], found[1:]

    return way


def _one(first: Inputs, _: Inputs) -> list[np.ndarray]:
    return [np.ones_like(first.c)]


def _compute(first: Inputs, second: Inputs) -> list[np.ndarray]:
    return [np.ones_like(first.c), (first.c + second.c) / 2]


def _size_and_data(first: Inputs, second: Inputs) -> list[np.ndarray]:
    return [np.ones_like(first.c), (first.n + second.n) / 2, (first.d + second.d) / 2]


def moved(inputs: Inputs, log_factor: float | Float[np.ndarray, " steps"], tokens_alone: bool = False) -> Inputs:
    """Points of so many times the compute, at the same tokens per parameter; or of so many times the tokens.

    Args:
        inputs: the points; one of them, where there are several factors.
        log_factor: logarithm of the factor, or of several.
        tokens_alone: whether the parameters stay.
    """
    size = 0.0 * log_factor if tokens_alone else log_factor / 2
    data = log_factor if tokens_alone else log_factor / 2
    return Inputs(inputs.n + size, inputs.d + data, inputs.c + log_factor, inputs.u + data)


def _multiplier(tokens_alone: bool) -> Way:
    def way(seen: Evidence, first: Inputs, second: Inputs) -> Drawn | None:
        surface, pairs = seen.surfaces[0], seen.pairs
        if surface is None or not len(pairs):
            return None

        def gain(points: Inputs) -> np.ndarray:
            """Change of log loss (factors, rows) of the first contender at each factor of the grid."""
            base = surface.log_loss(points)
            return np.stack([surface.log_loss(moved(points, h, tokens_alone)) - base for h in _GRID])

        # What the two points of a pair differ by is the surface's own.
        own = surface.log_loss(pairs.second) - surface.log_loss(pairs.first)
        weights = np.concatenate([pairs.weight[None], pairs.weight * seen.weights])
        squares = (gain(pairs.second) - (pairs.delta - own)) ** 2
        factor = _GRID[(weights @ squares.T).argmin(axis=1)]
        there = gain(second) + surface.log_loss(second) - surface.log_loss(first)
        found = np.stack([np.interp(factor, _GRID, column) for column in there.T], axis=1)
        return found[0], found[1:]

    return way


def _shared(seen: Evidence, first: Inputs, second: Inputs) -> Drawn | None:
    fitted = shared_law(seen.first, seen.second, seen.law_draws)
    if fitted is None:
        return None
    theta, samples = fitted
    return shared_difference(theta[None], first, second)[0], shared_difference(samples, first, second)


def laws_apart(seen: Evidence, first: Inputs, second: Inputs) -> Drawn | None:
    """The difference of a law of each contender, fitted to its cells alone."""
    ours, theirs = seen.surfaces
    if ours is None or theirs is None:
        return None
    return theirs.log_loss(second) - ours.log_loss(first), theirs.drawn(second) - ours.drawn(first)


WAYS: dict[str, Way] = {
    "constant": _linear(_one, 0.0, 1),
    "late constant": _linear(_one, _LATE, 3),
    "compute": _linear(_compute, 0.0, 4),
    "late compute": _linear(_compute, _LATE, 5),
    "size and data": _linear(_size_and_data, 0.0, 6),
    "multiplier": _multiplier(False),
    "token multiplier": _multiplier(True),
    "exponents in common": _shared,
}

"""The design of a swarm of mixtures: shares of sources that fill the space, and whose every beginning fills it too."""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaincinv

from scaling.errors import InputError

# For each mixture: of more, the farthest would all be at the edges of the space (Mitchell's best candidate).
_CANDIDATES = 10
# Share of the way to one source alone of the mixtures that lean towards it; more where the centre is far from uniform.
_LEAN = 2 / 3
# Uniform shares then lie inside the hull of these, not on its edge.
_INSIDE = 0.9


def swarm(
    around: Float[np.ndarray, " source"], count: int, spread: float = 1.0, least: float = 0.0
) -> Float[np.ndarray, "mixture source"]:
    """Mixtures of a design; the same for the same arguments, and of a smaller count its beginning.

    The first is ``around``. Then there is one for each source that leans towards it: they span a simplex that holds
    ``around`` and the uniform mixture, and among them every share differs by a factor of three or
    more, unless `least` forbids it. The others are
    of a Dirichlet distribution with the mean ``around``: each is the one of ten candidates that is farthest from all
    before it, by the square roots of the shares (the Hellinger distance, by which 1 % is as far from 4 % as 36 % from
    49 %). Nothing is random: the candidates are quantiles at the points of an additive recurrence, which fill the cube
    evenly.

    Args:
        around: shares of the sources, which sum to 1; none is 0 or at the least.
        count: how many.
        spread: how far they lie from ``around``: the concentration of the Dirichlet distribution is sources * around /
            spread, so that 1 around uniform shares draws evenly from the whole simplex.
        least: the smallest share of every source.

    Raises:
        InputError: one source, or shares that leave no room.
    """
    sources = len(around)
    free = 1.0 - sources * least
    if sources < 2:
        raise InputError(f"a mixture needs two sources or more, and there is {sources}")
    if free <= 0:
        raise InputError(f"`least`: {least:.4g} of each of {sources} sources leaves nothing to vary")
    centre = (around - least) / free
    if not np.isclose(around.sum(), 1.0, atol=1e-6) or centre.min() <= 0:
        raise InputError("`around`: shares sum to 1, and none is 0 or at the least")
    first = np.concatenate([centre[None], _leaning(centre)])
    more = max(0, count - len(first))
    drawn = _dirichlet(sources * centre / spread, more * _CANDIDATES)
    return least + free * _farthest(first, drawn)[:count]


def _leaning(centre: Float[np.ndarray, " source"]) -> Float[np.ndarray, "source source"]:
    """For each source the centre moved towards it, by one share of the way for all; the smallest source's is the first.

    Their hull is that of all mixtures moved so; it holds the uniform one if (1 - lean) * centre <= 1 / sources.
    """
    sources = len(centre)
    lean = max(_LEAN, 1 - _INSIDE / (sources * float(centre.max())))
    return ((1 - lean) * centre + lean * np.eye(sources))[np.argsort(centre, kind="stable")]


def _dirichlet(concentration: Float[np.ndarray, " source"], count: int) -> Float[np.ndarray, "count source"]:
    """Points of a Dirichlet distribution: quantiles of gamma distributions, over their sum."""
    sources = len(concentration)
    root = 2.0
    for _ in range(60):  # the root of x^(d + 1) = x + 1, the golden ratio in one dimension
        root = (1 + root) ** (1 / (sources + 1))
    steps = root ** -np.arange(1.0, sources + 1)
    cube = (0.5 + np.arange(1.0, count + 1)[:, None] * steps) % 1
    # Quantiles of a tiny concentration may all be 0; the point is then where the largest of them is.
    gammas = gammaincinv(concentration, cube) + 1e-300 * cube
    points: Float[np.ndarray, "count source"] = gammas / gammas.sum(axis=1, keepdims=True)
    return points


def _farthest(
    chosen: Float[np.ndarray, "chosen source"], candidates: Float[np.ndarray, "candidate source"]
) -> Float[np.ndarray, "all source"]:
    """The chosen points, and of every ten candidates the farthest from all before it."""
    for begin in range(0, len(candidates), _CANDIDATES):
        roots = np.sqrt(candidates[begin : begin + _CANDIDATES])
        distance = np.square(roots[:, None] - np.sqrt(chosen)).sum(axis=-1).min(axis=1)
        best = int(np.argmax(np.round(distance, 9)))  # ties go to the first, the same on every machine
        chosen = np.concatenate([chosen, candidates[[begin + best]]])
    return chosen

"""The probability of each of several contenders to be the best."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import t as student

_DRAWS = 4000


def ranked(
    names: Sequence[str], differences: Mapping[tuple[str, str], tuple[float, float, float]], decided: float
) -> tuple[dict[str, float], set[str]]:
    """Probabilities that each contender's loss is the lowest, and the contenders that no other surely beats.

    Offsets from the first contender are drawn together: what the comparisons with it have in common, half of the
    least variance among them, is the first's own.

    Args:
        names: of the contenders.
        differences: (centre, scale, freedom) of the second's log loss less the first's, of each pair in order.
        decided: the probability from which one beats another surely.
    """
    rng = np.random.default_rng(0)
    first, others = names[0], names[1:]
    scales = {name: differences[first, name][1] for name in others}
    common = min(scales.values()) ** 2 / 2
    freedom = min(each[2] for each in differences.values())
    own = rng.standard_t(freedom, _DRAWS) * np.sqrt(common)
    drawn = {first: own}
    for name in others:
        rest = np.sqrt(max(scales[name] ** 2 - common, 0.0))
        drawn[name] = differences[first, name][0] + rest * rng.standard_t(freedom, _DRAWS)
    least = np.stack([drawn[name] for name in names]).argmin(axis=0)
    best = {name: float((least == i).mean()) for i, name in enumerate(names)}
    if len(names) == 2:  # exactly
        better = _better(differences[first, others[0]])
        best = {first: 1 - better, others[0]: better}
    beaten = set()
    for (one, two), each in differences.items():
        better = _better(each)
        beaten |= {one} if better >= decided else {two} if 1 - better >= decided else set()
    return best, set(names) - beaten


def _better(difference: tuple[float, float, float]) -> float:
    centre, scale, freedom = difference
    return float(student.cdf(-centre / scale, freedom))

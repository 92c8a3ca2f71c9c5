"""Sources that stand for each other: those of which the runs show no more than the sum of their shares."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Float

from analysis.mixing.contrast.folds import left_out_folds, misses
from analysis.mixing.contrast.shapes import SHAPES
from analysis.mixing.points import MixturePoints

_LAW = "inverse"
_CLEARLY = float(np.log(2.0))  # what is missed on one of several domains varies by as much where sources are alike


def alike_sources(points: MixturePoints, domains: Sequence[int], sources: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Pairs of sources that stand for each other on some domains.

    A law that sees only the sum of their shares misses no more of left-out mixtures than one that tells them apart.

    Args:
        points: the runs.
        domains: places of the domains that count.
        sources: places of the sources that are looked at.

    Returns:
        pairs of places among the sources, the first of each the lower.
    """
    if len(points.sources) < 3:
        return ()  # the sum of two is the whole
    folds = left_out_folds(points)

    def missed(of: MixturePoints) -> Float[np.ndarray, " domains"]:
        return np.array([misses(SHAPES[_LAW], of, domain, None, folds).rms for domain in domains])

    apart = missed(points)
    if not np.isfinite(apart).all():
        return ()  # nothing could be left out
    pairs = combinations(sorted(sources), 2)
    return tuple(pair for pair in pairs if _no_more(np.log(missed(_merged(points, *pair)) / apart)))


def _no_more(ratios: Float[np.ndarray, " domains"]) -> bool:
    """Whether the domains' misses, as log ratios, are no larger over all, and clearly larger on none."""
    return bool(ratios.mean() <= 0 and ratios.max() <= _CLEARLY)


def _merged(points: MixturePoints, one: int, other: int) -> MixturePoints:
    """The runs with two sources as one, in the place of the first."""
    kept = [place for place in range(len(points.sources)) if place != other]
    shares, unique = points.shares.copy(), points.unique.copy()
    shares[:, one] += shares[:, other]
    unique[one] += unique[other]
    return replace(
        points, sources=tuple(points.sources[place] for place in kept), shares=shares[:, kept], unique=unique[kept]
    )

"""The objective over mixtures, from the laws fitted anew to the runs of a choice."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError
from scipy.stats import norm

from analysis.mixing.choice import CHOSEN, Choice
from analysis.mixing.points import MixturePoints
from analysis.mixing.surface import Surface
from analysis.plots.mixtures.landscape import Grid, Landscape
from analysis.report.mixtures.findings import MixtureFindings

_STEPS = {2: 200, 3: 60}  # along a side
_NEAR = 1e-3  # of the hull
# Of an edge: as that of the excess, so that a contour drawn between the grid's points keeps to it.
_SLOPE = 0.05
_LEAST = 1e-3  # a share of 0 may change a loss without bound


def landscape_of(found: MixtureFindings) -> Landscape:
    """The objective of the tried mixtures and, of two or three sources, of all others.

    Raises:
        InputError: the runs are not found.
    """
    choice, surface = found.choice, found.surface
    points = surface.contrast.points
    candidates = {name: _vector(each.shares, points.sources) for name, each in choice.candidates.items()}
    excess = _excess(surface, candidates[CHOSEN], points.tried, choice.level)[0]
    return Landscape(
        sources=points.sources,
        tried=points.tried,
        objective=surface.objective(points.tried),
        alike=int((excess <= 0).sum()),
        candidates=candidates,
        expected={name: each.objective.value for name, each in choice.candidates.items()},
        ranges=choice.ranges,
        level=choice.level,
        grid=_grid(choice, surface, candidates[CHOSEN]) if len(points.sources) in _STEPS else None,
    )


def _vector(shares: Mapping[str, float], sources: tuple[str, ...]) -> Float[np.ndarray, " sources"]:
    return np.array([shares[name] for name in sources])


def _excess(
    surface: Surface, best: Float[np.ndarray, " sources"], shares: Float[np.ndarray, "mixtures sources"], level: float
) -> tuple[Float[np.ndarray, " mixtures"], Float[np.ndarray, " mixtures"]]:
    """How much worse than the best one each is beyond the error of that, and this error, by the level's factor."""
    more, error = surface.doubt(best, shares)
    error = float(norm.ppf(level)) * error
    return more - error, error


def _grid(choice: Choice, surface: Surface, best: Float[np.ndarray, " sources"]) -> Grid:
    shares = _everywhere(len(best))
    inner = np.maximum(shares, _LEAST)
    inner /= inner.sum(axis=1, keepdims=True)
    excess, error = _excess(surface, best, inner, choice.level)
    outside = _outside(choice, surface.contrast.points, best, shares)
    return Grid(
        shares=shares,
        objective=surface.objective(inner),
        excess=np.maximum(excess, _SLOPE * outside),
        part=float((excess[outside <= 0] <= 0).mean()) if (outside <= 0).any() else 0.0,
        error=error,
    )


def _everywhere(sources: int) -> Float[np.ndarray, "mixtures sources"]:
    """Mixtures of two or three sources on an even grid."""
    axis = np.linspace(0, 1, _STEPS[sources] + 1)
    if sources == 2:
        return np.stack([axis, 1 - axis], axis=1)
    first, second = (each.ravel() for each in np.meshgrid(axis, axis, indexing="ij"))
    inside = first + second <= 1 + 1e-9
    first, second = first[inside], second[inside]
    return np.stack([first, second, np.maximum(1 - first - second, 0.0)], axis=1)


def _outside(
    choice: Choice,
    points: MixturePoints,
    best: Float[np.ndarray, " sources"],
    shares: Float[np.ndarray, "mixtures sources"],
) -> Float[np.ndarray, " mixtures"]:
    """How far each mixture lies outside of those that may be chosen; 0 or less within.

    These are within the limits on epochs and, where the chosen one is, in the convex hull of those that were tried.
    """
    uniform = choice.candidates["uniform"]
    most = [
        choice.limits[name] * uniform.shares[name] / uniform.epochs[name] if name in choice.limits else 1.0
        for name in points.sources
    ]
    beyond = (shares - np.array(most)).max(axis=1)
    hull = _beyond_hull(points.tried, np.concatenate([best[None], shares]))
    return beyond if hull[0] > _NEAR else np.maximum(beyond, hull[1:] - hull[0].clip(min=0))


def _beyond_hull(
    tried: Float[np.ndarray, "tried sources"], shares: Float[np.ndarray, "mixtures sources"]
) -> Float[np.ndarray, " mixtures"]:
    """How far each mixture lies outside of the hull of some; negative within."""
    if tried.shape[1] == 2:
        return np.maximum(tried[:, 0].min() - shares[:, 0], shares[:, 0] - tried[:, 0].max())
    try:
        sides = ConvexHull(tried[:, :2]).equations
    except QhullError:  # mixtures on a line
        return np.full(len(shares), -1.0)
    return np.asarray((shares[:, :2] @ sides[:, :2].T + sides[:, 2]).max(axis=1))

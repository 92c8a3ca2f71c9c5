"""The mixtures that cannot be told from the best one, as a range of each source."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from analysis.mixing.contrast.alike import alike_sources
from analysis.mixing.optimum import Allowed
from analysis.mixing.surface import Surface

_STEPS = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.7, 0.8, 0.9, 1.0])
_MOST_TOWARDS = 64
_FLAT = 0.5  # of the allowed span
_MOST_PAIRED = 6  # sources; pairs of more would take long, and those of small shares matter little


@dataclass(frozen=True)
class Ranges:
    """How far each share may move.

    Attributes:
        low: least share of each source among mixtures that cannot be told from the best.
        high: largest.
        flat: whether a source's share hardly matters: its range is half of what is allowed, or more, or another source
            stands for it.
        alike: pairs of sources that stand for each other, by their places.
    """

    low: Float[np.ndarray, " sources"]
    high: Float[np.ndarray, " sources"]
    flat: Bool[np.ndarray, " sources"]
    alike: tuple[tuple[int, int], ...]


def ranges(surface: Surface, allowed: Allowed, best: Float[np.ndarray, " sources"], level: float) -> Ranges:
    """The range of each source's share among the allowed mixtures of which none is worse with that probability.

    Looks from the best mixture along the exchange of any two sources, and towards mixtures that were tried; then from
    the outermost of what was found along the same exchanges.
    """
    near = np.concatenate([_exchanged(best, _rooms(allowed, best)), _towards(allowed, best)])
    found = np.concatenate([best[None], near[_are_alike(surface, best, near, level)]])
    further = np.concatenate(list(_outwards(allowed, found)))
    found = np.concatenate([found, further[_are_alike(surface, best, further, level)]])
    low, high = found.min(axis=0), found.max(axis=0)
    span = allowed.corners.max(axis=0).clip(max=allowed.most) - allowed.corners.min(axis=0)
    wide = high - low >= _FLAT * span
    pairs = _stand_ins(surface, best)
    return Ranges(low, high, wide | np.isin(np.arange(len(best)), pairs), pairs)


def _stand_ins(surface: Surface, best: Float[np.ndarray, " sources"]) -> tuple[tuple[int, int], ...]:
    """Pairs of the largest sources of the best mixture that stand for each other on the domains that count."""
    largest = [place for place in np.argsort(-best)[:_MOST_PAIRED].tolist() if best[place] > 0]
    return alike_sources(surface.contrast.points, np.flatnonzero(surface.weights).tolist(), largest)


def _are_alike(
    surface: Surface, best: Float[np.ndarray, " sources"], others: Float[np.ndarray, "mixtures sources"], level: float
) -> Bool[np.ndarray, " mixtures"]:
    """Mask of the mixtures that are not worse than the best with probability ``level``."""
    if not len(others):
        return np.zeros(0, bool)
    more, error = surface.doubt(best, others)
    return more <= norm.ppf(level) * error


def _towards(allowed: Allowed, best: Float[np.ndarray, " sources"]) -> Float[np.ndarray, "mixtures sources"]:
    """Mixtures on the way from the best to those that were tried."""
    corners = allowed.corners[:_MOST_TOWARDS]
    corners = corners[(corners <= allowed.most + 1e-9).all(axis=1)]
    return (best + _STEPS[:, None, None] * (corners - best)).reshape(-1, len(best))


def _outwards(
    allowed: Allowed, found: Float[np.ndarray, "mixtures sources"]
) -> Iterator[Float[np.ndarray, "further sources"]]:
    """From the mixtures with the least and the largest share of each source, exchanges that make it less or more."""
    k = found.shape[1]
    for source in range(k):
        one = np.zeros((k, k), bool)
        one[:, source] = True
        for start, pairs in ((found[found[:, source].argmin()], one), (found[found[:, source].argmax()], one.T)):
            yield _exchanged(start, _rooms(allowed, start, pairs))


def _rooms(
    allowed: Allowed, start: Float[np.ndarray, " sources"], pairs: Bool[np.ndarray, "sources sources"] | None = None
) -> Float[np.ndarray, "sources sources"]:
    """How much of its share each source (a column) can give to each other one (a row), of all pairs or some."""
    k = len(start)
    rooms = np.zeros((k, k))
    for gains, gives in np.argwhere(~np.eye(k, dtype=bool) if pairs is None else pairs & ~np.eye(k, dtype=bool)):
        if start[gives] > 0:
            room = allowed.room(start, np.eye(k)[gains] - np.eye(k)[gives])
            rooms[gains, gives] = min(room, float(start[gives]))
    return np.where(rooms > 1e-6, rooms, 0.0)


def _exchanged(
    start: Float[np.ndarray, " sources"], rooms: Float[np.ndarray, "sources sources"]
) -> Float[np.ndarray, "mixtures sources"]:
    """Mixtures in which one source has taken some of another's share: all steps of each pair with room in turn."""
    gains, gives = np.nonzero(rooms)
    k = len(start)
    directions = (np.eye(k)[gains] - np.eye(k)[gives]) * rooms[gains, gives][:, None]
    return np.maximum(start + _STEPS[:, None] * directions[:, None], 0.0).reshape(-1, k)

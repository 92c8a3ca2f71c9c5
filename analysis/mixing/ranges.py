"""The mixtures that cannot be told from the best one, as a range of each source."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import norm

from analysis.mixing.optimum import Allowed
from analysis.mixing.surface import Surface

_STEPS = np.array([0.02, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0])
_MOST_TOWARDS = 64
_FLAT = 0.5  # of the allowed span


@dataclass(frozen=True)
class Ranges:
    """How far each share may move.

    Attributes:
        low: least share of each source among mixtures that cannot be told from the best.
        high: largest.
        flat: whether a source's share hardly matters: its range is half of what is allowed, or more.
    """

    low: Float[np.ndarray, " sources"]
    high: Float[np.ndarray, " sources"]
    flat: Bool[np.ndarray, " sources"]


def ranges(surface: Surface, allowed: Allowed, best: Float[np.ndarray, " sources"], level: float) -> Ranges:
    """The range of each source's share among the allowed mixtures of which none is worse with that probability.

    Looks from the best mixture along the exchange of any two sources, and towards mixtures that were tried; then from
    the outermost of what was found along the same exchanges.
    """
    found = _alike(surface, best, _around(allowed, best), level)
    outer = np.unique(np.concatenate([found[found.argmin(axis=0)], found[found.argmax(axis=0)]]), axis=0)
    further = [_exchanges(allowed, start) for start in outer]
    found = np.concatenate([found, _alike(surface, best, np.concatenate(further), level)])
    low, high = found.min(axis=0), found.max(axis=0)
    span = allowed.corners.max(axis=0).clip(max=allowed.most) - allowed.corners.min(axis=0)
    return Ranges(low, high, (high - low) >= _FLAT * span)


def _alike(
    surface: Surface, best: Float[np.ndarray, " sources"], others: Float[np.ndarray, "mixtures sources"], level: float
) -> Float[np.ndarray, "alike sources"]:
    """The best mixture, and those of the others that are not worse with probability ``level``."""
    if not len(others):
        return best[None]
    more, error = surface.doubt(best, others)
    return np.concatenate([best[None], others[more <= norm.ppf(level) * error]])


def _around(allowed: Allowed, best: Float[np.ndarray, " sources"]) -> Float[np.ndarray, "mixtures sources"]:
    towards = allowed.corners[:_MOST_TOWARDS]
    towards = towards[(towards <= allowed.most + 1e-9).all(axis=1)]
    lines = best + _STEPS[:, None, None] * (towards - best)
    return np.concatenate([lines.reshape(-1, len(best)), _exchanges(allowed, best)])


def _exchanges(allowed: Allowed, start: Float[np.ndarray, " sources"]) -> Float[np.ndarray, "mixtures sources"]:
    """Mixtures in which one source has taken some of another's share, as far as is allowed."""
    found, k = [np.empty((0, len(start)))], len(start)
    for gains in range(k):
        for gives in range(k):
            if gains != gives and start[gives] > 0:
                direction = np.eye(k)[gains] - np.eye(k)[gives]
                room = min(allowed.room(start, direction), float(start[gives]))
                if room > 1e-6:
                    found.append(np.maximum(start + room * _STEPS[:, None] * direction, 0.0))
    return np.concatenate(found)

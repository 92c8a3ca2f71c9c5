"""The worth of repeated text, as the runs that repeat their sources show it."""

from dataclasses import replace

import numpy as np

from analysis.mixing.contrast.fitting import fit_shape
from analysis.mixing.contrast.shapes import SHAPES
from analysis.mixing.points import REPEAT, MixturePoints

# Passes over a source up to which its text is nearly as good as new, whatever the constant (2305.16264).
NEARLY_NEW = 4.0
_TRIED = REPEAT * 2.0 ** np.arange(-3, 4)
_BELIEF_SD = 0.7  # of the constant's logarithm
_LAW = "inverse"


def with_repeat(points: MixturePoints) -> MixturePoints:
    """The runs with the constant of repeated text that they are the most likely under.

    It is that of 2305.16264 where no run repeats a source more than a few times, as then nothing is known of it.
    """
    if not repeats(points).any():
        return points
    likely = []
    for repeat in _TRIED:
        candidate = replace(points, repeat=float(repeat))
        weights = np.ones((1, len(points)))
        # Each domain's residuals by their own scatter: the log likelihood up to a constant.
        scatters = [fit_shape(SHAPES[_LAW], candidate, i, None, weights).scatter for i in range(len(points.domains))]
        missed = len(points) * float(np.log(scatters).sum())
        likely.append(missed + 0.5 * (np.log(repeat / REPEAT) / _BELIEF_SD) ** 2)
    return replace(points, repeat=float(_TRIED[int(np.argmin(likely))]))


def repeats(points: MixturePoints) -> np.ndarray:
    """Mask of the sources that some run repeats more than a few times."""
    return np.asarray((points.epochs > NEARLY_NEW).any(axis=0))

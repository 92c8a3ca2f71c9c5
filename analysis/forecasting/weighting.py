"""How much a run tells about larger ones: the less, the further its loss lies above the frontier.

The frontier is the lowest loss reached with a budget's FLOPs or fewer. Runs far above it, with too many parameters for
their tokens or too few, are where laws break down first, and no large run is planned there. A focus of width w weighs
a run whose log loss lies x above the frontier by exp(-(x / w)^2 / 2); an infinite one weighs all alike.
"""

import numpy as np
from jaxtyping import Float

from analysis.runs.arrays import RunArrays
from analysis.runs.groups import SAME_BUDGET

EVERYWHERE = np.inf
FOCI = (EVERYWHERE, 0.2, 0.05)


def weights(points: RunArrays, width: float) -> Float[np.ndarray, " rows"]:
    """The weight of each run under a focus, 1 on average."""
    weight = np.exp(-0.5 * (above_frontier(points) / width) ** 2)
    return weight * (len(points) / weight.sum())


def above_frontier(points: RunArrays) -> Float[np.ndarray, " rows"]:
    """How far the log loss of each run lies above the lowest at its budget or below."""
    order = np.argsort(points.inputs.c, kind="stable")
    compute = points.inputs.c[order]
    lowest = np.minimum.accumulate(points.log_loss[order])
    upto = np.searchsorted(compute, points.inputs.c + np.log(SAME_BUDGET), side="right") - 1
    return points.log_loss - lowest[upto]

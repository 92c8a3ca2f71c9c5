"""Weights of a forecast's members by rolling-origin folds.

A way of weighing is a function (names of the members, folds that hold any of them) -> a weight for each, together 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from analysis.forecasting.candidates import CandidateName
from analysis.forecasting.folds import Fold

MemberWeights = Callable[[Sequence[CandidateName], Sequence[Fold]], Float[np.ndarray, " members"]]


def shrunk_weights(names: Sequence[CandidateName], folds: Sequence[Fold]) -> Float[np.ndarray, " members"]:
    """Weights (members,) by the mean square over folds of ``Fold.errors``, shrunk towards equal ones:

        1 / (mean square + median of all members' mean squares)

    A few folds with noise in them say which members are poor, not which of the good ones is best: without the median
    (Bates & Granger 1969) a member that was lucky takes most of the weight. Each fold counts by its share of the runs.
    A member that no fold had enough runs for is taken to be as good as the median; without folds all weigh the same.
    """
    total, seen = np.zeros(len(names)), np.zeros(len(names))
    for fold in folds:
        errors = fold.errors()
        for i, name in enumerate(names):
            if name in errors:
                total[i] += fold.share * errors[name] ** 2
                seen[i] += fold.share
    tested = seen > 0
    if not tested.any():
        return np.full(len(names), 1 / len(names))
    squares = total / np.maximum(seen, 1e-12)
    median = float(np.median(squares[tested]))
    weights = 1 / np.maximum(np.where(tested, squares, median) + median, 1e-300)
    weights /= weights.max()  # before the sum, which may overflow where all were forecast exactly
    return weights / weights.sum()

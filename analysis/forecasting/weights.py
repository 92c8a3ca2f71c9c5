"""Weights of a forecast's members by rolling-origin folds.

A way of weighing is a function (names of the members, folds that hold any of them) -> a weight for each, together 1.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from analysis.forecasting.candidates import CandidateName
from analysis.forecasting.folds import Fold

MemberWeights = Callable[[Sequence[CandidateName], Sequence[Fold]], Float[np.ndarray, " members"]]


def inverse_square_weights(names: Sequence[CandidateName], folds: Sequence[Fold]) -> Float[np.ndarray, " members"]:
    """Weights (members,) inverse to the mean square over folds of ``Fold.errors`` (Bates & Granger 1969).

    Each fold counts by its share of the runs. A member that no fold had enough runs for has no weight; without folds
    all weigh the same.
    """
    total, seen = np.zeros(len(names)), np.zeros(len(names))
    for fold in folds:
        errors = fold.errors()
        for i, name in enumerate(names):
            if name in errors:
                total[i] += fold.share * errors[name] ** 2
                seen[i] += fold.share
    if not seen.any():
        return np.full(len(names), 1 / len(names))
    scores = np.where(seen > 0, total / np.maximum(seen, 1e-12), np.inf)
    weights = max(float(scores.min()), 1e-300) / np.maximum(scores, 1e-300)
    weights = np.where(np.isfinite(weights), weights, 0.0)
    return weights / weights.sum()

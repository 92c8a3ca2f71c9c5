"""Two naive forecasts that a law has to beat, and whether they miss less than the laws did."""

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.calibration import FoldError
from analysis.forecasting.folds import origins
from analysis.runs.arrays import RunArrays

LARGEST = "largest fitted run"
LINE = "log-log line"


def baselines(runs: RunArrays, flops: float) -> dict[str, float]:
    """Losses, nats per token, of two naive forecasts at a budget, by name.

    ``largest fitted run`` repeats the loss of the cell with the most FLOPs (the mean over its seeds); ``log-log line``
    extends a straight line of log loss over log FLOPs through the frontier: the best cell of each budget.
    """
    mean, compute, budget = _cells(runs)
    largest = int(np.lexsort((-mean, compute))[-1])
    frontier = [min(np.flatnonzero(budget == number), key=lambda cell: mean[cell]) for number in np.unique(budget)]
    forecasts = {LARGEST: float(np.exp(mean[largest]))}
    best = np.minimum.accumulate(mean[frontier])
    lowest = [cell for cell, low in zip(frontier, best, strict=True) if mean[cell] <= low]
    if len(lowest) >= 2:
        slope, intercept = np.polyfit(compute[lowest], mean[lowest], 1)
        forecasts[LINE] = float(np.exp(intercept + slope * np.log(flops)))
    return forecasts


def _cells(runs: RunArrays) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean log loss, log FLOPs and budget number of each cell."""
    _, first, index, count = np.unique(runs.cell, return_index=True, return_inverse=True, return_counts=True)
    mean = np.log(np.bincount(index, np.exp(runs.log_loss)) / count)
    return mean, runs.inputs.c[first], runs.budget[first]


def naive_better(runs: RunArrays, errors: Sequence[FoldError]) -> Iterator[Diagnostic]:
    """Warns of the best naive forecast where it missed less than the pooled laws, over the same folds.

    Args:
        runs: the fitted runs.
        errors: of the pooled laws in each rolling-origin fold.
    """
    laws = {round(error.share * len(runs)): error for error in errors}  # by how many runs were fitted
    squares: dict[str, list[float]] = {}
    shares: list[float] = []
    for origin in origins(runs):
        below = runs.budget <= origin
        if int(below.sum()) in laws:
            shares.append(float(below.mean()))
            for name, square in _squares(runs.subset(below), runs.subset(~below)).items():
                squares.setdefault(name, []).append(square)
    whole = {name: np.average(found, weights=shares) for name, found in squares.items() if len(found) == len(shares)}
    if not whole:
        return
    best = min(whole, key=lambda name: whole[name])
    own = np.average([error.square for error in errors], weights=[error.share for error in errors])
    if whole[best] < own:
        yield Diagnostic(
            "naive-better",
            f"among the fitted runs, the naive forecast by {best} missed the dearer runs by {np.sqrt(whole[best]):.1%} "
            f"and the laws by {np.sqrt(own):.1%}: it is the one to trust here",
        )


def _squares(fitted: RunArrays, held_out: RunArrays) -> dict[str, float]:
    """Mean square of each naive forecast's error of the log loss."""
    found: dict[str, list[float]] = {}
    for flops, log_loss in zip(np.exp(held_out.inputs.c), held_out.log_loss, strict=True):
        for name, loss in baselines(fitted, float(flops)).items():
            found.setdefault(name, []).append(float(np.log(loss) - log_loss) ** 2)
    return {name: float(np.mean(squares)) for name, squares in found.items()}

"""Two naive forecasts that a law has to beat."""

import numpy as np

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

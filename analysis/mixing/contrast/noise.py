"""Noise of the contrast: what replicates of a mixture differ by, beyond what their seed does to all mixtures alike."""

import numpy as np
from jaxtyping import Float, Int

from analysis.mixing.points import MixturePoints


def contrast_noise(points: MixturePoints) -> Float[np.ndarray, " domains"]:
    """Standard deviation of one run's log loss on each domain around its mixture and its seed; NaN without replicates.

    Within a cell, the residuals of a table of mixtures by seeds from its row and column means, each with the degrees
    of freedom that these leave.
    """
    logs = np.log(points.losses)
    squares, freedom = np.zeros(logs.shape[1]), 0
    for cell in range(points.n_cells):
        here = np.flatnonzero(points.cells == cell)
        # Seeds that few mixtures have would leave few complete rows.
        here = here[np.isin(points.seeds[here], _shared(points, here))]
        seeds = np.unique(points.seeds[here])
        complete = [
            rows
            for mixture in np.unique(points.mixtures[here])
            if len(rows := here[points.mixtures[here] == mixture]) == len(seeds) > 1
            and len(np.unique(points.seeds[rows])) == len(seeds)
        ]
        if len(complete) < 2:
            continue
        table = np.stack([logs[rows[np.argsort(points.seeds[rows])]] for rows in complete])
        left = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean(axis=(0, 1))
        squares += (left**2).sum(axis=(0, 1))
        freedom += (len(complete) - 1) * (len(seeds) - 1)
    return np.asarray(np.sqrt(squares / freedom)) if freedom else np.full(logs.shape[1], np.nan)


def _shared(points: MixturePoints, here: Int[np.ndarray, " runs"]) -> list[int]:
    """The seeds that more than half as many mixtures have as the seed of the most."""
    seeds = points.seeds[here]
    counts = {seed: len(np.unique(points.mixtures[here][seeds == seed])) for seed in np.unique(seeds).tolist()}
    return [seed for seed, count in counts.items() if 2 * count > max(counts.values())]

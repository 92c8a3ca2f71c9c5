"""Seed noise: how far the losses of runs that differ by their seed alone lie apart."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.points import Points


@dataclass(frozen=True)
class BudgetNoise:
    """The noise at one FLOP budget.

    Attributes:
        flops: the mean of the budget's replicated runs.
        runs: how many runs have a replicate.
        std: standard deviation of the log loss about the cell's mean, pooled over cells; 0.01 is 1 % of the
            loss.
    """

    flops: float
    runs: int
    std: float


@dataclass(frozen=True)
class SeedNoise:
    """Seed noise of a table.

    Attributes:
        by_budget: from the cheapest; only budgets with replicates.
        pooled: standard deviation of the log loss over all cells; None without replicates.
        freedom: degrees of freedom behind ``pooled``.
    """

    by_budget: tuple[BudgetNoise, ...]
    pooled: float | None
    freedom: int


def seed_noise(points: Points) -> SeedNoise:
    """Pools the replicates: runs of the same parameters, tokens and recipe; a row told twice is one."""
    points = points.subset(~pd.DataFrame({"cell": points.cell, "loss": points.log_loss}).duplicated().to_numpy())
    deviations, freedom = _within_cells(points)
    by_budget = []
    for number in range(int(points.budget.max()) + 1):
        here = points.budget == number
        degrees = freedom[here].sum()
        if degrees > 0:
            replicated = here & (freedom > 0)
            by_budget.append(
                BudgetNoise(
                    flops=float(np.exp(points.inputs.c[replicated]).mean()),
                    runs=int(replicated.sum()),
                    std=float(np.sqrt((deviations[here] ** 2).sum() / degrees)),
                )
            )
    total = float(freedom.sum())
    pooled = float(np.sqrt((deviations**2).sum() / total)) if total > 0 else None
    return SeedNoise(tuple(by_budget), pooled, round(total))


def _within_cells(points: Points) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Each row's deviation from its cell's mean log loss, and its share of the cell's degrees of freedom."""
    _, index, count = np.unique(points.cell, return_inverse=True, return_counts=True)
    mean = np.bincount(index, points.log_loss) / count
    return points.log_loss - mean[index], ((count - 1) / count)[index]

"""Seed noise: the standard deviation of losses of runs that differ by their seed alone."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.runs.arrays import RunArrays

# Prior: ten times the compute changes the noise by a factor of up to 1.6, in two cases of three.
_SLOPE_SD = 0.2


@dataclass(frozen=True)
class BudgetNoise:
    """Seed noise at one FLOP budget.

    Attributes:
        flops: the mean of the budget's replicated runs.
        runs: how many runs have a replicate.
        freedom: degrees of freedom: those runs less one a cell.
        std: standard deviation of the log loss about the cell's mean, pooled over cells; 0.01 is 1 % of the
            loss.
    """

    flops: float
    runs: int
    freedom: int
    std: float


@dataclass(frozen=True)
class NoiseTrend:
    """A power law of seed noise in the budget: std (C / flops)^slope.

    Attributes:
        std: standard deviation of the log loss at ``flops``.
        flops: geometric mean of the budgets with replicates, by their degrees of freedom.
        slope: near 0 where there are few replicates.
    """

    std: float
    flops: float
    slope: float

    def at(self, flops: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Standard deviation (budgets,) of the log loss of one run of each budget."""
        return self.std * (flops / self.flops) ** self.slope


@dataclass(frozen=True)
class SeedNoise:
    """The seed noise of a table.

    Attributes:
        by_budget: from the lowest; only budgets with replicates.
        pooled: standard deviation of the log loss over all cells; None without replicates.
        freedom: degrees of freedom behind ``pooled``.
    """

    by_budget: tuple[BudgetNoise, ...]
    pooled: float | None
    freedom: int

    @property
    def trend(self) -> NoiseTrend | None:
        """The power law through ``by_budget``; None without replicates that differ.

        The likeliest one, each budget's variance s^2 being a scaled chi-square of its degrees of freedom v, with a
        prior of 0 +- 0.2 on the slope: it minimises

            sum_b v_b / 2 (s_b^2 / std_b^2 + log std_b^2) + (slope / 0.2)^2 / 2
        """
        if not self.pooled:
            return None
        degrees = np.array([budget.freedom for budget in self.by_budget], float)
        variance = np.array([budget.std for budget in self.by_budget]) ** 2
        log = np.log([budget.flops for budget in self.by_budget])
        centre = float(degrees @ log / degrees.sum())
        x = log - centre
        level, slope = float(np.log(self.pooled)), 0.0
        for _ in range(100):  # Fisher scoring; the centred terms are separable
            excess = degrees * (variance * np.exp(-2 * (level + slope * x)) - 1)
            step = float(excess.sum() / (2 * degrees.sum()))
            turn = float((excess @ x - slope / _SLOPE_SD**2) / (2 * degrees @ x**2 + 1 / _SLOPE_SD**2))
            level, slope = level + step, slope + turn
            if max(abs(step), abs(turn)) < 1e-10:
                break
        return NoiseTrend(float(np.exp(level)), float(np.exp(centre)), slope)


def seed_noise(runs: RunArrays) -> SeedNoise:
    """Estimates seed noise from replicates: runs of the same parameters, tokens and recipe; equal rows count once."""
    runs = runs.subset(~pd.DataFrame({"cell": runs.cell, "loss": runs.log_loss}).duplicated().to_numpy())
    deviations, freedom = _within_cells(runs)
    by_budget = []
    for number in range(int(runs.budget.max()) + 1):
        here = runs.budget == number
        degrees = freedom[here].sum()
        if degrees > 0:
            replicated = here & (freedom > 0)
            by_budget.append(
                BudgetNoise(
                    flops=float(np.exp(runs.inputs.c[replicated]).mean()),
                    runs=int(replicated.sum()),
                    freedom=round(float(degrees)),
                    std=float(np.sqrt((deviations[here] ** 2).sum() / degrees)),
                )
            )
    total = float(freedom.sum())
    pooled = float(np.sqrt((deviations**2).sum() / total)) if total > 0 else None
    return SeedNoise(tuple(by_budget), pooled, round(total))


def _within_cells(runs: RunArrays) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Deviation (rows,) from the cell's mean log loss, and share (rows,) of the cell's degrees of freedom."""
    _, index, count = np.unique(runs.cell, return_inverse=True, return_counts=True)
    mean = np.bincount(index, runs.log_loss) / count
    return runs.log_loss - mean[index], ((count - 1) / count)[index]

"""The best number of seeds for each budget of a planned sweep, at the planned FLOPs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.design.posterior import Posterior, default_law, slopes
from analysis.fitting.fit import fit_arrays
from analysis.forecasting.calibration import FORM
from analysis.laws import LAWS
from analysis.runs.arrays import inputs_at
from analysis.runs.groups import budgets_of
from analysis.runs.seed_noise import SeedNoise, seed_noise
from analysis.runs.table import RunTable

_LAW = LAWS["chinchilla"]
# Different cells that a fit of its constants needs.
FEWEST_CELLS = len(_LAW.names) + 2


@dataclass(frozen=True)
class PlannedCell:
    """Planned runs that differ by their seed alone.

    Attributes:
        params: parameters.
        tokens: training tokens.
        flops: of one run.
        seeds: how many runs.
    """

    params: float
    tokens: float
    flops: float
    seeds: int


@dataclass(frozen=True)
class BudgetSeeds:
    """Cells of one budget with the same planned number of seeds.

    Attributes:
        flops: mean of their runs.
        std: noise of one run's log loss.
        planned: seeds of each cell.
        wanted: seeds of each cell that minimise the variance of the forecast.
    """

    flops: float
    std: float
    planned: int
    wanted: int


@dataclass(frozen=True)
class SeedPlan:
    """Seeds for a sweep.

    Attributes:
        noise: of one run, by budget.
        budgets: in order of FLOPs.
        planned_std: standard deviation of the forecast's log loss with the planned seeds.
        wanted_std: the same with the wanted seeds.
    """

    noise: SeedNoise
    budgets: tuple[BudgetSeeds, ...]
    planned_std: float
    wanted_std: float

    def to_dict(self) -> dict[str, Any]:
        """``noise`` and ``seeds`` in the JSON object of ``scaling plan``."""
        return {
            "noise": {
                "std": self.noise.pooled,
                "replicates": self.noise.freedom,
                "by_budget": [asdict(budget) for budget in self.noise.by_budget],
            },
            "seeds": [asdict(budget) for budget in self.budgets],
        }


def plan_seeds(table: RunTable, cells: Sequence[PlannedCell], target: PlannedCell) -> SeedPlan | None:
    """Seeds that minimise the variance of the forecast at the planned FLOPs; None if the table has no replicates.

    The variance is that of a ``Posterior`` given so many runs of each cell. The noise of a run is that of
    ``SeedNoise.trend``; the law is chinchilla's, fitted to the table where it has seven cells or more and otherwise the
    default one. Its model error at each cell, however many seeds there are, is independent with a standard deviation of
    0.2 % times log(target's FLOPs / the cell's): without that, dozens of seeds would go to one cheap budget.

    Seeds are added from one a cell, a budget at a time, where they lower the variance most per FLOP, as long as all
    runs together take no more FLOPs than planned.

    Args:
        table: finished runs with replicates: of this sweep, or of one like it.
        cells: to be fitted; one at least.
        target: of the forecast; its seeds do not matter.
    """
    if table.unfit is not None:
        return None
    points = table.arrays
    noise = seed_noise(points)
    trend = noise.trend
    if trend is None:
        return None
    at = inputs_at(*np.array([(cell.params, cell.tokens, cell.flops) for cell in (*cells, target)], float).T)
    flops = np.array([cell.flops for cell in cells], float)
    planned = np.array([cell.seeds for cell in cells])
    law = default_law(at) if points.cells < FEWEST_CELLS else (_LAW.name, fit_arrays(points, _LAW).params)
    std, j = trend.at(flops), slopes(at, *law)
    missed = FORM * np.log(np.maximum(target.flops / np.append(flops, target.flops), 1.0))
    posterior = Posterior((j @ j.T + np.diag(missed**2))[None], std)

    def reached(seeds: Int[np.ndarray, " cells"]) -> float:
        """Standard deviation of the forecast with so many seeds of each cell."""
        return posterior.given(seeds).std

    budget = budgets_of(at.c[: len(cells)])
    # A budget with different numbers of seeds counts as several.
    groups = [
        (budget == number) & (planned == seeds) for number, seeds in sorted(set(zip(budget, planned, strict=True)))
    ]
    wanted = min(planned, _bought(reached, groups, flops, float(planned @ flops)), key=reached)
    return SeedPlan(
        noise=noise,
        budgets=tuple(
            BudgetSeeds(
                flops=float(flops[group].mean()),
                std=float(std[group].mean()),
                planned=int(planned[group][0]),
                wanted=int(wanted[group][0]),
            )
            for group in groups
        ),
        planned_std=reached(planned),
        wanted_std=reached(wanted),
    )


def _bought(
    reached: Callable[[Int[np.ndarray, " cells"]], float],
    groups: Sequence[Bool[np.ndarray, " cells"]],
    flops: Float[np.ndarray, " cells"],
    purse: float,
) -> Int[np.ndarray, " cells"]:
    """Each cell's seeds for so many FLOPs: one, and then a group at a time."""
    seeds = np.ones(len(flops), np.int64)
    prices = [float(flops[group].sum()) for group in groups]
    while True:
        left = purse * (1 + 1e-9) - float(seeds @ flops)
        now = reached(seeds) ** 2
        gains = [
            (now - reached(seeds + group) ** 2) / price if price <= left else 0.0
            for group, price in zip(groups, prices, strict=True)
        ]
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            return seeds
        seeds = seeds + groups[best]

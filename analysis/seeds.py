"""How many seeds each budget of a planned sweep should have, for the FLOPs that are planned."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.fit import fit_points
from analysis.laws import LAWS, Inputs
from analysis.noise import SeedNoise, seed_noise
from analysis.points import Points, inputs_at
from analysis.table import RunTable
from analysis.uncertainty import FORM

_LAW = LAWS["chinchilla"]
# Different cells that a fit of its constants needs.
FEWEST_CELLS = len(_LAW.names) + 2


@dataclass(frozen=True)
class Cell:
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
    """The cells of one budget that are planned with as many seeds.

    Attributes:
        flops: mean of their runs.
        std: noise of one run's log loss.
        planned: seeds of each cell.
        wanted: seeds of each cell, for the surest forecast.
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
        budgets: from the cheapest.
        planned_std: standard deviation of the forecast's log loss with the seeds planned, and
        wanted_std: with those wanted.
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


def plan_seeds(table: RunTable, cells: Sequence[Cell], target: Cell) -> SeedPlan | None:
    """Seeds that make the forecast surest for the FLOPs planned; None if the table has no replicates.

    A law f of constants theta, fitted to cells weighed by what they tell, forecasts the log loss with the variance

        g' (I + sum_i j_i j_i' / (s_i^2 / n_i + e_i^2))^-1 g,    j = d log f / d theta at a cell, g at the target,

    by the delta method. Of a cell, n_i are the seeds, s_i is the noise of a run (``SeedNoise.trend``), and e_i what the
    law misses there however many seeds there are: 0.2 % times log(target's FLOPs / its own). Without e, dozens of seeds
    would go to one cheap budget. I is a vague prior. The law is chinchilla's, fitted to the table where it has seven
    cells or more; otherwise exponents are 0.35 and each term is a third of the loss.

    Seeds are added from one a cell, a budget at a time, where they lower the variance most per FLOP, as long as all
    runs together take no more FLOPs than planned.

    Args:
        table: finished runs with replicates: of this sweep, or of one like it.
        cells: to be fitted; one at least.
        target: of the forecast; its seeds do not matter.
    """
    if table.unfit is not None:
        return None
    points = table.points
    noise = seed_noise(points)
    trend = noise.trend
    if trend is None:
        return None
    at = inputs_at(*np.array([(cell.params, cell.tokens, cell.flops) for cell in (*cells, target)], float).T)
    flops = np.array([cell.flops for cell in cells], float)
    planned = np.array([cell.seeds for cell in cells])
    std = trend.at(flops)
    design = _Design(_slopes(points, at), std, FORM * np.log(np.maximum(target.flops / flops, 1.0)))
    each = np.arange(len(cells))
    budget = Points(at.take(each), np.zeros(len(cells)), each, each).budget
    # A budget with different numbers of seeds is told apart by them.
    groups = [
        (budget == number) & (planned == seeds) for number, seeds in sorted(set(zip(budget, planned, strict=True)))
    ]
    wanted = min(planned, _bought(design, groups, flops, float(planned @ flops)), key=design.std)
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
        planned_std=design.std(planned),
        wanted_std=design.std(wanted),
    )


def _slopes(points: Points, at: Inputs) -> Float[np.ndarray, "rows constants"]:
    """Derivatives of the log loss by log E, log A, log B, alpha and beta, with the law written about the middle."""
    n, d = float(at.n.mean()), float(at.d.mean())
    if points.cells < FEWEST_CELLS:
        law = {"E": 1.0, "A": 1.0, "B": 1.0, "alpha": 0.35, "beta": 0.35}
    else:
        law = dict(fit_points(points, _LAW).params)
        law |= {"A": law["A"] * np.exp(-law["alpha"] * n), "B": law["B"] * np.exp(-law["beta"] * d)}
    loss, partials = _LAW.evaluate(_LAW.internal(law)[None], Inputs(at.n - n, at.d - d, at.c, at.u - d))
    return partials[0] / loss[0][:, None]


@dataclass(frozen=True)
class _Design:
    """What the cells tell of the target.

    Attributes:
        slopes: of the cells and, last, of the target.
        noise: of a run of each cell.
        form: what the law misses at each cell.
    """

    slopes: Float[np.ndarray, "rows constants"]
    noise: Float[np.ndarray, " cells"]
    form: Float[np.ndarray, " cells"]

    def std(self, seeds: Int[np.ndarray, " cells"]) -> float:
        """Standard deviation of the forecast with so many seeds of each cell."""
        slopes, aim = self.slopes[:-1], self.slopes[-1]
        told = (slopes / (self.noise**2 / seeds + self.form**2)[:, None]).T @ slopes
        return float(np.sqrt(aim @ np.linalg.solve(np.eye(len(aim)) + told, aim)))


def _bought(
    design: _Design, groups: Sequence[Bool[np.ndarray, " cells"]], flops: Float[np.ndarray, " cells"], purse: float
) -> Int[np.ndarray, " cells"]:
    """Each cell's seeds for so many FLOPs: one, and then a group at a time."""
    seeds = np.ones(len(flops), np.int64)
    prices = [float(flops[group].sum()) for group in groups]
    while True:
        left = purse * (1 + 1e-9) - float(seeds @ flops)
        now = design.std(seeds) ** 2
        gains = [
            (now - design.std(seeds + group) ** 2) / price if price <= left else 0.0
            for group, price in zip(groups, prices, strict=True)
        ]
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            return seeds
        seeds = seeds + groups[best]

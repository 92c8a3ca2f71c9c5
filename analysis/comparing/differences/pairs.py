"""Pairs of cells of two contenders, and the noise of their differences.

Two runs of one size, length and seed share much of their noise, and what a law misses at a point it misses for both: so
the difference of a pair is known far better than either loss.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.comparing.differences.cells import Cells
from analysis.laws import Inputs
from analysis.runs.groups import budgets_of
from analysis.runs.seed_noise import BudgetNoise, SeedNoise

# Sizes of two contenders may differ by what one changes of the model; lengths by a step.
_SAME = float(np.log(1.1))


@dataclass(frozen=True)
class Pairs:
    """Pairs of cells, from the lowest FLOPs.

    Attributes:
        first: the inputs of the first contender's cell of each pair.
        second: of the second's.
        delta: log loss of the second less that of the first.
        weight: of each, in runs of the largest budget: of r and s runs 2 / (1 / r + 1 / s), or the number of seeds in
            common, by the noise there over that here, squared.
        spread: standard deviation of the difference of two runs of the largest budget by their seeds; None without
            replicates.
        freedom: degrees of freedom behind it.
        slope: power of compute by which that noise changes; 0 without replicates.
    """

    first: Inputs
    second: Inputs
    delta: Float[np.ndarray, " pairs"]
    weight: Float[np.ndarray, " pairs"]
    spread: float | None
    freedom: int
    slope: float

    def __len__(self) -> int:
        return len(self.delta)

    @property
    def compute(self) -> Float[np.ndarray, " pairs"]:
        """Log FLOPs of each: the mean of both contenders'."""
        return (self.first.c + self.second.c) / 2

    @property
    def budget(self) -> Int[np.ndarray, " pairs"]:
        """FLOP budget of each, numbered from 0 at the lowest."""
        return budgets_of(self.compute)

    def take(self, keep: Bool[np.ndarray, " pairs"]) -> "Pairs":
        """Some of the pairs, by a mask."""
        return Pairs(
            self.first.take(keep),
            self.second.take(keep),
            self.delta[keep],
            self.weight[keep],
            self.spread,
            self.freedom,
            self.slope,
        )


def pair(first: Cells, second: Cells) -> Pairs:
    """Pairs the cells of two contenders that are of one size and length, each at most once: mutual nearest ones.

    Parameters and tokens may differ by up to 10 %.
    """
    apart = np.maximum(
        np.abs(first.inputs.n[:, None] - second.inputs.n[None]),
        np.abs(first.inputs.d[:, None] - second.inputs.d[None]),
    )
    left, right = [], []
    if apart.size:
        near, back = apart.argmin(axis=1), apart.argmin(axis=0)
        for i, j in enumerate(near):
            if apart[i, j] <= _SAME and back[j] == i:
                left.append(i)
                right.append(int(j))
    at, there = first.inputs.take(np.array(left, np.int64)), second.inputs.take(np.array(right, np.int64))
    differences = [_difference(first, i, second, j) for i, j in zip(left, right, strict=True)]
    delta, runs, squares = (np.array([each[k] for each in differences]) for k in range(3))
    freedom = np.array([each[3] for each in differences], np.int64)
    compute = (at.c + there.c) / 2
    trend = _noise(compute, squares, freedom).trend
    if trend is None:
        known = float(np.sqrt(squares.sum() / freedom.sum())) if freedom.sum() else None
        return Pairs(at, there, delta, runs, known, int(freedom.sum()), 0.0)
    noise = trend.at(np.exp(compute))
    least = noise[compute.argmax()]
    return Pairs(at, there, delta, runs * (least / noise) ** 2, float(least), int(freedom.sum()), trend.slope)


def _difference(first: Cells, i: int, second: Cells, j: int) -> tuple[float, float, float, int]:
    """Of one pair: log loss of the second less the first's, runs' worth, and squares and freedom of its seeds."""
    ours, theirs = first.by_seed[i], second.by_seed[j]
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) == first.runs[i] == second.runs[j]:
        each = np.array([theirs[seed] - ours[seed] for seed in shared])
        return float(each.mean()), float(len(shared)), float(((each - each.mean()) ** 2).sum()), len(shared) - 1
    squares, freedom = 0.0, 0
    for seeds in (ours, theirs):
        values = np.array(list(seeds.values()))
        if len(values) > 1:
            squares += 2 * float(((values - values.mean()) ** 2).sum())  # of a difference of two
            freedom += len(values) - 1
    worth = 2 / (1 / first.runs[i] + 1 / second.runs[j])
    return float(second.log_loss[j] - first.log_loss[i]), float(worth), squares, freedom


def _noise(
    compute: Float[np.ndarray, " pairs"], squares: Float[np.ndarray, " pairs"], freedom: Int[np.ndarray, " pairs"]
) -> SeedNoise:
    """The noise of a difference of two runs, budget by budget."""
    total = int(freedom.sum())
    if not total:
        return SeedNoise((), None, 0)
    budget = budgets_of(compute)
    rows = []
    for number in range(int(budget.max()) + 1):
        here = (budget == number) & (freedom > 0)
        if here.any():
            degrees = int(freedom[here].sum())
            spread = float(np.sqrt(squares[here].sum() / degrees))
            rows.append(BudgetNoise(float(np.exp(compute[here]).mean()), int(here.sum()) + degrees, degrees, spread))
    return SeedNoise(tuple(rows), float(np.sqrt(squares.sum() / total)), total)

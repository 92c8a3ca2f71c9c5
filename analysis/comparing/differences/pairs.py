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

# Sizes of two contenders may differ by what one changes of the model; lengths by a step.
_SAME = float(np.log(1.1))


@dataclass(frozen=True)
class Pairs:
    """Pairs of cells, from the lowest FLOPs.

    Attributes:
        first: the inputs of the first contender's cell of each pair.
        second: of the second's.
        delta: log loss of the second less that of the first.
        weight: runs' worth of each: of r and s runs, 2 / (1 / r + 1 / s), or the number of seeds in common.
        spread: standard deviation of the difference of two runs by their seeds; None without replicates.
        freedom: degrees of freedom behind it.
    """

    first: Inputs
    second: Inputs
    delta: Float[np.ndarray, " pairs"]
    weight: Float[np.ndarray, " pairs"]
    spread: float | None
    freedom: int

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
    deltas, weights, squares, freedom = [], [], 0.0, 0
    for i, j in zip(left, right, strict=True):
        ours, theirs = first.by_seed[i], second.by_seed[j]
        shared = sorted(ours.keys() & theirs.keys())
        if len(shared) == first.runs[i] == second.runs[j]:
            each = np.array([theirs[seed] - ours[seed] for seed in shared])
            deltas.append(float(each.mean()))
            weights.append(float(len(shared)))
            squares += float(((each - each.mean()) ** 2).sum())
            freedom += len(shared) - 1
        else:
            deltas.append(float(second.log_loss[j] - first.log_loss[i]))
            weights.append(2 / (1 / first.runs[i] + 1 / second.runs[j]))
            for seeds in (ours, theirs):
                values = np.array(list(seeds.values()))
                if len(values) > 1:
                    squares += 2 * float(((values - values.mean()) ** 2).sum())  # of a difference of two
                    freedom += len(values) - 1
    spread = float(np.sqrt(squares / freedom)) if freedom else None
    keep_left, keep_right = np.array(left, np.int64), np.array(right, np.int64)
    return Pairs(
        first.inputs.take(keep_left),
        second.inputs.take(keep_right),
        np.array(deltas),
        np.array(weights),
        spread,
        freedom,
    )

"""Parameters against tokens on one loss surface: the best split of a FLOP total, the least total for a loss.

Served tokens cost a third of trained ones, a forward pass without the backward (2401.00448): under 6ND,

    total = 6 N D + 2 N D_inf

The least total for a loss and the least loss for a total are one curve, so the first is found along the second.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from analysis.allocation.surface import LossSurface

TOLERANCE = 0.0025  # of the loss, for near-optimal
# Each grid is 20 times finer. Three tell the least loss to 1e-9; five its place to 1e-6, even where it bends there.
_GRID, _KEEP, _COARSE, _FINE = 81, 2, 3, 5
# Sizes between which the best one is sought: of the square root of total / 6.
_SMALLER, _LARGER = 14.0, 9.0
START = float(np.log(1e22))  # log total at which a search for a loss begins
_LEAST_TOTAL, _MOST_TOTAL = float(np.log(1e-6)), float(np.log(1e60))
_MOST = np.log(1e40)  # parameters or tokens
_END = 0.05


@dataclass(frozen=True)
class ComputeSplit:
    """Parameters and tokens on a surface, all as logarithms.

    Attributes:
        n: log parameters.
        d: log training tokens.
        loss: there, nats per token.
        total: log FLOPs of training and inference.
        sought: whether it is the best of its total, and not of a size or length that was given.
        inside: whether the best is a minimum, and not the end of the search.
    """

    n: float
    d: float
    loss: float
    total: float
    sought: bool = False
    inside: bool = True

    @property
    def ran(self) -> float:
        """Where the best is: 0 at a minimum, -1 beyond the smallest sizes that were tried, 1 beyond the largest."""
        return 0.0 if self.inside else float(np.sign(self.n - self.d))


@dataclass(frozen=True)
class AllocationProblem:
    """A loss surface, and how many tokens the model will serve.

    Attributes:
        surface: the loss.
        served: tokens of inference over the model's life.
    """

    surface: LossSurface
    served: float = 0.0

    @property
    def training_only(self) -> "AllocationProblem":
        """The same with nothing served."""
        return replace(self, served=0.0)

    def split(self, n: float, d: float) -> ComputeSplit:
        """Given parameters and tokens, as logarithms."""
        at = np.array([n])
        loss = float(self.surface.loss(at, np.array([d]))[0])
        cost = float(self.surface.cost(at)[0])
        return ComputeSplit(n, d, loss, float(np.log(cost) + n + np.logaddexp(d, np.log(max(self.served, 1e-300) / 3))))

    def training(self, split: ComputeSplit) -> float:
        """Training FLOPs of a split."""
        return float(np.exp(self.training_only.split(split.n, split.d).total))

    def per_served_token(self, split: ComputeSplit) -> float:
        """FLOPs of inference per token."""
        return float(np.exp(split.n) * self.surface.cost(np.array([split.n]))[0] / 3)

    def losses(self, total: float, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        """The loss of each size (log parameters) for the same log total; infinite where it does not pay for serving."""
        tokens = np.exp(total - n) / self.surface.cost(n) - self.served / 3
        enough = tokens > 1e-6
        loss = self.surface.loss(n, np.log(np.where(enough, tokens, 1.0)))
        return np.where(enough, loss, np.inf)

    def best(self, total: float, grids: int = _FINE) -> ComputeSplit:
        """The split of least loss for a log total, by so many grids, each finer than the one before."""
        middle = (total - np.log(6)) / 2
        low, high = middle - _SMALLER, middle + _LARGER
        if self.served:
            # Larger ones do not even serve it.
            high = min(high, total - np.log(self.served / 3) - float(np.log(self.surface.costs.min())))
            low = min(low, high - 1)
        ends = low, high
        for _ in range(grids):
            grid = np.linspace(low, high, _GRID)
            losses = self.losses(total, grid)
            i = int(np.argmin(losses))
            low, high = float(grid[max(i - _KEEP, 0)]), float(grid[min(i + _KEEP, _GRID - 1)])
        n = _vertex(grid[max(i - _KEEP, 0) : i + _KEEP + 1], losses[max(i - _KEEP, 0) : i + _KEEP + 1])
        return replace(self.on(total, n), sought=True, inside=bool(min(n - ends[0], ends[1] - n) > _END))

    def on(self, total: float, n: float) -> ComputeSplit:
        """The split of a log total at a size."""
        cost = float(self.surface.cost(np.array([n]))[0])
        return self.split(n, float(np.log(max(np.exp(total - n) / cost - self.served / 3, 1e-6))))

    def least(self, loss: float, start: float = START) -> ComputeSplit | None:
        """The split of the least total that reaches a loss; None if none does.

        Args:
            loss: nats per token.
            start: log total at which to begin.
        """

        def above(total: float) -> float:
            return self.best(total, _COARSE).loss - loss

        low = high = min(max(start, _LEAST_TOTAL), _MOST_TOTAL)
        step = 0.5
        rising = above(start) > 0
        while rising and above(high) > 0:
            if high == _MOST_TOTAL:
                return None
            low, high, step = high, min(high + step, _MOST_TOTAL), 2 * step
        while not rising and above(low) < 0:
            if low == _LEAST_TOTAL:
                return self.best(low)
            low, high, step = max(low - step, _LEAST_TOTAL), low, 2 * step
        return self.best(float(brentq(above, low, high, xtol=1e-9)))

    def near(self, best: ComputeSplit) -> tuple[ComputeSplit, ComputeSplit]:
        """The smallest and the largest size that lose at most ``TOLERANCE`` more for the same total."""
        limit = best.loss * (1 + TOLERANCE)

        def above(n: float) -> float:
            return min(float(self.losses(best.total, np.array([n]))[0]), 1e3 * limit) - limit

        edges = []
        for step in (-0.5, 0.5):
            far = best.n
            while above(far) < 0 and abs(far - best.n) < _SMALLER:
                far += step
            edges.append(float(brentq(above, far - step, far)) if above(far) > 0 else far)
        low, high = edges
        return self.on(best.total, low), self.on(best.total, high)

    def with_tokens_for(self, n: float, loss: float) -> ComputeSplit | None:
        """A size's split that reaches a loss; None if it never does."""
        d = _reach(lambda d: self.split(n, d).loss - loss)
        return None if d is None else self.split(n, d)

    def with_params_for(self, d: float, loss: float) -> ComputeSplit | None:
        """The smallest size that reaches a loss on so many tokens; None if none does."""
        n = _reach(lambda n: self.split(n, d).loss - loss)
        return None if n is None else self.split(n, d)

    @property
    def lowest(self) -> float:
        """The loss that no total gets below."""
        return self.best(_MOST_TOTAL).loss

    def lowest_of(self, n: float) -> float:
        """The loss that a size never gets below."""
        return self.split(n, _MOST).loss

    def lowest_on(self, d: float) -> float:
        """The loss that no size gets below on so many tokens."""
        return self.split(_MOST, d).loss

    def with_tokens_of(self, n: float, training: float) -> ComputeSplit:
        """A size's split of so many training FLOPs, as a logarithm."""
        return self.split(n, training - n - float(np.log(self.surface.cost(np.array([n]))[0])))

    def with_params_of(self, d: float, training: float) -> ComputeSplit:
        """The split of so many training FLOPs, as a logarithm, on given tokens."""
        n = brentq(lambda n: self.with_tokens_of(n, training).d - d, -_MOST, 2 * _MOST)
        return self.split(float(n), d)


def _vertex(n: Float[np.ndarray, " sizes"], losses: Float[np.ndarray, " sizes"]) -> float:
    """Where a parabola through the losses is least; the least of them where it has no such place."""
    least = float(n[np.argmin(losses)])
    if not np.isfinite(losses).all():
        return least
    width = float(n[-1] - n[0])
    a, b, _ = np.polyfit((n - least) / width, losses / losses.min() - 1, 2)
    return float(np.clip(least - b / (2 * a) * width, n[0], n[-1])) if a > 0 else least


def _reach(above: Callable[[float], float]) -> float | None:
    """The least logarithm of a count at which a falling function is 0 or less."""
    if above(0.0) <= 0:
        return 0.0
    return float(brentq(above, 0.0, _MOST, xtol=1e-10)) if above(_MOST) < 0 else None

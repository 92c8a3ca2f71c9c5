"""Splits of compute between parameters and tokens on one loss surface: best for a FLOP total, cheapest for a loss.

An inference token costs a third of a training token, a forward pass without the backward (2401.00448): under 6ND,

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
# Each grid is 20 times finer. Three give the least loss to 1e-9; five its position to 1e-6, even at a kink.
_GRID, _KEEP, _COARSE, _FINE = 81, 2, 3, 5
# Range of the search for the best size: log distance below and above the square root of total / 6.
_BELOW, _ABOVE = 14.0, 9.0
START = float(np.log(1e22))  # log total at which a search for a loss begins
_MIN_TOTAL, _MAX_TOTAL = float(np.log(1e-6)), float(np.log(1e60))
_MAX_COUNT = np.log(1e40)  # parameters or tokens
_EDGE = 0.05  # log distance from the range's ends within which a minimum does not count


@dataclass(frozen=True)
class ComputeSplit:
    """Parameters and tokens on a loss surface.

    Attributes:
        n: log parameters.
        d: log training tokens.
        loss: nats per token.
        total: log FLOPs of training and inference.
        optimised: whether it has the least loss of its total; False for a given size or number of tokens.
        inside: whether the least loss is a minimum, and not at the end of the search.
    """

    n: float
    d: float
    loss: float
    total: float
    optimised: bool = False
    inside: bool = True

    @property
    def side(self) -> float:
        """0 at a minimum; -1 at the smallest sizes of the search, 1 at the largest."""
        return 0.0 if self.inside else float(np.sign(self.n - self.d))


@dataclass(frozen=True)
class AllocationProblem:
    """A loss surface to split compute on, and the tokens of inference to pay for.

    Attributes:
        surface: the loss.
        inference_tokens: served over the model's life.
    """

    surface: LossSurface
    inference_tokens: float = 0.0

    @property
    def training_only(self) -> "AllocationProblem":
        """The same problem without inference."""
        return replace(self, inference_tokens=0.0)

    def at(self, n: float, d: float) -> ComputeSplit:
        """The split of log parameters and log tokens."""
        at = np.array([n])
        loss = float(self.surface.loss(at, np.array([d]))[0])
        cost = float(self.surface.cost(at)[0])
        inference = np.log(max(self.inference_tokens, 1e-300) / 3)  # in training tokens
        return ComputeSplit(n, d, loss, float(np.log(cost) + n + np.logaddexp(d, inference)))

    def training_flops(self, split: ComputeSplit) -> float:
        """Training FLOPs of a split."""
        return float(np.exp(self.training_only.at(split.n, split.d).total))

    def inference_flops_per_token(self, split: ComputeSplit) -> float:
        """FLOPs of inference per token of a split."""
        return float(np.exp(split.n) * self.surface.cost(np.array([split.n]))[0] / 3)

    def losses(self, total: float, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        """Loss of each size (log parameters) at a log total; infinite where that does not pay for the inference."""
        tokens = np.exp(total - n) / self.surface.cost(n) - self.inference_tokens / 3
        enough = tokens > 1e-6
        loss = self.surface.loss(n, np.log(np.where(enough, tokens, 1.0)))
        return np.where(enough, loss, np.inf)

    def best_split(self, total: float, grids: int = _FINE) -> ComputeSplit:
        """The split of least loss at a log total, by successively finer grids over the size."""
        middle = (total - np.log(6)) / 2
        low, high = middle - _BELOW, middle + _ABOVE
        if self.inference_tokens:
            # The inference alone of a larger size costs more than the total.
            high = min(high, total - np.log(self.inference_tokens / 3) - float(np.log(self.surface.costs.min())))
            low = min(low, high - 1)
        ends = low, high
        for _ in range(grids):
            grid = np.linspace(low, high, _GRID)
            losses = self.losses(total, grid)
            i = int(np.argmin(losses))
            low, high = float(grid[max(i - _KEEP, 0)]), float(grid[min(i + _KEEP, _GRID - 1)])
        n = _vertex(grid[max(i - _KEEP, 0) : i + _KEEP + 1], losses[max(i - _KEEP, 0) : i + _KEEP + 1])
        return replace(self.at_size(n, total), optimised=True, inside=bool(min(n - ends[0], ends[1] - n) > _EDGE))

    def at_size(self, n: float, total: float) -> ComputeSplit:
        """The split of a log total at a given size (log parameters)."""
        cost = float(self.surface.cost(np.array([n]))[0])
        return self.at(n, float(np.log(max(np.exp(total - n) / cost - self.inference_tokens / 3, 1e-6))))

    def cheapest_split(self, loss: float, start: float = START) -> ComputeSplit | None:
        """The split of the least total that reaches a loss; None if none does.

        Args:
            loss: nats per token.
            start: log total at which to begin.
        """

        def above(total: float) -> float:
            return self.best_split(total, _COARSE).loss - loss

        low = high = min(max(start, _MIN_TOTAL), _MAX_TOTAL)
        step = 0.5
        rising = above(start) > 0
        while rising and above(high) > 0:
            if high == _MAX_TOTAL:
                return None
            low, high, step = high, min(high + step, _MAX_TOTAL), 2 * step
        while not rising and above(low) < 0:
            if low == _MIN_TOTAL:
                return self.best_split(low)
            low, high, step = max(low - step, _MIN_TOTAL), low, 2 * step
        return self.best_split(float(brentq(above, low, high, xtol=1e-9)))

    def near_optimal(self, best: ComputeSplit) -> tuple[ComputeSplit, ComputeSplit]:
        """The smallest and the largest size within ``TOLERANCE`` of the best loss at the same total."""
        limit = best.loss * (1 + TOLERANCE)

        def above(n: float) -> float:
            return min(float(self.losses(best.total, np.array([n]))[0]), 1e3 * limit) - limit

        edges = []
        for step in (-0.5, 0.5):
            far = best.n
            while above(far) < 0 and abs(far - best.n) < _BELOW:
                far += step
            edges.append(float(brentq(above, far - step, far)) if above(far) > 0 else far)
        low, high = edges
        return self.at_size(low, best.total), self.at_size(high, best.total)

    def tokens_for_loss(self, n: float, loss: float) -> ComputeSplit | None:
        """The split of a given size with the fewest tokens for a loss; None if it never reaches it."""
        d = _first_root(lambda d: self.at(n, d).loss - loss)
        return None if d is None else self.at(n, d)

    def params_for_loss(self, d: float, loss: float) -> ComputeSplit | None:
        """The split of given tokens with the smallest size for a loss; None if no size reaches it."""
        n = _first_root(lambda n: self.at(n, d).loss - loss)
        return None if n is None else self.at(n, d)

    @property
    def lowest_loss(self) -> float:
        """Infimum of the loss over all totals."""
        return self.best_split(_MAX_TOTAL).loss

    def lowest_loss_at_size(self, n: float) -> float:
        """Infimum of the loss over tokens at a given size (log parameters)."""
        return self.at(n, _MAX_COUNT).loss

    def lowest_loss_on_tokens(self, d: float) -> float:
        """Infimum of the loss over sizes on given log tokens."""
        return self.at(_MAX_COUNT, d).loss

    def tokens_for_training(self, n: float, training: float) -> ComputeSplit:
        """The split of log training FLOPs at a given size (log parameters)."""
        return self.at(n, training - n - float(np.log(self.surface.cost(np.array([n]))[0])))

    def params_for_training(self, d: float, training: float) -> ComputeSplit:
        """The split of log training FLOPs on given log tokens."""
        n = brentq(lambda n: self.tokens_for_training(n, training).d - d, -_MAX_COUNT, 2 * _MAX_COUNT)
        return self.at(float(n), d)


def _vertex(n: Float[np.ndarray, " sizes"], losses: Float[np.ndarray, " sizes"]) -> float:
    """Minimum of a parabola through the losses; the size of the least loss where it has none inside."""
    least = float(n[np.argmin(losses)])
    if not np.isfinite(losses).all():
        return least
    width = float(n[-1] - n[0])
    a, b, _ = np.polyfit((n - least) / width, losses / losses.min() - 1, 2)
    return float(np.clip(least - b / (2 * a) * width, n[0], n[-1])) if a > 0 else least


def _first_root(above: Callable[[float], float]) -> float | None:
    """The least log count at which a decreasing function is 0 or less; None if it stays above."""
    if above(0.0) <= 0:
        return 0.0
    return float(brentq(above, 0.0, _MAX_COUNT, xtol=1e-10)) if above(_MAX_COUNT) < 0 else None

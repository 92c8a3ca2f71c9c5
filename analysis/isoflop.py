"""Approach 2 (2203.15556, section 3.2): a parabola of loss over log parameters at each FLOP budget.

A parabola is believed only if it is convex, its minimum lies between two sizes that were trained, and
neither end is the best; a budget that fails is left out and named. Minima are biased where alpha and beta
differ or the sizes lie to one side of the optimum (2603.22339).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.points import Points
from analysis.warning import Warning

_MOST_SPREAD = 30.0  # sizes beyond this factor of the best one bend away from a parabola


@dataclass(frozen=True)
class Parabola:
    """One budget's parabola: loss = coefficients . (x^2, x, 1), x = log parameters.

    Attributes:
        flops: the budget.
        n: log parameters of its runs.
        loss: nats per token of its runs.
        near: log parameters of the sizes that the parabola is fitted to.
        coefficients: highest power first.
        fault: why it is not believed, or None.
    """

    flops: float
    n: Float[np.ndarray, " runs"]
    loss: Float[np.ndarray, " runs"]
    near: Float[np.ndarray, " sizes"]
    coefficients: Float[np.ndarray, " 3"]
    fault: str | None

    @property
    def params(self) -> float:
        """Parameters at the minimum."""
        return float(np.exp(-self.coefficients[1] / (2 * self.coefficients[0])))

    @property
    def minimum(self) -> float:
        """The loss there, nats per token."""
        return float(np.polyval(self.coefficients, np.log(self.params)))


@dataclass(frozen=True)
class IsoFlop:
    """Approach 2 on a table: params* = coefficient * flops ** exponent; None below two good budgets."""

    parabolas: tuple[Parabola, ...]
    exponent: float | None
    coefficient: float | None
    warnings: tuple[Warning, ...]


def isoflop(points: Points) -> IsoFlop:
    """Fits a parabola to each budget with at least three sizes, and the power law through their minima."""
    parabolas = []
    for number in range(int(points.budget.max()) + 1):
        here = points.budget == number
        sizes = np.unique(np.round(points.inputs.n[here], 6))
        if len(sizes) >= 3:
            parabolas.append(_parabola(points.subset(here)))
    good = [p for p in parabolas if p.fault is None]
    warnings = tuple(
        Warning("not-bracketed", f"the budget of {p.flops:.3g} FLOPs is left out: {p.fault}")
        for p in parabolas
        if p.fault is not None
    )
    if len(good) < 2:
        return IsoFlop(tuple(parabolas), None, None, warnings)
    slope, intercept = np.polyfit(np.log([p.flops for p in good]), np.log([p.params for p in good]), 1)
    return IsoFlop(tuple(parabolas), float(slope), float(np.exp(intercept)), warnings)


def _parabola(points: Points) -> Parabola:
    n, loss = points.inputs.n, np.exp(points.log_loss)
    sizes, index, count = np.unique(np.round(n, 6), return_inverse=True, return_counts=True)
    mean = np.bincount(index, loss) / count
    best = int(np.argmin(mean))
    near = np.abs(sizes - sizes[best]) <= np.log(_MOST_SPREAD)
    centre = sizes[best]
    if near.sum() >= 3:
        a, b, c = np.polyfit(sizes[near] - centre, mean[near], 2, w=np.sqrt(count[near]))
    else:
        a, b, c = 0.0, 0.0, float(mean[best])
    coefficients = np.array([a, b - 2 * a * centre, c - b * centre + a * centre**2])
    fault = None
    if near.sum() < 3:
        fault = "fewer than three sizes near its best one"
    elif best in (0, len(sizes) - 1):
        fault = f"its {'smallest' if best == 0 else 'largest'} size is its best, so the optimum is not bracketed"
    elif a <= 0:
        fault = "its parabola opens downward"
    elif not sizes[near][0] < centre - b / (2 * a) < sizes[near][-1]:
        fault = "the minimum of its parabola lies outside the sizes trained"
    budget = float(np.exp(points.inputs.c).mean())
    return Parabola(budget, n, loss, sizes[near], coefficients, fault)

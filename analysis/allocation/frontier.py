"""The compute-optimal frontier: how the best parameters and tokens grow with FLOPs, by approach 1 or 2.

Minima found at several budgets are joined by a line in logarithms, log N* = intercept + exponent * log C. Each
minimum has its own variance v_i, from the noise of its runs; what the minima scatter about the line beyond that is
tau^2 (Paule & Mandel 1982). The line is weighted by 1 / (v_i + tau^2), and its variance scaled by its own residuals
with Student's t for the few budgets there are (Knapp & Hartung 2003).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from analysis.diagnostics.codes import Diagnostic

LEVEL = 0.9


@dataclass(frozen=True)
class Minima:
    """The optimum at several budgets.

    Attributes:
        c: log FLOPs.
        n: log N*.
        loss: there, nats per token.
        curvature: of log loss over log parameters: it rises by curvature * (log N - log N*)^2.
    """

    c: Float[np.ndarray, " minima"]
    n: Float[np.ndarray, " minima"]
    loss: Float[np.ndarray, " minima"]
    curvature: Float[np.ndarray, " minima"]


@dataclass(frozen=True)
class LeftOut:
    """A budget, or a stretch of them, whose optimum is not believed: lowest and highest FLOPs, and why."""

    flops: tuple[float, float]
    reason: str

    @property
    def warning(self) -> Diagnostic:
        low, high = self.flops
        which = f"the budget of {low:.3g} FLOPs is" if low == high else f"{low:.3g} to {high:.3g} FLOPs are"
        return Diagnostic("not-bracketed", f"{which} left out: {self.reason}")


@dataclass(frozen=True)
class FrontierLaw:
    """A power law of FLOPs, value = coefficient * flops ** exponent, with draws of its uncertainty.

    Attributes:
        pivot: log FLOPs where level and slope are nearly independent.
        line: (log value at the pivot, exponent).
        draws: the same, of each resample; empty if nothing can be said of the uncertainty.
    """

    pivot: float
    line: Float[np.ndarray, " 2"]
    draws: Float[np.ndarray, "resamples 2"]

    @property
    def exponent(self) -> float:
        return float(self.line[1])

    def at(self, flops: float) -> float:
        """The value at a budget; at one FLOP it is the coefficient."""
        return float(np.exp(self.line[0] + self.line[1] * (np.log(flops) - self.pivot)))

    def interval(self, flops: float) -> tuple[float, float] | None:
        """The value's 90 % interval at a budget."""
        if not len(self.draws):
            return None
        low, high = central(self.draws[:, 0] + self.draws[:, 1] * (np.log(flops) - self.pivot))
        return float(np.exp(low)), float(np.exp(high))

    @property
    def exponent_interval(self) -> tuple[float, float] | None:
        """90 %."""
        return central(self.draws[:, 1]) if len(self.draws) else None


def central(draws: Float[np.ndarray, " resamples"]) -> tuple[float, float]:
    """The interval that holds the central 90 %."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def through(
    c: Float[np.ndarray, " minima"],
    value: Float[np.ndarray, " minima"],
    draws: Float[np.ndarray, "resamples minima"],
    variance: Float[np.ndarray, " minima"],
    seed: int = 0,
) -> FrontierLaw:
    """The line through at least two minima.

    Args:
        c: log FLOPs of each.
        value: log parameters or tokens of each.
        draws: the same values, resampled within their budgets.
        variance: of each value, by the noise of its budget's runs.
        seed: of the scatter about the line.
    """
    freedom = len(c) - 2
    scatter = _scatter(c, value, variance) if freedom else 0.0
    weights = 1 / (variance + scatter)
    pivot = float(np.average(c, weights=weights))
    x = np.stack([np.ones_like(c), c - pivot], axis=1)
    solve = np.linalg.solve((x * weights[:, None]).T @ x, (x * weights[:, None]).T)
    line = solve @ value
    rng = np.random.default_rng(seed)
    away = (draws - value + np.sqrt(scatter) * rng.standard_normal(draws.shape)) @ solve.T
    if freedom:
        excess = max(1.0, float(weights @ (value - x @ line) ** 2) / freedom)
        away *= np.sqrt(excess * freedom / rng.chisquare(freedom, len(draws)))[:, None]
    return FrontierLaw(pivot, line, line + away)


def _scatter(
    c: Float[np.ndarray, " minima"], value: Float[np.ndarray, " minima"], variance: Float[np.ndarray, " minima"]
) -> float:
    """tau^2 for which the weighted squared residuals are as many as their degrees of freedom."""

    def excess(scatter: float) -> float:
        weights = 1 / (variance + scatter)
        line = np.polyfit(c - c.mean(), value, 1, w=np.sqrt(weights))
        return float(weights @ (value - np.polyval(line, c - c.mean())) ** 2) - (len(c) - 2)

    if excess(0.0) <= 0:
        return 0.0
    high = float(np.var(value)) + 1.0
    return float(brentq(excess, 0.0, high)) if excess(high) < 0 else high

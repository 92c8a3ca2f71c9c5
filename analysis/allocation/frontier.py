"""The compute-optimal frontier: how the best parameters and tokens grow with FLOPs, by approach 1 or 2.

A line in logarithms, log N* = intercept + exponent * log C, joins the minima found at several budgets. Each minimum
has its own variance, from the noise of its runs; what minima scatter about the line beyond that is a random effect
(:func:`analysis.stats.random_effects`). The covariance of the line is scaled by its residuals, with Student's t for
the few budgets there are (Knapp & Hartung 2003).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.stats import central_interval, random_effects


@dataclass(frozen=True)
class Minima:
    """The optimum at several budgets.

    Attributes:
        c: log FLOPs.
        n: log N*.
        loss: at N*, nats per token.
        curvature: of log loss over log parameters: it rises by curvature * (log N - log N*)^2.
    """

    c: Float[np.ndarray, " minima"]
    n: Float[np.ndarray, " minima"]
    loss: Float[np.ndarray, " minima"]
    curvature: Float[np.ndarray, " minima"]


@dataclass(frozen=True)
class LeftOut:
    """A budget, or a range of budgets, without a credible optimum: lowest and highest FLOPs, and the reason."""

    flops: tuple[float, float]
    reason: str

    @property
    def warning(self) -> Diagnostic:
        """The diagnostic that names it."""
        low, high = self.flops
        which = f"the budget of {low:.3g} FLOPs is" if low == high else f"{low:.3g} to {high:.3g} FLOPs are"
        return Diagnostic("not-bracketed", f"{which} left out: {self.reason}")


@dataclass(frozen=True)
class FrontierLaw:
    """A power law of FLOPs, value = coefficient * flops ** exponent, with draws of its uncertainty.

    Attributes:
        pivot: log FLOPs where level and exponent are nearly independent.
        line: (log value at the pivot, exponent).
        draws: the same, for each resample; empty where the uncertainty is not known.
    """

    pivot: float
    line: Float[np.ndarray, " 2"]
    draws: Float[np.ndarray, "resamples 2"]

    @property
    def exponent(self) -> float:
        """The power of FLOPs."""
        return float(self.line[1])

    def at(self, flops: float) -> float:
        """The value at a budget; at one FLOP it is the coefficient."""
        return float(np.exp(self.line[0] + self.line[1] * (np.log(flops) - self.pivot)))

    def interval(self, flops: float) -> tuple[float, float] | None:
        """The 90 % interval of the value at a budget; None without draws."""
        if not len(self.draws):
            return None
        low, high = central_interval(self.draws[:, 0] + self.draws[:, 1] * (np.log(flops) - self.pivot))
        return float(np.exp(low)), float(np.exp(high))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the coefficient, the exponent and its 90 % interval."""
        return {
            "coefficient": self.at(1.0),
            "exponent": self.exponent,
            "exponent_interval": self.exponent_interval,
        }

    @property
    def exponent_interval(self) -> tuple[float, float] | None:
        """The 90 % interval of the exponent; None without draws."""
        if not len(self.draws):
            return None
        low, high = central_interval(self.draws[:, 1])
        return float(low), float(high)


def fit_frontier(
    c: Float[np.ndarray, " minima"],
    value: Float[np.ndarray, " minima"],
    draws: Float[np.ndarray, "resamples minima"],
    variance: Float[np.ndarray, " minima"],
    seed: int = 0,
) -> FrontierLaw:
    """Fits the line through at least two minima.

    Args:
        c: log FLOPs of each.
        value: log parameters or tokens of each.
        draws: the same values, resampled within their budgets.
        variance: of each value, by the noise of its budget's runs.
        seed: of the scatter about the line.
    """
    centred = np.stack([np.ones_like(c), c - c.mean()], axis=1)
    fit, scatter = random_effects(centred, value, variance)
    pivot = float(np.average(c, weights=fit.weight))
    x = np.stack([np.ones_like(c), c - pivot], axis=1)
    solve = np.linalg.solve((x * fit.weight[:, None]).T @ x, (x * fit.weight[:, None]).T)
    line = solve @ value
    rng = np.random.default_rng(seed)
    away = (draws - value + scatter * rng.standard_normal(draws.shape)) @ solve.T
    if fit.freedom > 0:
        excess = max(1.0, fit.chi_square / fit.freedom)
        away *= np.sqrt(excess * fit.freedom / rng.chisquare(fit.freedom, len(draws)))[:, None]
    return FrontierLaw(pivot, line, line + away)

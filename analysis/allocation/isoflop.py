"""Approach 2 (2203.15556, section 3.2): the best size at each FLOP budget, and how it grows.

A parabola is biased where alpha and beta differ or the sizes lie to one side of the optimum (2603.22339): the curves
of ``profiles.py`` have a cubic term. A budget counts only if its curve opens upward by more than its noise, its minimum
lies between two trained sizes, and neither the smallest nor the largest size is the best; the others are left out and
named.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.allocation.frontier import FrontierLaw, LeftOut, Minima, fit_frontier
from analysis.allocation.profiles import LEAST_NOISE, Profile, Profiles, fit_profiles, resampled
from analysis.allocation.text import isoflop_text
from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.runs.arrays import RunArrays, training_cost
from analysis.stats import central_interval

_SIGNIFICANT = 2.0  # standard errors


@dataclass(frozen=True)
class Parabola:
    """One budget's curve: loss = minimum + curvature (u^2 + skew u^3), u = log parameters - log best.

    Attributes:
        flops: the budget.
        n: log parameters of its runs.
        loss: nats per token of its runs.
        near: the runs that the curve is fitted to.
        params: parameters at the minimum.
        minimum: the loss there, nats per token.
        curvature: nats per token and squared unit of log parameters.
        skew: the cubic term, shared by all budgets.
        interval: of ``params``, 90 %; None for a budget left out, or one whose noise is not known.
        reason: why it is left out, or None.
    """

    flops: float
    n: Float[np.ndarray, " runs"]
    loss: Float[np.ndarray, " runs"]
    near: Bool[np.ndarray, " runs"]
    params: float
    minimum: float
    curvature: float
    skew: float
    interval: tuple[float, float] | None
    reason: str | None

    def curve(self, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
        """The loss at log parameters."""
        u = n - np.log(self.params)
        return self.minimum + self.curvature * (u**2 + self.skew * u**3)


@dataclass(frozen=True)
class IsoFlop(Result):
    """Approach 2 on a table.

    Attributes:
        parabolas: one for each budget with at least three sizes, in order of FLOPs.
        skew: the curves' cubic term, 0 for even parabolas, and its standard error.
        params: N*(C), through the credible minima; None below two.
        tokens: D*(C), likewise.
        warnings: the budgets left out, and what else limits the answer.
    """

    parabolas: tuple[Parabola, ...]
    skew: tuple[float, float]
    params: FrontierLaw | None
    tokens: FrontierLaw | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return isoflop_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the budgets, N*(C) and D*(C), and the warnings."""
        frame = self.to_frame()
        return {
            "budgets": json.loads(frame.to_json(orient="records")),
            "skew": self.skew,
            "params": None if self.params is None else self.params.to_dict(),
            "tokens": None if self.tokens is None else self.tokens.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per budget: its FLOPs, the best size with its 90 % interval, the loss there, why it is left out."""
        none = (np.nan, np.nan)
        return pd.DataFrame(
            [(p.flops, len(p.n), p.params, *(p.interval or none), p.minimum, p.reason) for p in self.parabolas],
            columns=["flops", "runs", "params", "low", "high", "loss", "left_out"],
        )

    @property
    def exponent(self) -> float | None:
        """Exponent of N*(C); None without the law."""
        return None if self.params is None else self.params.exponent

    @property
    def used(self) -> tuple[float, ...]:
        """FLOPs of the budgets with a credible minimum."""
        return tuple(p.flops for p in self.parabolas if p.reason is None)

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """The budgets without a credible minimum."""
        return _left_out(self.parabolas)

    @property
    def minima(self) -> Minima:
        """The credible minima."""
        good = [p for p in self.parabolas if p.reason is None]
        rows = [(np.log(p.flops), np.log(p.params), p.minimum, p.curvature / p.minimum) for p in good]
        return Minima(*np.array(rows).reshape(-1, 4).T)


def isoflop(points: RunArrays, resamples: int = 1000, seed: int = 0) -> IsoFlop:
    """Fits a curve to each budget with at least three sizes, and power laws through their minima.

    Args:
        points: the runs.
        resamples: for the intervals.
        seed: of the resampling.
    """
    budgets = [Profile.of(points.subset(points.budget == k)) for k in range(int(points.budget.max()) + 1)]
    budgets = [b for b in budgets if len(b.sizes) >= 3]
    if not budgets:
        none = Diagnostic("not-bracketed", "no budget has three sizes to draw a curve through")
        return IsoFlop((), (0.0, 0.0), None, None, (none,))
    fitted = fit_profiles(budgets)
    reasons = [_reason(b, fitted) for b in fitted.budgets]
    good = [b for b, reason in zip(fitted.budgets, reasons, strict=True) if reason is None]
    draws = resampled(fitted, good, resamples, seed)
    intervals = iter(np.stack(central_interval(np.exp(draws)), axis=1).tolist())
    parabolas = tuple(
        _parabola(b, fitted, tuple(next(intervals)) if reason is None else None, reason)
        for b, reason in zip(fitted.budgets, reasons, strict=True)
    )
    warnings = [left.warning for left in _left_out(parabolas)]
    skew = (fitted.skew, fitted.skew_error)
    if len(good) < 2:
        return IsoFlop(parabolas, skew, None, None, tuple(warnings))
    if len(good) == 2:
        warnings.append(Diagnostic("few-runs", "a line through two budgets: whether it is a power law cannot be told"))
        draws = draws if fitted.noise is not None else draws[:0]
    c, n = np.array([b.c for b in good]), np.array([b.best for b in good])
    variance = np.array([b.deviation(fitted.skew, fitted.noise or LEAST_NOISE)[0] ** 2 for b in good])
    cost = np.log(training_cost(points.inputs, n))
    return IsoFlop(
        parabolas,
        skew,
        fit_frontier(c, n, draws, variance, seed),
        fit_frontier(c, c - n - cost, c - draws - cost, variance, seed),
        tuple(warnings),
    )


def _left_out(parabolas: tuple[Parabola, ...]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut((p.flops, p.flops), p.reason) for p in parabolas if p.reason is not None)


def _reason(b: Profile, fitted: Profiles) -> str | None:
    """Why the minimum of a budget is not credible, or None."""
    lowest, highest = np.argmin(b.mean_loss) == np.array([0, len(b.sizes) - 1])
    minimum, _, curvature = b.theta(fitted.skew).tolist()
    error_n, error_k = b.deviation(fitted.skew, fitted.noise or 0.0)
    if len(np.unique(np.round(b.n[b.near], 6))) < 3:
        return "fewer than three sizes near its best one"
    if lowest or highest:
        return f"its {'smallest' if lowest else 'largest'} size is its best, so the optimum is not bracketed"
    if curvature <= 0:
        return "its parabola opens downward"
    if minimum <= 0:
        return "its parabola reaches below a loss of 0"
    if curvature < _SIGNIFICANT * error_k:
        return "its parabola is no deeper than its noise"
    if b.best - error_n <= b.n[0] or b.best + error_n >= b.n[-1]:
        return "the minimum of its parabola lies outside the sizes trained, or within its noise of them"
    return None


def _parabola(b: Profile, fitted: Profiles, interval: tuple[float, float] | None, reason: str | None) -> Parabola:
    m, _, k = (b.theta(fitted.skew) * b.unit).tolist()
    return Parabola(
        float(np.exp(b.c)),
        b.n,
        b.loss * b.unit,
        b.near,
        float(np.exp(b.best)),
        m,
        k,
        fitted.skew,
        interval if fitted.noise is not None else None,
        reason,
    )

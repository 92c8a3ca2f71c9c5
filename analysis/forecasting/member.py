"""Members of a forecast: a law under a focus, fitted, with resamples; and what several expect together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.fitting.fit import FitResult, resample_weights
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.forecasting.pooling import middle, spread
from analysis.forecasting.weighting import EVERYWHERE, weights
from analysis.laws import LAWS, Inputs, Law
from analysis.runs.arrays import RunArrays

NESTED_RESAMPLES = 40
# Resamples start at the fit and need not settle to the last digit.
_TOLERANCE, _STEPS = 1e-4, 30


@dataclass(frozen=True)
class Member:
    """A law under a focus, fitted.

    Attributes:
        law: the form.
        focus: width of the weighing by distance from the frontier; infinite where all runs count alike.
        theta: parameters, coefficients as logarithms.
        samples: as theta, of each resample.
        weight: its share of the forecast.
    """

    law: Law[Inputs]
    focus: float
    theta: Float[np.ndarray, " params"]
    samples: Float[np.ndarray, "resamples params"]
    weight: float = 0.0

    @property
    def name(self) -> tuple[str, float]:
        """What tells it from others."""
        return self.law.name, self.focus

    def log_loss(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """The log loss it expects."""
        return _log(self.law.evaluate(self.theta[None], inputs)[0])[0]

    def log_samples(self, inputs: Inputs) -> Float[np.ndarray, "resamples rows"]:
        """The log loss that each resample expects."""
        return _log(self.law.evaluate(self.samples, inputs)[0])

    def to_dict(self) -> dict[str, object]:
        """Its focus (None: all runs count alike), share and parameters as reported."""
        params = dict(zip(self.law.names, self.law.reported(self.theta).tolist(), strict=True))
        return {"focus": None if self.focus == EVERYWHERE else self.focus, "weight": self.weight, "params": params}


def focused(points: RunArrays, fit: FitResult, foci: Sequence[float], resamples: int) -> list[Member]:
    """The law of a plain fit under every focus."""
    law = LAWS[fit.law]
    plain = Member(law, EVERYWHERE, law.internal(dict(fit.params)), fit.samples)
    return [plain if f == EVERYWHERE else _refocused(points, plain, f, resamples) for f in foci]


def quick(points: RunArrays, law: Law[Inputs], foci: Sequence[float]) -> list[Member]:
    """A law under every focus, with few resamples."""
    best = best_of_starts(law, points.inputs, points.log_loss, np.ones(len(points)))
    start = Member(law, EVERYWHERE, best.theta[0], best.theta)
    return [_refocused(points, start, f, NESTED_RESAMPLES) for f in foci]


def _refocused(points: RunArrays, start: Member, focus: float, resamples: int) -> Member:
    """Fits a law under a focus, and its resamples, from its fit under another."""
    law, weight = start.law, weights(points, focus)
    theta = start.theta
    if focus != start.focus:
        theta = minimise(law, points.inputs, points.log_loss, weight[None], theta[None]).theta[0]
    drawn = resample_weights(points.cluster, resamples, 0) * weight
    starts = np.repeat(theta[None], resamples, axis=0)
    samples = minimise(law, points.inputs, points.log_loss, drawn, starts, _STEPS, _TOLERANCE).theta
    return Member(law, focus, theta, samples)


def centre(members: Sequence[Member], inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """The pooled forecast of log loss."""
    return middle(np.stack([member.log_loss(inputs) for member in members]), _shares(members))


def spread_of(members: Sequence[Member], inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """How far the members' resampled forecasts of log loss lie apart."""
    return spread([member.log_samples(inputs) for member in members], _shares(members))


def _shares(members: Sequence[Member]) -> Float[np.ndarray, " members"]:
    shares = np.array([member.weight for member in members])
    return shares / shares.sum()


def _log(loss: Float[np.ndarray, "batch rows"]) -> Float[np.ndarray, "batch rows"]:
    """Its logarithm, finite wherever a law overflows or vanishes."""
    return np.log(np.clip(np.nan_to_num(loss, nan=1e300), 1e-300, 1e300))

"""Members of a forecast: fitted candidates with resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.fitting.fit import FitResult, resample_weights
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.forecasting.candidates import Candidate
from analysis.laws import Inputs, Law
from analysis.runs.arrays import RunArrays

FOLD_RESAMPLES = 40
# Resamples start at the fit and need not settle to the last digit.
_TOLERANCE, _STEPS = 1e-4, 30


@dataclass(frozen=True)
class Member:
    """A member of a forecast: a fitted candidate with resamples and a weight.

    Attributes:
        candidate: the law, the weighting of the runs and the window of compute.
        theta: parameters, coefficients as logarithms.
        samples: as theta, of each resample.
        weight: its share of the forecast, between 0 and 1.
    """

    candidate: Candidate
    theta: Float[np.ndarray, " params"]
    samples: Float[np.ndarray, "resamples params"]
    weight: float = 0.0

    @property
    def law(self) -> Law[Inputs]:
        """The candidate's law."""
        return self.candidate.law

    def log_loss(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """Log loss (rows,) predicted by the fit."""
        return _finite_log(self.law.evaluate(self.theta[None], inputs)[0])[0]

    def log_samples(self, inputs: Inputs) -> Float[np.ndarray, "resamples rows"]:
        """Log losses (resamples, rows) predicted by the resamples."""
        return _finite_log(self.law.evaluate(self.samples, inputs)[0])

    def to_dict(self) -> dict[str, Any]:
        """The member as a JSON object: ``focus``, weight and parameters as reported."""
        params = dict(zip(self.law.names, self.law.reported(self.theta).tolist(), strict=True))
        return {**self.candidate.to_dict(), "weight": self.weight, "params": params}


def fit_members(runs: RunArrays, fit: FitResult, candidates: Sequence[Candidate], resamples: int) -> list[Member]:
    """Fits the candidates of one law, each from the law's plain fit to the same runs.

    Args:
        runs: the fitted runs.
        fit: the plain fit, which is also the plain candidate's, resamples included.
        candidates: of that law.
        resamples: of every other candidate.
    """
    plain = candidates[0].law.internal(dict(fit.params))
    return [
        Member(each, plain, fit.samples) if each.plain else _fit_member(runs, each, plain, resamples)
        for each in candidates
    ]


def fit_members_quickly(runs: RunArrays, candidates: Sequence[Candidate]) -> list[Member]:
    """Fits the candidates of one law with few resamples, for a rolling-origin fold."""
    law = candidates[0].law
    plain = best_of_starts(law, runs.inputs, runs.log_loss, np.ones(len(runs))).value[0]
    return [_fit_member(runs, each, plain, FOLD_RESAMPLES) for each in candidates]


def _fit_member(runs: RunArrays, candidate: Candidate, plain: Float[np.ndarray, " params"], resamples: int) -> Member:
    """Fits one candidate and its resamples, from the law's plain fit."""
    law, weight, theta = candidate.law, candidate.run_weights(runs), plain
    if not candidate.plain:
        theta = minimise(law, runs.inputs, runs.log_loss, weight[None], theta[None]).value[0]
    drawn = resample_weights(runs.cluster, resamples, 0) * weight
    starts = np.repeat(theta[None], resamples, axis=0)
    samples = minimise(law, runs.inputs, runs.log_loss, drawn, starts, _STEPS, _TOLERANCE).value
    return Member(candidate, theta, samples)


def _finite_log(loss: Float[np.ndarray, "batch rows"]) -> Float[np.ndarray, "batch rows"]:
    """Logarithm of a loss, clipped to finite values where a law overflows or vanishes."""
    return np.log(np.clip(np.nan_to_num(loss, nan=1e300), 1e-300, 1e300))

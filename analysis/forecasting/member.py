"""Members of a forecast: fitted candidates with resamples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.fitting.fit import FitResult, resample_weights
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.forecasting.candidates import Candidate, CandidateName
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
    others = _fit_together(runs, [each for each in candidates if not each.plain], plain, resamples)
    return [Member(each, plain, fit.samples) if each.plain else others[each.name] for each in candidates]


def fit_members_quickly(runs: RunArrays, candidates: Sequence[Candidate]) -> list[Member]:
    """Fits the candidates of one law with few resamples, for a rolling-origin fold."""
    law = candidates[0].law
    plain = best_of_starts(law, runs.inputs, runs.log_loss, np.ones(len(runs))).value[0]
    return list(_fit_together(runs, candidates, plain, FOLD_RESAMPLES).values())


def _fit_together(
    runs: RunArrays, candidates: Sequence[Candidate], plain: Float[np.ndarray, " params"], resamples: int
) -> dict[CandidateName, Member]:
    """Fits candidates of one law and their resamples, from the law's plain fit, in one batch each."""
    if not candidates:
        return {}
    law, weights = candidates[0].law, np.stack([each.run_weights(runs) for each in candidates])
    theta = np.repeat(plain[None], len(candidates), axis=0)
    moved = [place for place, each in enumerate(candidates) if not each.plain]
    theta[moved] = minimise(law, runs.inputs, runs.log_loss, weights[moved], theta[moved]).value
    drawn = (weights[:, None] * resample_weights(runs.cluster, resamples, 0)).reshape(-1, len(runs))
    starts = np.repeat(theta, resamples, axis=0)
    samples = minimise(law, runs.inputs, runs.log_loss, drawn, starts, _STEPS, _TOLERANCE).value
    each_samples = samples.reshape(len(candidates), resamples, theta.shape[1])
    return {c.name: Member(c, t, s) for c, t, s in zip(candidates, theta, each_samples, strict=True)}


def _finite_log(loss: Float[np.ndarray, "batch rows"]) -> Float[np.ndarray, "batch rows"]:
    """Logarithm of a loss, clipped to finite values where a law overflows or vanishes."""
    return np.log(np.clip(np.nan_to_num(loss, nan=1e300), 1e-300, 1e300))

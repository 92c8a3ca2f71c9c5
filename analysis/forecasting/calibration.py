"""Calibration of an interval's width, by forecasts of the high-compute runs from the low-compute ones.

The variance of the error of a forecast log loss is taken to be

    scale^2 (spread^2 + noise^2) + form^2 reach^2

    spread   of the members' clustered resamples at that run (``pooling.pooled_spread``): it includes the noise and the
             choice of the small runs and the disagreement of laws, and grows with extrapolation
    noise    of a single run: seeds, data order, what a digitised figure adds
    reach    log of the factor by which FLOPs, parameters or tokens exceed the most fitted (``arrays.beyond``)
    form     error of all laws in use, per factor e of reach
    scale    whether the rest is too small or too large

Neither ``scale`` nor ``form`` can be read off residuals, so both are inferred from the errors of rolling-origin folds,
with a log-normal prior: form is 0.2 % to a factor of about 2, and scale 1 to a factor of 1.6 where one law forecasts.
Where several are pooled, scale is 0.45 to a factor of 1.35: they lie on both sides of the truth, so that their centre
misses by about half of what they disagree by. That is knowledge of other tables, as one table has too few folds to
tell: the errors on published tables and our own sweeps, each left out in turn, are likeliest near that. Tables with
fewer than three folds, which hardly test the members, missed by 0.8 of what they disagree by. A 90 % interval that
resamples one law covered the truth in 27 % of 22 splits of six published tables.

After fine-tuning, form is 1 %: curves bend where the examples outweigh pre-training, and laws fitted up to there miss
90 public curves by that much and more per factor e of data (2402.02314).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from analysis.forecasting.candidates import CandidateName
from analysis.forecasting.folds import Fold
from analysis.forecasting.pooling import pooled_log_loss, pooled_spread
from analysis.runs.arrays import RunArrays, beyond
from analysis.runs.seed_noise import seed_noise
from analysis.stats import robust_std

_SCALE_ALONE, _ALONE_LOG_SD = 1.0, 0.5
_SCALE_POOLED, _SCALE_UNTESTED, _POOLED_LOG_SD = 0.45, 0.8, 0.3
_ENOUGH_FOLDS = 3
FORM, _FORM_LOG_SD = 0.002, 0.7  # per factor e of reach
_FORM_TUNED = 0.01  # after fine-tuning
# Every pair of (scale, form) in the posterior.
_SCALES, _FORMS = (
    grid.ravel() for grid in np.meshgrid(np.geomspace(0.2, 5.0, 40), np.geomspace(1e-4, 0.1, 50), indexing="ij")
)


@dataclass(frozen=True)
class FoldError:
    """The error of one rolling-origin fold's pooled forecast, as means over its held-out runs.

    Attributes:
        share: runs fitted in the fold / all runs: the error of a forecast from a few tiny runs says little about one
            from all of them.
        square: of the error of the log loss.
        spread: square of the pooled spread.
        reach: square of the log factor beyond the fitted runs.
    """

    share: float
    square: float
    spread: float
    reach: float


@dataclass(frozen=True)
class Calibration:
    """The posterior of a table's forecast errors, on which the width of intervals depends.

    Attributes:
        noise: standard deviation of one run's log loss.
        posterior: probability of each pair of scale and form.
    """

    noise: float
    posterior: Float[np.ndarray, " pairs"]

    @property
    def scale(self) -> float:
        """Posterior mean of the factor on spread and noise."""
        return float(self.posterior @ _SCALES)

    @property
    def form(self) -> float:
        """Posterior mean of the error of the laws' form in log loss, per factor e of extrapolation."""
        return float(self.posterior @ _FORMS)

    def half_width(
        self,
        spread: Float[np.ndarray, " rows"],
        reach: Float[np.ndarray, " rows"],
        level: float,
        seeds: int = 1,
    ) -> Float[np.ndarray, " rows"]:
        """Half the width of the interval of the log loss that holds with probability ``level``.

        Args:
            spread: of the pooled forecasts.
            reach: log factor beyond the fitted runs, at least 0.
            level: between 0 and 1.
            seeds: how many runs are averaged.
        """
        deviation = np.sqrt(
            _SCALES[:, None] ** 2 * (spread**2 + self.noise**2 / seeds) + _FORMS[:, None] ** 2 * reach**2
        )
        low, high = np.zeros(len(spread)), 40 * deviation.max(axis=0) + 1e-12
        for _ in range(60):  # bisection of a mixture of Gaussians
            half = (low + high) / 2
            inside = self.posterior @ (2 * ndtr(half / np.maximum(deviation, 1e-300)) - 1)
            low, high = np.where(inside < level, half, low), np.where(inside < level, high, half)
        return high


def calibrate(errors: Sequence[FoldError], noise: float, pooled: bool = False, tuned: bool = False) -> Calibration:
    """Posterior: the prior times a Gaussian likelihood of each fold's root-mean-square error, to the fold's share.

    Args:
        errors: of each fold; the prior alone without any.
        noise: standard deviation of one run's log loss.
        pooled: whether several laws are.
        tuned: whether the runs are of a stage of fine-tuning, whose laws miss by far more beyond the runs.
    """
    scale, sd = _SCALE_ALONE, _ALONE_LOG_SD
    if pooled:
        scale, sd = _SCALE_POOLED if len(errors) >= _ENOUGH_FOLDS else _SCALE_UNTESTED, _POOLED_LOG_SD
    log = -0.5 * (
        (np.log(_SCALES / scale) / sd) ** 2 + (np.log(_FORMS / (_FORM_TUNED if tuned else FORM)) / _FORM_LOG_SD) ** 2
    )
    for error in errors:
        variance = _SCALES**2 * (error.spread + noise**2) + _FORMS**2 * error.reach
        log -= error.share * 0.5 * (np.log(variance) + error.square / variance)
    posterior = np.exp(log - log.max())
    return Calibration(noise, posterior / posterior.sum())


def fold_error(fold: Fold, weights: Mapping[CandidateName, float]) -> FoldError:
    """Errors of a fold's forecast, its members pooled by some weights."""
    members, runs = fold.weighted(weights), fold.held_out
    return FoldError(
        share=fold.share,
        square=float(np.mean((pooled_log_loss(members, runs.inputs) - runs.log_loss) ** 2)),
        spread=float(np.mean(pooled_spread(members, runs.inputs) ** 2)),
        reach=float(np.mean(beyond(fold.fitted, runs.inputs) ** 2)),
    )


def run_noise(runs: RunArrays, residuals: Sequence[Float[np.ndarray, " rows"]], parameters: Sequence[int]) -> float:
    """Standard deviation of one run's log loss at the highest budget: from replicates, else from residuals.

    Replicates of all budgets give it by their trend; residuals are those of the law that fits best.

    Args:
        runs: the fitted runs.
        residuals: of each law, in log loss.
        parameters: how many each law has.
    """
    trend = seed_noise(runs).trend
    if trend is not None:
        return float(trend.at(np.exp(runs.inputs.c.max(keepdims=True)))[0])
    # The high-compute half: small runs scatter more, and say less about the noise of a large one.
    upper = runs.inputs.c >= np.median(runs.inputs.c)
    count = len(runs)
    return min(
        robust_std(residual[upper]) * float(np.sqrt(count / max(count - number, 1)))
        for residual, number in zip(residuals, parameters, strict=True)
    )

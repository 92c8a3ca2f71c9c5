"""How far a forecast may miss: by its parameters, by the form of the law, and by the target's own noise.

The three parts of a predictive interval of the log loss:

    parameters      what the noise and the choice of the small runs do to the fit: clustered resamples
    form            the law is not the truth, and its miss grows as spread * log(C / largest C fitted). The
                    spread is measured inside the fitted runs (nested extrapolation): fit the cheaper,
                    forecast the dearer, and ask how much of the miss parameters and noise do not explain
    target noise    seed noise of the runs that the forecast will be compared with, over sqrt(number of seeds)

Residuals inside a fit say nothing about the second part; without it, 90 % intervals covered the truth
in 27 % of 22 splits of six published tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.fit import FitResult, fit_points
from analysis.laws import Inputs, Law
from analysis.noise import seed_noise
from analysis.points import Points

# What is believed of a form's spread, per factor e of compute, before a table speaks: log-normal about
# 0.3 %, a factor of 2 either way. A Chinchilla fit misses published tables by 1-2 % at 10x to 100x.
_PRIOR_SPREAD, _PRIOR_LOG_SD = 0.003, 0.7
_SPREADS = np.geomspace(2e-4, 0.2, 70)
_SPLITS = 6
_RESAMPLES = 60
# Thresholds share runs, so the splits together tell less than as many independent ones.
_SPLIT_WEIGHT = 0.5


@dataclass(frozen=True)
class NestedSplit:
    """One nested extrapolation: the mean over the dearer runs of what was missed, and of what explains it.

    Attributes:
        train_below: FLOPs of the dearest run fitted.
        miss: mean square of forecast - actual log loss.
        parameters: mean variance of the forecasts over resamples of the cheaper runs.
        reach: mean square of log(FLOPs / train_below).
    """

    train_below: float
    miss: float
    parameters: float
    reach: float


def nested_splits(points: Points, law: Law[Inputs], thresholds: Sequence[int]) -> list[NestedSplit]:
    """Fits the cheaper runs and forecasts the dearer.

    Args:
        points: the fitted runs.
        law: to be tried.
        thresholds: numbers of the dearest budget fitted (``points.budget``); at most six of them are tried.
    """
    if len(thresholds) > _SPLITS:
        thresholds = [thresholds[round(i)] for i in np.linspace(0, len(thresholds) - 1, _SPLITS)]
    return [_split(points, law, number) for number in thresholds]


def _split(points: Points, law: Law[Inputs], number: int) -> NestedSplit:
    cheap, dear = points.subset(points.budget <= number), points.subset(points.budget > number)
    fit = fit_points(cheap, law, _RESAMPLES)
    edge = float(cheap.inputs.c.max())
    return NestedSplit(
        train_below=float(np.exp(edge)),
        miss=float(np.mean((np.log(fit.predict(dear.inputs)) - dear.log_loss) ** 2)),
        parameters=float(np.mean(np.var(np.log(fit.predict_samples(dear.inputs)), axis=0))),
        reach=float(np.mean((dear.inputs.c - edge) ** 2)),
    )


def spread_posterior(splits: Sequence[NestedSplit], noise: float) -> Float[np.ndarray, " spreads"]:
    """Probabilities of ``_SPREADS``: the prior times a Gaussian likelihood of each split's root-mean-square
    miss.

    Args:
        splits: of the law, on the fitted runs.
        noise: standard deviation of one run's log loss.
    """
    log = -0.5 * (np.log(_SPREADS / _PRIOR_SPREAD) / _PRIOR_LOG_SD) ** 2
    for split in splits:
        variance = split.parameters + noise**2 + _SPREADS**2 * split.reach
        log -= _SPLIT_WEIGHT * 0.5 * (np.log(variance) + split.miss / variance)
    weights: Float[np.ndarray, " spreads"] = np.exp(log - log.max())
    return weights / weights.sum()


def run_noise(points: Points, fit: FitResult) -> float:
    """Standard deviation of one run's log loss: from replicates, else from the fit's residuals (robustly)."""
    noise = seed_noise(points)
    if noise.pooled is not None:
        return noise.pooled
    residual = np.log(fit.predict(points.inputs)) - points.log_loss
    freedom = max(len(points) - len(fit.params), 1)
    return float(1.4826 * np.median(np.abs(residual)) * np.sqrt(len(points) / freedom))


def forecast_samples(
    fit: FitResult,
    target: Inputs,
    reach: float,
    spread: Float[np.ndarray, " spreads"],
    noise: float,
    seed: int = 0,
) -> Float[np.ndarray, " samples"]:
    """Draws of the log loss that runs at the target may have.

    Args:
        fit: with resamples.
        target: one point.
        reach: log(target FLOPs / largest fitted FLOPs), at least 0.
        spread: the probabilities from :func:`spread_posterior`.
        noise: standard deviation of the target's mean log loss.
        seed: of the draws.
    """
    rng = np.random.default_rng([seed, 1])
    draws = np.tile(np.log(fit.predict_samples(target)[:, 0]), 8)
    draws = draws + reach * rng.choice(_SPREADS, draws.size, p=spread) * rng.standard_normal(draws.size)
    return draws + noise * rng.standard_normal(draws.size)

"""What was forecast of the runs of one cell, beside what was measured."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.mixing.points import MixturePoints
from analysis.mixing.surface import Surface
from analysis.stats import central_interval


@dataclass(frozen=True)
class Judged:
    """Forecasts of the runs of one size and length.

    Attributes:
        losses: one row a run and domain: ``mixture domain predicted actual low high``, and as differences of the log
            loss from the mean of the cell ``contrast actual_contrast contrast_low contrast_high``.
        pairs: one row a pair of mixtures and domain: ``domain better`` (the probability that the first one's loss is
            the lower one) and ``difference`` (measured log loss of the first less that of the second), and
            ``forecast`` of it.
        level_error: of each domain, forecast over measured mean of the log losses, less 1.
    """

    losses: pd.DataFrame
    pairs: pd.DataFrame
    level_error: Float[np.ndarray, " domains"]


def judge(surface: Surface, runs: MixturePoints, level: float) -> Judged:
    """Judges the forecast of some runs of one size and length, whose target the surface is at.

    Args:
        surface: of the losses there.
        runs: of different mixtures.
        level: of the intervals.
    """
    sample = surface.sample(runs.shares)
    predicted, actual = surface.losses(runs.shares), runs.losses
    low, high = central_interval(sample.losses, level)
    contrast, measured = _centred(np.log(predicted)), _centred(np.log(actual))
    draws = np.log(sample.alike)
    contrast_low, contrast_high = central_interval(draws - draws.mean(axis=2, keepdims=True), level)
    count, domains = actual.shape
    losses = pd.DataFrame(
        {
            "mixture": np.repeat(runs.mixtures, domains),
            "domain": np.tile(runs.domains, count),
            "predicted": predicted.ravel(),
            "actual": actual.ravel(),
            "low": low.T.ravel(),
            "high": high.T.ravel(),
            "contrast": contrast.ravel(),
            "actual_contrast": measured.ravel(),
            "contrast_low": contrast_low.T.ravel(),
            "contrast_high": contrast_high.T.ravel(),
        }
    )
    level_error = np.expm1(np.log(predicted).mean(axis=0) - np.log(actual).mean(axis=0))
    pairs = pd.concat(_pairs(sample.alike, predicted, runs), ignore_index=True)
    return Judged(losses, pairs, level_error)


def _centred(values: Float[np.ndarray, "runs domains"]) -> Float[np.ndarray, "runs domains"]:
    return values - values.mean(axis=0)


def _pairs(
    draws: Float[np.ndarray, "draws domains runs"], predicted: Float[np.ndarray, "runs domains"], runs: MixturePoints
) -> Iterator[pd.DataFrame]:
    first, second = np.triu_indices(len(runs), 1)
    other: Bool[np.ndarray, " pairs"] = runs.mixtures[first] != runs.mixtures[second]
    first, second = first[other], second[other]
    for at, domain in enumerate(runs.domains):
        losses = draws[:, at]
        yield pd.DataFrame(
            {
                "domain": domain,
                "better": (losses[:, first] < losses[:, second]).mean(axis=0),
                "forecast": np.log(predicted[first, at] / predicted[second, at]),
                "difference": np.log(runs.losses[first, at] / runs.losses[second, at]),
            }
        )

"""The level: the loss on each domain at the reference mixture, forecast like that of any other run."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm

from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast, forecast
from analysis.mixing.contrast.pool import Contrast
from analysis.mixing.level_law import believed_level
from analysis.mixing.points import MixturePoints
from analysis.runs.table import RunTable

# Means of a cell's runs that stand for its seeds: what they differ by is what noise is left.
_REPLICATES = 3
_RESAMPLES = 100  # of the laws of the level: their standard errors are not told


@dataclass(frozen=True)
class Level:
    """The loss on one domain at the reference mixture and a target: a forecast and a believed law, pooled.

    Attributes:
        log_loss: nats per token, as a logarithm.
        sd: its standard deviation.
        forecast: of the runs carried to the reference mixture; None where they do not suffice for one.
        reason: why there is none; empty otherwise.
    """

    log_loss: float
    sd: float
    forecast: Forecast | None
    reason: str = ""


def levels(contrast: Contrast, params: float, tokens: float, flops: float, seeds: int = 1) -> tuple[Level, ...]:
    """The level of every domain at a target.

    Each run's loss is first carried to the reference mixture by the contrast, so that all mixtures tell of the level.
    Args:
        contrast: fitted to the runs.
        params, tokens, flops: of the target.
        seeds: runs at the target whose mean is forecast.
    """
    points = contrast.points
    carried = np.log(points.losses) - contrast.over(points).T
    return tuple(
        _level(contrast, carried[:, domain], params, tokens, flops, seeds) for domain in range(len(points.domains))
    )


def _level(
    contrast: Contrast, carried: Float[np.ndarray, " runs"], params: float, tokens: float, flops: float, seeds: int
) -> Level:
    points = contrast.points
    cells = np.array([_middle(points, cell) for cell in range(points.n_cells)])
    means = np.array([carried[points.cells == cell].mean() for cell in range(points.n_cells)])
    reach = float(np.log(flops) - points.log_flops.max())
    value, sd = believed_level(cells, means, np.log([params, tokens]), reach)
    table = RunTable.from_frame(_ladder(contrast, carried), "runs carried to one mixture")
    try:
        made = forecast(table, params, tokens, flops=flops, target_seeds=seeds, bootstrap=_RESAMPLES)
    except InputError as error:
        return Level(value, sd, None, "; ".join(error.errors))
    low, high = np.log(made.interval)
    half = norm.ppf((1 + made.level) / 2)
    return Level(*_pooled((value, sd), (float(np.log(made.loss)), float((high - low) / (2 * half)))), made)


def _pooled(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The mean of two estimates, each by its precision, and its standard deviation with what they differ by."""
    first, second = (1 / each[1] ** 2 for each in (one, other))
    share = first / (first + second)
    value = share * one[0] + (1 - share) * other[0]
    between = share * (1 - share) * (one[0] - other[0]) ** 2
    # Both are from the same runs: their mean is no surer than the surer one.
    return value, float(np.sqrt(min(one[1], other[1]) ** 2 + between))


def _middle(points: MixturePoints, cell: int) -> Float[np.ndarray, " 2"]:
    here = points.cells == cell
    return np.log([points.params[here].mean(), points.tokens[here].mean()])


def _ladder(contrast: Contrast, carried: Float[np.ndarray, " runs"]) -> pd.DataFrame:
    """A table of some runs in each cell, each the mean of a part of the cell's runs."""
    points, rows = contrast.points, []
    for cell in range(points.n_cells):
        here = np.flatnonzero(points.cells == cell)
        # Seeds of one mixture go to different parts, as they share what the contrast misses.
        here = here[np.lexsort((points.mixtures[here], points.seeds[here]))]
        for seed in range(min(_REPLICATES, len(here))):
            part = here[seed::_REPLICATES]
            rows.append(
                {
                    "params": float(points.params[here].mean()),
                    "tokens": float(points.tokens[here].mean()),
                    "flops": float(points.flops[here].mean()),
                    "seed": seed,
                    "loss": float(np.exp(carried[part].mean())),
                }
            )
    return pd.DataFrame(rows)

"""The level: the loss on each domain at the reference mixture, forecast like that of any other run."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm

from analysis.errors import InputError
from analysis.forecasting.forecast import Forecast, forecast
from analysis.mixing.contrast.pool import Contrast
from analysis.mixing.levels.law import believed_level
from analysis.mixing.points import MixturePoints
from analysis.runs.table import RunTable

_RESAMPLES = 100  # of the laws of the level: their standard errors are not told
_OTHER = 0.05  # by which logarithms of sizes or lengths differ, if they are others


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


def levels(
    contrast: Contrast, params: float, tokens: float, flops: float, seeds: int = 1, forecaster: bool = True
) -> tuple[Level, ...]:
    """The level of every domain at a target.

    Each run's loss is first carried to the reference mixture by the contrast, so that all mixtures tell of the level.

    Args:
        contrast: fitted to the runs.
        params, tokens, flops: of the target.
        seeds: runs at the target whose mean is forecast.
        forecaster: whether the ensemble of forecasts is pooled with the believed law, or that is taken alone.
    """
    points = contrast.points
    carried = np.log(points.losses) - contrast.over(points).T
    return tuple(_level(points, each, params, tokens, flops, seeds if forecaster else 0) for each in carried.T)


def _level(
    points: MixturePoints,
    carried: Float[np.ndarray, " runs"],
    params: float,
    tokens: float,
    flops: float,
    seeds: int,
) -> Level:
    """The level of one domain; of no seeds by the believed law alone."""
    cells = np.array([_middle(points, cell) for cell in range(points.n_cells)])
    means = np.array([carried[points.cells == cell].mean() for cell in range(points.n_cells)])
    reach = float(np.log(flops) - points.log_flops.max())
    believed = believed_level(cells, means, np.log([params, tokens]), reach)
    if not seeds:
        return Level(believed.log_loss, believed.sd, None)
    for each, what in enumerate(("size", "length")):
        if np.ptp(cells[:, each]) < _OTHER < abs(np.log([params, tokens])[each] - cells[0, each]):
            return Level(believed.log_loss, believed.sd, None, f"all runs are of one {what}, and the target of another")
    table = RunTable.from_frame(_ladder(points, carried), "runs carried to one mixture")
    try:
        made = forecast(table, params, tokens, flops=flops, target_seeds=seeds, bootstrap=_RESAMPLES)
    except InputError as error:
        return Level(believed.log_loss, believed.sd, None, "; ".join(error.errors))
    low, high = np.log(made.interval)
    # Of few cells the forecaster does not see that all runs of one are off together, as those of the target will be.
    sd = float(np.hypot((high - low) / (2 * norm.ppf((1 + made.level) / 2)), believed.scatter))
    return Level(*_pooled((believed.log_loss, believed.sd), (float(np.log(made.loss)), sd)), made)


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


def _ladder(points: MixturePoints, carried: Float[np.ndarray, " runs"]) -> pd.DataFrame:
    """A table with one run for each seed of a cell, the mean of its mixtures.

    Not one for each mixture: what a seed, or the text that a cell was measured on, does to all mixtures alike is noise
    of the level that mixtures do not differ by.
    """
    rows = []
    for cell in range(points.n_cells):
        here = points.cells == cell
        for seed in np.unique(points.seeds[here]):
            rows.append(
                {
                    "params": float(points.params[here].mean()),
                    "tokens": float(points.tokens[here].mean()),
                    "flops": float(points.flops[here].mean()),
                    "seed": int(seed),
                    "loss": float(np.exp(carried[here & (points.seeds == seed)].mean())),
                }
            )
    return pd.DataFrame(rows)

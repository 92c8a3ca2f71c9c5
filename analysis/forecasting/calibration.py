"""How far a forecast may miss, learned by forecasting the dearer fitted runs from the cheaper ones.

The variance of a log loss is held to be

    scale^2 (spread^2 + noise^2) + form^2 reach^2

    spread   how far the laws and their clustered resamples lie apart at that run (``pool.spread``): it takes in both
             the noise and choice of the small runs and the disagreement of laws, and grows with extrapolation
    noise    of a single run: seeds, data order, what a digitised figure adds
    reach    log of the factor by which FLOPs, parameters or tokens exceed the most fitted (``points.beyond``)
    form     what no law in use describes, per factor e of reach
    scale    whether the rest told too little or too much

Neither ``scale`` nor ``form`` can be read off residuals, so both are inferred from nested extrapolations. Before those
speak, scale is taken for 1 and form for 0.2 %, each known to a factor of about 2 (log-normal). A 90 % interval that
resamples one law covered the truth in 27 % of 22 splits of six published tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from analysis.runs.arrays import RunArrays
from analysis.runs.seed_noise import seed_noise

_SCALE, _SCALE_LOG_SD = 1.0, 0.5
FORM, _FORM_LOG_SD = 0.002, 0.7  # per factor e of reach
# Every pair of (scale, form) that is considered.
_SCALES, _FORMS = (
    grid.ravel() for grid in np.meshgrid(np.geomspace(0.2, 5.0, 40), np.geomspace(1e-4, 0.1, 50), indexing="ij")
)
_PRIOR = -0.5 * ((np.log(_SCALES / _SCALE) / _SCALE_LOG_SD) ** 2 + (np.log(_FORMS / FORM) / _FORM_LOG_SD) ** 2)


@dataclass(frozen=True)
class Miss:
    """What one nested extrapolation missed, as means over its dearer runs.

    Attributes:
        share: fitted runs of it / of all: a forecast from a few tiny runs tells little about one from all of them.
        square: of the missed log loss.
        spread: square of the pooled forecasts' spread.
        reach: square of the log factor beyond the cheaper runs.
    """

    share: float
    square: float
    spread: float
    reach: float


@dataclass(frozen=True)
class Calibration:
    """What the nested extrapolations say of a table's forecasts.

    Attributes:
        noise: standard deviation of one run's log loss.
        belief: probability of each pair of scale and form considered.
    """

    noise: float
    belief: Float[np.ndarray, " pairs"]

    @classmethod
    def of(cls, misses: Sequence[Miss], noise: float) -> "Calibration":
        """The prior times a Gaussian likelihood of each root-mean-square miss, to the power of its share."""
        log = _PRIOR.copy()
        for miss in misses:
            variance = _SCALES**2 * (miss.spread + noise**2) + _FORMS**2 * miss.reach
            log -= miss.share * 0.5 * (np.log(variance) + miss.square / variance)
        belief = np.exp(log - log.max())
        return cls(noise, belief / belief.sum())

    @property
    def scale(self) -> float:
        """Its mean."""
        return float(self.belief @ _SCALES)

    @property
    def form(self) -> float:
        """Its mean."""
        return float(self.belief @ _FORMS)

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
            inside = self.belief @ (2 * ndtr(half / np.maximum(deviation, 1e-300)) - 1)
            low, high = np.where(inside < level, half, low), np.where(inside < level, high, half)
        return high


def run_noise(points: RunArrays, residuals: Sequence[Float[np.ndarray, " rows"]], parameters: Sequence[int]) -> float:
    """Standard deviation of one run's log loss at the dearest budget: from replicates, else from residuals.

    Replicates of all budgets tell it by their trend; residuals are those of the law that fits best.

    Args:
        points: the fitted runs.
        residuals: of each law.
        parameters: of each law.
    """
    trend = seed_noise(points).trend
    if trend is not None:
        return float(trend.at(np.exp(points.inputs.c.max(keepdims=True)))[0])
    # The dearer half: small runs scatter more, and say less about the noise of a large one.
    dear = points.inputs.c >= np.median(points.inputs.c)
    count = len(points)
    found = [
        1.4826 * float(np.median(np.abs(residual[dear]))) * np.sqrt(count / max(count - number, 1))
        for residual, number in zip(residuals, parameters, strict=True)
    ]
    return min(found)

"""Divergence and spikes in a run's training losses."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from scaling.train.config import RunConfig

# In units of log(vocab), the loss of uniform guessing: training that recovers never passes through twice that.
_HOPELESS = 2.0
# As the spike score of OLMo 2 (2501.00656): beyond so many standard deviations of the losses just before.
_SPIKE_STDS = 7.0
_BEFORE, _LEAST_BEFORE = 16, 8
# 1 / scipy.special.ndtri(0.75), rounded: more digits could change the spikes counted in tables of finished runs.
_STD_OF_MEDIAN_DEVIATION = 1.4826
# Of the level: a curve without noise has no jumps of less than this times the above.
_LEAST_SPREAD = 1e-3


def has_diverged(config: RunConfig, step: int, loss: float) -> bool:
    """Whether a run has diverged: a loss that is not finite, or after warm-up one that no run comes back from.

    Args:
        config: the run.
        step: that its last dispatch led to.
        loss: mean over that dispatch, nats per token.
    """
    warm = step > config.recipe.schedule.warmup * config.steps
    return not math.isfinite(loss) or (warm and loss > _HOPELESS * math.log(config.model.vocab))


def loss_spikes(losses: Sequence[float]) -> int:
    """Number of jumps of a curve of training losses above the losses just before; consecutive rows are one jump.

    Args:
        losses: in order, each the mean over a dispatch, nats per token; NaN where it was not finite, which is a jump.

    The level and the scale of the losses before are medians, so that one jump does not hide the next.
    """
    curve = pd.Series(losses, dtype=float)
    level = _median_before(curve)
    spread = _median_before((curve - level).abs()) * _STD_OF_MEDIAN_DEVIATION
    above = curve > level + _SPIKE_STDS * spread.clip(lower=_LEAST_SPREAD * level)
    jumps = np.concatenate([[False], ~np.isfinite(curve.to_numpy()) | above.to_numpy()])
    return int((jumps[1:] & ~jumps[:-1]).sum())


def _median_before(curve: pd.Series) -> pd.Series:
    return curve.rolling(_BEFORE, min_periods=_LEAST_BEFORE).median().shift()

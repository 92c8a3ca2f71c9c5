"""Robust pooling of members' forecasts: a law far from the others moves neither centre nor spread."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from analysis.forecasting.member import Member
from analysis.laws import Inputs
from analysis.stats import weighted_quantiles

_MIDDLE = 0.5
_ONE_SIGMA = 0.682689  # the probability of a Gaussian within one standard deviation


def pooled_log_loss(members: Sequence[Member], inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """Log loss (rows,) forecast by all members: the interquartile mean by their weights."""
    return interquartile_mean(np.stack([member.log_loss(inputs) for member in members]), _weights(members))


def pooled_spread(members: Sequence[Member], inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """Standard deviation (rows,) of the log losses that the members' resamples forecast."""
    return central_spread([member.log_samples(inputs) for member in members], _weights(members))


def interquartile_mean(
    values: Float[np.ndarray, "members rows"], weights: Float[np.ndarray, " members"]
) -> Float[np.ndarray, " rows"]:
    """Interquartile mean at each row: the weighted mean of the values between the weighted quartiles.

    Args:
        values: of each member; infinite ones are left out unless they reach into the middle half.
        weights: of each member, together 1.
    """
    order = np.argsort(values, axis=0, kind="stable")
    weight = weights[order]
    upto = np.cumsum(weight, axis=0)
    tail = (1 - _MIDDLE) / 2
    inside = np.clip(np.minimum(upto, 1 - tail) - np.maximum(upto - weight, tail), 0.0, None)
    # Far from every run some law may overflow; it is outside the middle unless most do.
    ranked = np.where(inside > 0, np.take_along_axis(values, order, axis=0), 0.0)
    pooled: Float[np.ndarray, " rows"] = (inside * ranked).sum(axis=0) / inside.sum(axis=0)
    return pooled


def central_spread(
    draws: Sequence[Float[np.ndarray, "_ rows"]], weights: Float[np.ndarray, " members"]
) -> Float[np.ndarray, " rows"]:
    """Half the width at each row of the central 68 % of all members' draws: a standard deviation without tails.

    Args:
        draws: of each member, any number.
        weights: of each member, together 1.
    """
    weight = np.concatenate([np.full(len(d), w / len(d)) for d, w in zip(draws, weights, strict=True)])
    low, high = weighted_quantiles(np.concatenate(draws), weight, [(1 - _ONE_SIGMA) / 2, (1 + _ONE_SIGMA) / 2])
    return (high - low) / 2


def _weights(members: Sequence[Member]) -> Float[np.ndarray, " members"]:
    weights = np.array([member.weight for member in members])
    return weights / weights.sum()

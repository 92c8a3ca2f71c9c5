"""Forecasts of many laws pooled into one, so that a law which runs away from the others carries neither."""

import numpy as np
from jaxtyping import Float

_MIDDLE = 0.5
_SIGMA = 0.682689  # the share of a Gaussian within one standard deviation


def middle(
    values: Float[np.ndarray, "members rows"], shares: Float[np.ndarray, " members"]
) -> Float[np.ndarray, " rows"]:
    """The weighted mean of the middle half of the values at each row.

    Args:
        values: of each member.
        shares: of each member, together 1.
    """
    order = np.argsort(values, axis=0, kind="stable")
    share = shares[order]
    upto = np.cumsum(share, axis=0)
    tail = (1 - _MIDDLE) / 2
    inside = np.clip(np.minimum(upto, 1 - tail) - np.maximum(upto - share, tail), 0.0, None)
    # Far from every run some law may overflow; it is outside the middle unless most do.
    ranked = np.where(inside > 0, np.take_along_axis(values, order, axis=0), 0.0)
    pooled: Float[np.ndarray, " rows"] = (inside * ranked).sum(axis=0) / inside.sum(axis=0)
    return pooled


def spread(
    draws: list[Float[np.ndarray, "_ rows"]], shares: Float[np.ndarray, " members"]
) -> Float[np.ndarray, " rows"]:
    """Half the width of the central 68 % of all members' draws at each row: a standard deviation deaf to tails.

    Args:
        draws: of each member, any number.
        shares: of each member, together 1.
    """
    everything = np.concatenate(draws)
    share = np.concatenate([np.full(len(d), s / len(d)) for d, s in zip(draws, shares, strict=True)])
    order = np.argsort(everything, axis=0, kind="stable")
    upto = np.cumsum(share[order], axis=0)
    ends = []
    for level in ((1 - _SIGMA) / 2, (1 + _SIGMA) / 2):
        rank = np.minimum((upto < level).sum(axis=0), len(everything) - 1)
        ends.append(np.take_along_axis(everything, order, axis=0)[rank, np.arange(everything.shape[1])])
    return (ends[1] - ends[0]) / 2

"""The clipped losses of policy and critic, token by token (1707.06347); 0 where a token is not live."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Numbers = Float[Array, "batch seq"]
Live = Bool[Array, "batch seq"]


class Clipped(NamedTuple):
    """A loss of every token, and whether its gradient is cut off."""

    loss: Numbers
    clipped: Live


def ratio_of(logprobs: Numbers, old: Numbers, live: Live) -> Numbers:
    """The policy's probability of each token over that by which it was sampled; 1 where it is not live."""
    # The difference is set to 0 before exp: at padding it may be anything, and an infinite gradient times 0 is NaN.
    return jnp.exp(jnp.where(live, logprobs - old, 0.0))


def policy_loss(logprobs: Numbers, old: Numbers, advantages: Numbers, live: Live, clip: float) -> Clipped:
    """-min(ratio A, clip(ratio, 1 - clip, 1 + clip) A): equation 7 of 1707.06347.

    Nothing is gained by a ratio above 1 + clip where A > 0, nor below 1 - clip where A < 0.

    Args:
        logprobs: by the policy that is trained.
        old: by the policy that sampled.
        advantages: of the tokens.
        live: tokens of the answers.
        clip: how far the ratio may go from 1.
    """
    ratio = ratio_of(logprobs, old, live)
    free, held = -advantages * ratio, -advantages * jnp.clip(ratio, 1 - clip, 1 + clip)
    return Clipped(jnp.where(live, jnp.maximum(free, held), 0.0), live & (held > free))


def value_loss(values: Numbers, old: Numbers, returns: Numbers, live: Live, clip: float | None) -> Clipped:
    """Half the squared error of the values; with ``clip`` the larger of it and that of values kept near the old ones.

    Args:
        values: by the critic that is trained.
        old: by the critic before the iteration.
        returns: that they are to foretell.
        live: tokens of the answers.
        clip: how far a value may go from the old one; None for no clipping.
    """
    free = (values - returns) ** 2
    held = free if clip is None else (old + jnp.clip(values - old, -clip, clip) - returns) ** 2
    return Clipped(jnp.where(live, 0.5 * jnp.maximum(free, held), 0.0), live & (held > free))

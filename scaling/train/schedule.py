"""Learning-rate schedules, as a factor between 0 and 1 on each group's peak rate."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def factor(
    kind: str,
    step: Int[Array, ""],
    steps: Int[Array, ""],
    warmup: Float[Array, ""],
    decay: Float[Array, ""],
    final: Float[Array, ""],
) -> Float[Array, ""]:
    """The factor on the peak rate at a step; all but ``kind`` may be traced, so runs of every length share a program.

    Up to its decay a ``wsd`` schedule does not depend on ``steps``, to the bit: runs of one warm-up and several
    horizons share a trunk.

    Args:
        kind: ``wsd`` or ``cosine``.
        step: the step about to be taken, counted from 0.
        steps: of the whole run.
        warmup, decay: steps of each, fractions of one included; a cosine decays from the warm-up on.
        final: the factor at the end.
    """
    done = step + 0.5
    rise = jnp.minimum(1.0, done / jnp.maximum(warmup, 1e-9))
    if kind == "cosine":
        progress = jnp.clip((done - warmup) / (steps - warmup), 0.0, 1.0)
        left = 0.5 * (1 + jnp.cos(jnp.pi * progress))
    else:
        left = jnp.clip((steps - done) / decay, 0.0, 1.0)
    return rise * (final + (1 - final) * left)

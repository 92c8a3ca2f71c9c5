"""Rotary position embedding (2104.09864)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig

# Cosine and sine of each position's angles; half = head_dim / 2.
RopeTables = tuple[Float[Array, "seq half"], Float[Array, "seq half"]]


def rope_frequencies(config: LlamaConfig) -> np.ndarray:
    """Radians per token of each rotated pair, shape (head_dim / 2,) (2104.09864), with Llama 3.1's scaling if set."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * np.pi / frequencies
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep = np.clip((scaling.original_context / wavelengths - scaling.low_freq_factor) / span, 0.0, 1.0)
    return frequencies * (keep + (1 - keep) / scaling.factor)


def rope_tables(config: LlamaConfig, seq: int) -> RopeTables:
    """Cosine and sine of each position's angles, float32; half = head_dim / 2."""
    angles = np.arange(seq)[:, None] * rope_frequencies(config)[None, :]
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def apply_rope(
    x: Float[Array, "batch seq heads head_dim"], rope: RopeTables
) -> Float[Array, "batch seq heads head_dim"]:
    """Rotates the pairs (i, i + head_dim / 2) of every head by its position's angles."""
    cos, sin = (table[:, None, :].astype(x.dtype) for table in rope)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

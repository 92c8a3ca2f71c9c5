"""Rotary position embedding (2104.09864)."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, RopeScaling, YarnScaling

# Cosine and sine of each position's angles; half = head_dim / 2.
RopeTables = tuple[Float[Array, "seq half"], Float[Array, "seq half"]]


def rope_frequencies(config: LlamaConfig, seq: int = 1) -> np.ndarray:
    """Radians per token of each rotated pair, shape (head_dim / 2,) (2104.09864), scaled as the config requests.

    Args:
        config: the model's shape.
        seq: tokens of the sequence at hand, which dynamic scaling depends on.
    """
    theta, dim, scaling = config.rope_theta, config.head_dim, config.rope_scaling
    if isinstance(scaling, DynamicScaling):
        stretch = max(1.0, scaling.factor * seq / config.seq_len - (scaling.factor - 1))
        theta = theta * stretch ** (dim / (dim - 2))
    frequencies = theta ** (-np.arange(0, dim, 2) / dim)
    if isinstance(scaling, LinearScaling):
        return frequencies / scaling.factor
    if isinstance(scaling, YarnScaling):
        keep = _kept_by_yarn(scaling, theta, dim)
        return frequencies * (keep + (1 - keep) / scaling.factor)
    if isinstance(scaling, RopeScaling):
        wavelengths = 2 * np.pi / frequencies
        span = scaling.high_freq_factor - scaling.low_freq_factor
        keep = np.clip((scaling.original_context / wavelengths - scaling.low_freq_factor) / span, 0.0, 1.0)
        return frequencies * (keep + (1 - keep) / scaling.factor)
    return frequencies


def _kept_by_yarn(scaling: YarnScaling, theta: float, dim: int) -> np.ndarray:
    """The share of each pair's own frequency that YaRN keeps: 1 for the fast ones, then a ramp down to 0."""

    def pair_of(turns: float) -> float:
        """The pair, as a real number, that turns so often within the old context."""
        return dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first, last = pair_of(scaling.beta_fast), pair_of(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, dim - 1)
    length = last - first or 0.001
    return 1 - np.clip((np.arange(dim // 2) - first) / length, 0.0, 1.0)


def rope_tables(config: LlamaConfig, seq: int) -> RopeTables:
    """Cosine and sine of each position's angles, float32; half = head_dim / 2.

    Under YaRN both are multiplied by its attention factor.
    """
    angles = np.arange(seq)[:, None] * rope_frequencies(config, seq)[None, :]
    factor = config.rope_scaling.attention_factor if isinstance(config.rope_scaling, YarnScaling) else 1.0
    return jnp.asarray(factor * np.cos(angles), jnp.float32), jnp.asarray(factor * np.sin(angles), jnp.float32)


def apply_rope(
    x: Float[Array, "batch seq heads head_dim"], rope: RopeTables
) -> Float[Array, "batch seq heads head_dim"]:
    """Rotates the pairs (i, i + head_dim / 2) of every head by its position's angles."""
    cos, sin = (table[:, None, :].astype(x.dtype) for table in rope)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

"""Initial weights, drawn alike on every platform and at every size of array."""

import math

import jax
from flax import nnx
from jaxtyping import Array, Float

# Larger arrays keep their shape while they are drawn, so that a mesh can share the work.
_MAX_FLAT = 2**24


def normal(key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Standard normal numbers, float32.

    A small array is drawn flat, which gives the same numbers and compiles three times as fast.
    """
    size = math.prod(shape)
    return jax.random.normal(key, (size,)).reshape(shape) if size <= _MAX_FLAT else jax.random.normal(key, shape)


def matrices(rngs: nnx.Rngs, depth: int, shape: tuple[int, int], std: float, factor: float = 1.0) -> nnx.Param[Array]:
    """The matrices of all layers, shape (depth, fan_in, fan_out), of standard deviation ``factor * std``."""
    return nnx.Param(factor * std * normal(rngs.params(), (depth, *shape)))

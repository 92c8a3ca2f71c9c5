"""Causal grouped-query attention, in the form that the platform runs fastest."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# The additive mask's value: large, yet finite after the cast to bfloat16 and a subtraction.
_MASKED = -1e30


def attention(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    """Softmax attention of each position to itself and those before it, scaled by 1 / sqrt(head_dim).

    Query head ``h`` reads key and value head ``h // (heads / kv_heads)`` (2305.13245). On a GPU in half precision
    this is cuDNN's fused kernel; elsewhere plain matrix products with the softmax in float32.
    """
    if jax.default_backend() == "gpu" and query.dtype in (jnp.bfloat16, jnp.float16) and query.shape[-1] % 8 == 0:
        return jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="cudnn")
    return _plain_attention(query, key, value)


def _plain_attention(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    batch, seq, heads, head_dim = query.shape
    groups = heads // key.shape[2]
    query = query.reshape(batch, seq, key.shape[2], groups, head_dim) * head_dim**-0.5
    scores = jnp.einsum("bqkgd,bskd->bkgqs", query, key, preferred_element_type=jnp.float32)
    # Adding a mask fuses into the softmax; a select would be kept for the backward pass.
    scores = scores + jnp.where(jnp.tril(jnp.ones((seq, seq), bool)), 0.0, _MASKED)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("bkgqs,bskd->bqkgd", weights, value).reshape(batch, seq, heads, head_dim)

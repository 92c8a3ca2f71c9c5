"""Causal grouped-query attention, in the form that the platform runs fastest."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Large, yet finite: minus infinity would turn a difference of two of them into NaN.
_MASKED = -1e30
# Query rows at a time on a CPU: a chunk's scores stay in the cache, and what lies after it is never computed.
_CHUNK, _MOST_CHUNKS = 64, 8


def attention(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    """Softmax attention of each position to itself and those before it, scaled by 1 / sqrt(head_dim).

    Query head ``h`` reads key and value head ``h // (heads / kv_heads)`` (2305.13245). On a GPU in half precision
    this is cuDNN's fused kernel, on a CPU a few chunks of queries, elsewhere XLA's own; the softmax is in float32.
    """
    platform = jax.default_backend()
    if platform == "cpu":
        return _chunked(query, key, value)
    fused = platform == "gpu" and query.dtype in (jnp.bfloat16, jnp.float16) and query.shape[-1] % 8 == 0
    return jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="cudnn" if fused else "xla")


def _chunked(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    batch, seq, heads, head_dim = query.shape
    kv_heads = key.shape[2]
    query = query.reshape(batch, seq, kv_heads, heads // kv_heads, head_dim) * head_dim**-0.5
    query = query.transpose(0, 2, 3, 1, 4)  # batch, kv head, query head of its group, position, head_dim
    key, value = key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3)
    size = max(_CHUNK, -(-seq // _MOST_CHUNKS))
    parts = []
    for start in range(0, seq, size):
        chunk = query[:, :, :, start : start + size]
        rows, seen = chunk.shape[3], start + chunk.shape[3]
        flat = chunk.reshape(batch, kv_heads, -1, head_dim)
        scores = jnp.matmul(flat, key[..., :seen], preferred_element_type=jnp.float32)
        past = start + jnp.arange(rows)[:, None] >= jnp.arange(seen)[None, :]
        # Adding a mask fuses into the exponential; a select would be kept for the backward pass.
        scores = scores.reshape(*chunk.shape[:4], seen) + jnp.where(past, 0.0, _MASKED)
        weights = jnp.exp(scores - jax.lax.stop_gradient(scores.max(axis=-1, keepdims=True)))
        mixed = weights.reshape(batch, kv_heads, -1, seen).astype(value.dtype) @ value[:, :, :seen]
        # Dividing after the product divides head_dim numbers a row, not all that the row has seen.
        total = weights.sum(axis=-1, keepdims=True).astype(value.dtype)
        parts.append(mixed.reshape(chunk.shape) / total)
    return jnp.concatenate(parts, axis=3).transpose(0, 3, 1, 2, 4).reshape(batch, seq, heads, head_dim)

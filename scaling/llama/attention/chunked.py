"""Attention in chunks of queries, the fastest form on a CPU, with a backward pass of its own.

A chunk's scores stay in the cache, and what lies after it is never computed. JAX's own derivative pads every chunk's
gradient of the keys and values to the whole sequence, and works in layouts that its products must copy.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# Large, yet finite: minus infinity would turn a difference of two of them into NaN.
_MASKED = -1e30
_CHUNK, _MOST_CHUNKS = 64, 8
# Axes below: b batch, k key head, q queries of a chunk, of all query heads of the group, t positions, d head_dim.
_Residuals = tuple[Array, Array, Array, Array, list[Array], list[Array]]


@jax.custom_vjp
def chunked(
    query: Float[Array, "batch seq heads head_dim"],
    key: Float[Array, "batch seq kv_heads head_dim"],
    value: Float[Array, "batch seq kv_heads head_dim"],
) -> Float[Array, "batch seq heads head_dim"]:
    """Causal softmax attention, as ``attention.dispatch.attention`` says."""
    return _forward(query, key, value)[0]


def _forward(query: Array, key: Array, value: Array) -> tuple[Array, _Residuals]:
    head_dim = query.shape[-1]
    query = _by_head(query, key.shape[2]) * head_dim**-0.5
    key, value = key.transpose(0, 2, 1, 3), value.transpose(0, 2, 1, 3)
    weights, totals, parts = [], [], []
    for start, stop in _bounds(query.shape[3]):
        chunk = _rows(query, start, stop)
        scores = jnp.einsum("bkqd,bktd->bkqt", chunk, key[:, :, :stop], preferred_element_type=jnp.float32)
        past = jnp.arange(start, stop)[:, None] >= jnp.arange(stop)[None, :]
        # Adding a mask fuses into the exponential; a select would not.
        scores = scores.reshape(*query.shape[:3], stop - start, stop) + jnp.where(past, 0.0, _MASKED)
        weight = jnp.exp(scores - scores.max(axis=-1, keepdims=True)).reshape(*chunk.shape[:3], stop)
        total = weight.sum(axis=-1, keepdims=True)
        weight = weight.astype(value.dtype)
        # Dividing after the product divides head_dim numbers a row, not all that the row has seen.
        part = (weight @ value[:, :, :stop]) / total.astype(value.dtype)
        weights.append(weight)
        totals.append(total)
        parts.append(part.reshape(*query.shape[:3], stop - start, head_dim))
    mixed = jnp.concatenate(parts, axis=3)
    return _by_position(mixed), (query, key, value, mixed, weights, totals)


def _backward(residuals: _Residuals, g: Array) -> tuple[Array, Array, Array]:
    query, key, value, mixed, weights, totals = residuals
    groups, head_dim = query.shape[:3], query.shape[-1]
    g = _by_head(g, key.shape[1])
    # A row's sum of weight times gradient of the weight, by way of what the weights have mixed (2205.14135).
    delta = (g.astype(jnp.float32) * mixed).sum(axis=-1, keepdims=True)
    bounds = _bounds(query.shape[3])
    of_query = []
    of_key: list[Array | float] = [0.0] * len(bounds)
    of_value: list[Array | float] = [0.0] * len(bounds)
    for weight, total, (start, stop) in zip(weights, totals, bounds, strict=True):
        # The weights were left undivided by their total, so what they meet is divided by it.
        g_chunk = (_rows(g, start, stop) / total).astype(value.dtype)
        of_weight = jnp.einsum("bkqd,bktd->bkqt", g_chunk, value[:, :, :stop], preferred_element_type=jnp.float32)
        of_scores = (weight * (of_weight - _rows(delta, start, stop) / total)).astype(value.dtype)
        of_query.append((of_scores @ key[:, :, :stop]).reshape(*groups, stop - start, head_dim))
        to_key = jnp.einsum("bkqt,bkqd->bktd", of_scores, _rows(query, start, stop))
        to_value = jnp.einsum("bkqt,bkqd->bktd", weight, g_chunk)
        for i, (a, b) in enumerate(bounds):
            if b <= stop:
                of_key[i] += to_key[:, :, a:b]
                of_value[i] += to_value[:, :, a:b]
    return (
        _by_position(jnp.concatenate(of_query, axis=3) * head_dim**-0.5),
        jnp.concatenate(of_key, axis=2).transpose(0, 2, 1, 3),
        jnp.concatenate(of_value, axis=2).transpose(0, 2, 1, 3),
    )


chunked.defvjp(_forward, _backward)


def _bounds(seq: int) -> list[tuple[int, int]]:
    size = max(_CHUNK, -(-seq // _MOST_CHUNKS))
    return [(start, min(start + size, seq)) for start in range(0, seq, size)]


def _by_head(
    x: Float[Array, "batch seq heads head_dim"], kv_heads: int
) -> Float[Array, "batch kv_heads group seq head_dim"]:
    batch, seq, heads, head_dim = x.shape
    return x.reshape(batch, seq, kv_heads, heads // kv_heads, head_dim).transpose(0, 2, 3, 1, 4)


def _by_position(x: Float[Array, "batch kv_heads group seq head_dim"]) -> Float[Array, "batch seq heads head_dim"]:
    batch, _, _, seq, head_dim = x.shape
    return x.transpose(0, 3, 1, 2, 4).reshape(batch, seq, -1, head_dim)


def _rows(
    x: Float[Array, "batch kv_heads group seq last"], start: int, stop: int
) -> Float[Array, "batch kv_heads rows last"]:
    """The queries of a chunk, with all query heads that share a key head in one axis."""
    chunk = x[:, :, :, start:stop]
    return chunk.reshape(*chunk.shape[:2], -1, chunk.shape[-1])

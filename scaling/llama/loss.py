"""Cross-entropy that never holds the logits of more than a chunk of tokens."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from scaling.llama.parallelism import CHUNK_LOGITS
from scaling.llama.sharding import BATCH, TENSOR, axis_size, constrain


def cross_entropy(
    hidden: Float[Array, "batch seq width"],
    head: Float[Array, "vocab width"],
    targets: Int[Array, "batch seq"],
    mesh: Mesh | None = None,
) -> Float[Array, "batch seq"]:
    """Negative log-likelihood of each target, nats, float32.

    Args:
        hidden: the model's output, shape (batch, seq, width).
        head: the output head, shape (vocab, width).
        targets: the token that follows each position.
        mesh: that the arrays are spread over, or None; each device then takes its own tokens in chunks.
    """
    head = constrain(head.astype(hidden.dtype), mesh, TENSOR, None)
    return in_chunks(lambda hidden, targets: _nll(hidden, head, targets), len(head), mesh, hidden, targets)


def in_chunks(per_token: Callable[..., Any], vocab: int, mesh: Mesh | None, hidden: Array, *others: Array) -> Any:
    """What a function of tokens makes of arrays (batch, seq, ...), in chunks whose logits fit in memory.

    Args:
        per_token: from arrays (*tokens, ...), of the same tokens, to a pytree of arrays (*tokens,).
        vocab: logits of a token.
        mesh: as of ``cross_entropy``.
        hidden: the first of its arrays, split over the devices that split a batch.
        others: further ones.

    Returns:
        The pytree, of arrays (batch, seq).
    """
    batch, seq = hidden.shape[:2]
    shards = axis_size(mesh, BATCH)
    tokens = batch * seq // shards
    chunks = -(-tokens * vocab // (CHUNK_LOGITS * axis_size(mesh, TENSOR)))
    while tokens % chunks:
        chunks += 1
    if chunks == 1:
        return per_token(constrain(hidden, mesh, BATCH), *others)

    def chunked(x: Array) -> Array:
        """Tokens as (chunks, tokens of a chunk, ...), each chunk with an equal share of every device's tokens."""
        parts = x.reshape(shards, chunks, tokens // chunks, *x.shape[2:]).swapaxes(0, 1)
        return parts.reshape(chunks, -1, *x.shape[2:])

    # The chunk's logits are computed again in the backward pass rather than kept.
    made = jax.lax.map(
        jax.checkpoint(lambda part: per_token(*part)),
        (constrain(chunked(hidden), mesh, None, BATCH), *map(chunked, others)),
    )
    return jax.tree.map(lambda x: x.reshape(chunks, shards, -1).swapaxes(0, 1).reshape(batch, seq), made)


def _nll(
    hidden: Float[Array, "*tokens width"], head: Float[Array, "vocab width"], targets: Int[Array, "*tokens"]
) -> Float[Array, "*tokens"]:
    logits = jnp.einsum("...w,vw->...v", hidden, head, preferred_element_type=jnp.float32)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen

"""Cross-entropy that never holds the logits of more than a chunk of tokens."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

# Logits held at once: 2^25 floats are 128 MiB. A byte-level model fits in one chunk.
CHUNK_LOGITS = 2**25


def cross_entropy(
    hidden: Float[Array, "batch seq width"],
    head: Float[Array, "vocab width"],
    targets: Int[Array, "batch seq"],
) -> Float[Array, "batch seq"]:
    """Negative log-likelihood of each target, nats, float32.

    Args:
        hidden: the model's output, shape (batch, seq, width).
        head: the output head, shape (vocab, width).
        targets: the token that follows each position.
    """
    batch, seq, width = hidden.shape
    tokens = batch * seq
    chunks = -(-tokens * head.shape[0] // CHUNK_LOGITS)
    while tokens % chunks:
        chunks += 1
    head = head.astype(hidden.dtype)
    if chunks == 1:
        return _nll(hidden, head, targets)
    # The chunk's logits are computed again in the backward pass rather than kept.
    losses = jax.lax.map(
        jax.checkpoint(lambda part: _nll(part[0], head, part[1])),
        (hidden.reshape(chunks, tokens // chunks, width), targets.reshape(chunks, tokens // chunks)),
    )
    return losses.reshape(batch, seq)


def _nll(
    hidden: Float[Array, "*tokens width"], head: Float[Array, "vocab width"], targets: Int[Array, "*tokens"]
) -> Float[Array, "*tokens"]:
    logits = jnp.einsum("...w,vw->...v", hidden, head, preferred_element_type=jnp.float32)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return jax.nn.logsumexp(logits, axis=-1) - chosen

"""Drawing a token from logits, with a key for each row."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

_MASKED = -1e30


def draw(
    logits: Float[Array, "batch vocab"],
    keys: Array,
    number: Int[Array, ""],
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
) -> tuple[Int[Array, "batch"], Float[Array, "batch"]]:
    """A token of each row, and its log-probability by the distribution it was drawn from.

    Of exponential variables with rates p, the one of token i is the first with probability p_i (the Gumbel-max trick of
    1611.00712, on times instead of their logarithms); a time's uniform variable has 32 bits, finest near 0, where the
    first ones are. A row's noise is of its own key and the step's number alone.

    Args:
        logits: float32.
        keys: one a row.
        number: of the step, folded into the keys.
        temperature: that the logits are divided by; 0 takes the likeliest token, with the model's own log-probability.
        top_p, top_k: the tokens that are left to draw from; where several have the least probability of those, all.
    """
    if temperature == 0.0:
        tokens = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        return tokens, _at(logits, tokens) - jax.nn.logsumexp(logits, axis=-1)
    # Shifted before they are divided, so that the largest is 0 at any temperature: rounding too is divided by it.
    shifted = kept((logits - logits.max(axis=-1, keepdims=True)) / temperature, top_p, top_k)
    rates = jnp.exp(shifted)
    bits = jax.vmap(lambda key: jax.random.bits(jax.random.fold_in(key, number), logits.shape[-1:]))(keys)
    uniform = jnp.minimum((bits.astype(jnp.float32) + 0.5) * 2.0**-32, 1 - 2.0**-24)
    tokens = jnp.argmin(-jnp.log1p(-uniform) / rates, axis=-1).astype(jnp.int32)
    return tokens, _at(shifted, tokens) - jnp.log(rates.sum(axis=-1))


def kept(logits: Float[Array, "batch vocab"], top_p: float, top_k: int) -> Float[Array, "batch vocab"]:
    """The logits, but for tokens that top-k (first) and top-p leave out, which have no probability."""
    vocab = logits.shape[-1]
    if 0 < top_k < vocab:
        least = jax.lax.top_k(logits, top_k)[0][:, -1:]
        logits = jnp.where(logits >= least, logits, _MASKED)
    if top_p < 1:
        ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
        shares = jax.nn.softmax(ordered, axis=-1)
        before = jnp.cumsum(shares, axis=-1) - shares
        least = jnp.where(before < top_p, ordered, jnp.inf).min(axis=-1, keepdims=True)
        logits = jnp.where(logits >= least, logits, _MASKED)
    return logits


def _at(values: Float[Array, "batch vocab"], tokens: Int[Array, "batch"]) -> Float[Array, "batch"]:
    return jnp.take_along_axis(values, tokens[:, None], axis=-1)[:, 0]

"""Attention of several models at once, for a fused kernel that vmap cannot batch: their batches become one."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float

# (query, key, value) -> what is mixed; each with an axis of batch before all others.
Attend: TypeAlias = Callable[
    [
        Float[Array, "batch seq heads head_dim"],
        Float[Array, "batch seq kv_heads head_dim"],
        Float[Array, "batch seq kv_heads head_dim"],
    ],
    Float[Array, "batch seq heads head_dim"],
]


def folding(attend: Attend) -> Attend:
    """An attention function equal to the given one, which under vmap folds the models into the batch.

    A vmap rule of one's own has no derivative (jax.custom_batching), so the backward pass is such a function too. It
    computes the attention again: what a kernel keeps for it need not have an axis of batch.
    """
    forward = _folded(attend)
    backward = _folded(lambda query, key, value, change: jax.vjp(attend, query, key, value)[1](change))

    @jax.custom_vjp
    def folded(query: Array, key: Array, value: Array) -> Array:
        return forward(query, key, value)

    folded.defvjp(
        lambda query, key, value: (forward(query, key, value), (query, key, value)),
        lambda residuals, change: backward(*residuals, change),
    )
    return folded


def _folded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of arrays whose first axis is the batch; vmap makes that axis longer instead of adding another."""
    mapped = custom_vmap(function)

    @mapped.def_vmap
    def fold(size: int, batched: list[bool], *arrays: Array) -> tuple[Any, Any]:
        every = (x if own else jnp.broadcast_to(x, (size, *x.shape)) for x, own in zip(arrays, batched, strict=True))
        results = mapped(*(x.reshape(-1, *x.shape[2:]) for x in every))
        return (
            jax.tree.map(lambda x: x.reshape(size, -1, *x.shape[1:]), results),
            jax.tree.map(lambda _: True, results),
        )

    return mapped

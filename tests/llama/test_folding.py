"""Attention folded over models: the same values and gradients as one model after another."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_batching import custom_vmap
from jaxtyping import Array

from scaling.llama.attention.dispatch import attention
from scaling.llama.attention.folding import folding

MODELS, BATCH, SEQ, HEADS, KV_HEADS, HEAD_DIM = 3, 2, 16, 4, 2, 8
PLAIN = functools.partial(attention, implementation="xla")


def unmappable(query: Array, key: Array, value: Array) -> Array:
    """Attention by a kernel that, like cuDNN's, vmap cannot batch, and its gradient neither."""
    attend = jax.custom_vjp(alone(PLAIN))
    attend.defvjp(
        lambda *inputs: (alone(PLAIN)(*inputs), inputs),
        lambda inputs, change: alone(lambda *kept: jax.vjp(PLAIN, *kept[:3])[1](kept[3]))(*inputs, change),
    )
    result: Array = attend(query, key, value)
    return result


def alone(function: Any) -> Any:
    def refuse(*_: Any) -> None:
        raise NotImplementedError("no rule for vmap")

    mapped = custom_vmap(function)
    mapped.def_vmap(refuse)
    return mapped


def arrays(*lead: int) -> tuple[Array, Array, Array]:
    keys = jax.random.split(jax.random.key(0), 3)
    query, key, value = (
        jax.random.normal(at, (*lead, BATCH, SEQ, heads, HEAD_DIM))
        for at, heads in zip(keys, (HEADS, KV_HEADS, KV_HEADS), strict=True)
    )
    return query, key, value


def loss(attend: Any, query: Array, key: Array, value: Array) -> Array:
    """Of two layers under a scan, as in the model; its gradient needs every entry."""
    x, _ = jax.lax.scan(lambda x, _: (attend(x, key, value), None), query, length=2)
    return (x * jnp.arange(x.size).reshape(x.shape) / x.size).sum()


@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("attend", [PLAIN, unmappable])
def test_values_and_gradients_over_models_are_those_of_one_after_another(attend: Any, remat: bool) -> None:
    folded = folding(attend)
    together, each = (
        jax.value_and_grad(functools.partial(loss, form), argnums=(0, 1, 2))
        for form in (jax.checkpoint(folded) if remat else folded, PLAIN)
    )
    inputs = arrays(MODELS)
    found = jax.jit(jax.vmap(together))(*inputs)
    expected = jax.tree.map(lambda *models: jnp.stack(models), *(each(*one) for one in zip(*inputs, strict=True)))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


def test_what_models_share_is_folded_too() -> None:
    query, key, value = arrays(MODELS)
    found = jax.vmap(folding(unmappable), in_axes=(0, None, 0))(query, key[0], value)
    for index in range(MODELS):
        np.testing.assert_allclose(found[index], PLAIN(query[index], key[0], value[index]), rtol=1e-5, atol=1e-6)


def test_without_folding_such_a_kernel_fails_under_vmap() -> None:
    with pytest.raises(NotImplementedError, match="no rule for vmap"):
        jax.vmap(unmappable)(*arrays(MODELS))


def test_one_model_alone_is_not_changed() -> None:
    inputs = arrays()
    np.testing.assert_array_equal(folding(PLAIN)(*inputs), PLAIN(*inputs))

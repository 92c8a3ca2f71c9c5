"""The backward passes that are written out: against JAX's own derivative of the plain formula."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.llama.attention.chunked import chunked
from scaling.llama.layers import primitives as layers


def plain_rms_norm(x: jax.Array, weight: jax.Array) -> jax.Array:
    return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True) + 1e-5) * weight


def plain_attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    group = query.shape[2] // key.shape[2]
    key, value = jnp.repeat(key, group, axis=2), jnp.repeat(value, group, axis=2)
    scores = jnp.einsum("bqhd,bthd->bhqt", query, key) / np.sqrt(query.shape[-1])
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    return jnp.einsum("bhqt,bthd->bqhd", jax.nn.softmax(jnp.where(seen, scores, -jnp.inf)), value)


# What is tested, the plain formula, and the shapes of their arguments.
CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[tuple[int, ...]]]] = {
    "matmul": (layers.matmul, lambda x, w: jnp.einsum("bsi,io->bso", x, w), [(2, 5, 6), (6, 9)]),
    "rms_norm": (lambda x, w: layers.rms_norm(x, w, 1e-5), plain_rms_norm, [(2, 5, 3, 8), (8,)]),
    "swiglu": (layers.swiglu, lambda g, u: g / (1 + jnp.exp(-g)) * u, [(2, 5, 7), (2, 5, 7)]),
    "attention": (chunked, plain_attention, [(2, 150, 4, 6), (2, 150, 2, 6), (2, 150, 2, 6)]),
}


def gradients(function: Callable[..., Any], arguments: list[jax.Array]) -> tuple[jax.Array, ...]:
    """The result, and the gradient of a fixed random sum of it in every argument."""

    def total(*arguments: jax.Array) -> tuple[jax.Array, jax.Array]:
        result = function(*arguments)
        weights = jax.random.normal(jax.random.key(9), result.shape).astype(jnp.bfloat16)
        return (result * weights.astype(result.dtype)).astype(jnp.float32).sum(), result

    (_, result), found = jax.value_and_grad(total, argnums=tuple(range(len(arguments))), has_aux=True)(*arguments)
    return result, *found


def drawn(shapes: list[tuple[int, ...]]) -> list[jax.Array]:
    return [jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_gradient_is_that_of_the_plain_formula(name: str) -> None:
    ours, plain, shapes = CASES[name]
    arguments = drawn(shapes)
    for a, b in zip(gradients(ours, arguments), gradients(plain, arguments), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_gradients_of_models_under_vmap_are_those_of_each(name: str) -> None:
    ours, _, shapes = CASES[name]
    arguments = drawn([(3, *shape) for shape in shapes])
    together = jax.vmap(lambda *x: gradients(ours, list(x)))(*arguments)
    for i in range(3):
        alone = gradients(ours, [x[i] for x in arguments])
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", sorted(CASES))
def test_half_precision_stays_half_and_comes_close(name: str) -> None:
    ours, plain, shapes = CASES[name]
    arguments = [x.astype(jnp.bfloat16) for x in drawn(shapes)]
    for a, b in zip(
        gradients(ours, arguments), gradients(plain, [x.astype("float32") for x in arguments]), strict=True
    ):
        assert a.dtype == jnp.bfloat16
        error = a.astype("float32") - b
        assert jnp.linalg.norm(error) < 0.02 * jnp.linalg.norm(b)


def test_the_norms_weight_may_be_float32_among_halves() -> None:
    x, weight = drawn([(4, 8), (8,)])
    _, of_x, of_weight = gradients(lambda x, w: layers.rms_norm(x, w, 1e-5), [x.astype(jnp.bfloat16), weight])
    assert (of_x.dtype, of_weight.dtype) == (jnp.bfloat16, jnp.float32)

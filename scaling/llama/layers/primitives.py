"""The operations of a Llama's layer, each with a backward pass of its own: matrix product, RMSNorm, SwiGLU.

The gradients are those that JAX would derive. They are written out because the derived programs are slow on a CPU: a
weight's gradient as a product with a copied operand, SwiGLU's as padded halves added up, and exponentials kept, as the
same expression occurs in both passes, where it is cheaper to compute them again.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_vjp
def matmul(x: Float[Array, "*rows inner"], matrix: Float[Array, "inner columns"]) -> Float[Array, "*rows columns"]:
    """The product x @ matrix, shape (*rows, columns)."""
    return x @ matrix


def _matmul_forward(x: Array, matrix: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ matrix, (x, matrix)


def _matmul_backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, matrix = kept
    rows, g_rows = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    return (g_rows @ matrix.T).reshape(x.shape), rows.T @ g_rows


matmul.defvjp(_matmul_forward, _matmul_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def rms_norm(x: Float[Array, "*rows width"], weight: Float[Array, "width"], eps: float) -> Float[Array, "*rows width"]:
    """RMSNorm: x / sqrt(mean(x^2) + eps) * weight, computed in float32 (1910.07467)."""
    return _rms_norm_forward(x, weight, eps)[0]


def _rms_norm_forward(x: Array, weight: Array, eps: float) -> tuple[Array, tuple[Array, Array, Array]]:
    x32 = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
    return (x32 * scale).astype(x.dtype) * weight.astype(x.dtype), (x, weight, scale)


def _rms_norm_backward(_eps: float, kept: tuple[Array, Array, Array], g: Array) -> tuple[Array, Array]:
    x, weight, scale = kept
    x32, g32 = x.astype(jnp.float32), g.astype(jnp.float32)
    along, of_weight = _sums(g32 * x32, weight, scale)
    along = along * scale * scale / x.shape[-1]
    return (scale * (g32 * weight - x32 * along)).astype(x.dtype), of_weight.astype(weight.dtype)


def _sums(
    gx: Float[Array, "*rows width"], weight: Float[Array, "width"], scale: Float[Array, "*rows 1"]
) -> tuple[Float[Array, "*rows 1"], Float[Array, "width"]]:
    """The sum of gx * weight over each row, and the sum of gx * scale over all rows."""

    def products(gx: Array, weight: Array, scale: Array) -> tuple[Array, Array]:
        rows = gx.reshape(-1, gx.shape[-1])
        return (rows @ weight).reshape(scale.shape), scale.reshape(-1) @ rows

    def reductions(gx: Array, weight: Array, scale: Array) -> tuple[Array, Array]:
        return (gx * weight).sum(-1, keepdims=True), (gx * scale).sum(range(gx.ndim - 1))

    # On a CPU, XLA writes out a factor that is broadcast into a sum; elsewhere, products may be of low precision.
    return jax.lax.platform_dependent(gx, weight, scale, cpu=products, default=reductions)


rms_norm.defvjp(_rms_norm_forward, _rms_norm_backward)


@jax.custom_vjp
def swiglu(gate: Float[Array, "*rows ffn"], up: Float[Array, "*rows ffn"]) -> Float[Array, "*rows ffn"]:
    """SwiGLU: silu(gate) * up (2002.05202)."""
    return jax.nn.silu(gate) * up


def _swiglu_forward(gate: Array, up: Array) -> tuple[Array, tuple[Array, Array]]:
    return swiglu(gate, up), (gate, up)


def _swiglu_backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    # Without the barrier the compiler would keep the forward pass's exponentials.
    gate, up, g = jax.lax.optimization_barrier((*kept, g))
    sigmoid = jax.nn.sigmoid(gate)
    silu = gate * sigmoid
    # Side by side, as the product that made them wants them back: one pass writes both.
    both = jnp.stack([g * up * (sigmoid + silu - silu * sigmoid), g * silu], axis=-2)
    of_gate, of_up = jnp.split(both.reshape(*gate.shape[:-1], -1), 2, axis=-1)
    return of_gate, of_up


swiglu.defvjp(_swiglu_forward, _swiglu_backward)

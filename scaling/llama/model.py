"""Llama in flax.nnx: pre-norm RMSNorm, RoPE, grouped-query attention, SwiGLU (2302.13971, 2307.09288, 2407.21783).

Shapes below: B batch, S sequence, W width, H query heads, K key-value heads, D head_dim, F ffn, V vocab, L depth.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from scaling.llama.attention import attention
from scaling.llama.config import LlamaConfig

# Up to this depth the layers are unrolled: small models run faster so, and compile about as fast.
UNROLL_DEPTH = 8


@dataclass(frozen=True)
class Init:
    """Standard deviations of the normal initial weights.

    Attributes:
        embedding: of the input embedding.
        matrix: of each layer's matrices times sqrt(fan_in); None means a flat 0.02, as Llama's reference code has it.
        query: factor on the queries: their norm's initial gain, or without one on the matrix that makes them.
        residual: further factor on the two matrices that write to the residual stream.
        final_norm: the initial gain of the last norm, a constant: with a tied head it sets the scale of the logits.
        head: of the output head when untied.
    """

    embedding: float = 0.02
    matrix: float | None = None
    query: float = 1.0
    residual: float = 1.0
    final_norm: float = 1.0
    head: float = 0.02

    def std(self, fan_in: int) -> float:
        return 0.02 if self.matrix is None else self.matrix / math.sqrt(fan_in)


def rms_norm(x: Float[Array, "*rows width"], weight: Float[Array, "width"], eps: float) -> Float[Array, "*rows width"]:
    """x / sqrt(mean(x^2) + eps) * weight, computed in float32 (1910.07467)."""
    x32 = x.astype(jnp.float32)
    scale = jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
    return (x32 * scale).astype(x.dtype) * weight.astype(x.dtype)


def rope_frequencies(config: LlamaConfig) -> np.ndarray:
    """Radians per token of each rotated pair, shape (head_dim / 2,) (2104.09864), with Llama 3.1's scaling if set."""
    frequencies = config.rope_theta ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * np.pi / frequencies
    span = scaling.high_freq_factor - scaling.low_freq_factor
    keep = np.clip((scaling.original_context / wavelengths - scaling.low_freq_factor) / span, 0.0, 1.0)
    return frequencies * (keep + (1 - keep) / scaling.factor)


def rope_tables(config: LlamaConfig, seq: int) -> tuple[Float[Array, "seq half"], Float[Array, "seq half"]]:
    """Cosine and sine of each position's angles, float32; half = head_dim / 2."""
    angles = np.arange(seq)[:, None] * rope_frequencies(config)[None, :]
    return jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(np.sin(angles), jnp.float32)


def apply_rope(
    x: Float[Array, "batch seq heads head_dim"],
    rope: tuple[Float[Array, "seq half"], Float[Array, "seq half"]],
) -> Float[Array, "batch seq heads head_dim"]:
    """Rotates the pairs (i, i + head_dim / 2) of every head by its position's angles."""
    cos, sin = (table[:, None, :].astype(x.dtype) for table in rope)
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Block(nnx.Module):
    """One layer: attention and SwiGLU, each on a normalised copy of the residual stream."""

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.config = config
        width, inner = config.width, config.heads * config.head_dim
        qkv = inner + 2 * config.kv_heads * config.head_dim

        def normal(shape: tuple[int, int], factor: float = 1.0) -> nnx.Param[Array]:
            return nnx.Param(factor * init.std(shape[0]) * jax.random.normal(rngs.params(), shape))

        self.attention_norm = nnx.Param(jnp.ones(width))
        self.qkv = normal((width, qkv))
        if not config.qk_norm:
            self.qkv[...] = self.qkv[...].at[:, :inner].multiply(init.query)
        self.out = normal((inner, width), init.residual)
        self.ffn_norm = nnx.Param(jnp.ones(width))
        self.gate_up = normal((width, 2 * config.ffn))
        self.down = normal((config.ffn, width), init.residual)
        if config.qk_norm:
            self.query_norm = nnx.Param(jnp.full(config.head_dim, init.query, jnp.float32))
            self.key_norm = nnx.Param(jnp.ones(config.head_dim))

    def __call__(
        self,
        x: Float[Array, "batch seq width"],
        rope: tuple[Float[Array, "seq half"], Float[Array, "seq half"]],
    ) -> Float[Array, "batch seq width"]:
        eps = self.config.norm_eps
        x = x + self._attend(rms_norm(x, self.attention_norm[...], eps), rope)
        gate, up = jnp.split(rms_norm(x, self.ffn_norm[...], eps) @ self.gate_up[...].astype(x.dtype), 2, axis=-1)
        return x + (jax.nn.silu(gate) * up) @ self.down[...].astype(x.dtype)

    def _attend(
        self,
        x: Float[Array, "batch seq width"],
        rope: tuple[Float[Array, "seq half"], Float[Array, "seq half"]],
    ) -> Float[Array, "batch seq width"]:
        c = self.config
        batch, seq, _ = x.shape
        qkv = (x @ self.qkv[...].astype(x.dtype)).reshape(batch, seq, c.heads + 2 * c.kv_heads, c.head_dim)
        query, key, value = jnp.split(qkv, [c.heads, c.heads + c.kv_heads], axis=2)
        if c.qk_norm:
            query = rms_norm(query, self.query_norm[...], c.norm_eps)
            key = rms_norm(key, self.key_norm[...], c.norm_eps)
        mixed = attention(apply_rope(query, rope), apply_rope(key, rope), value)
        return mixed.reshape(batch, seq, c.heads * c.head_dim) @ self.out[...].astype(x.dtype)


class Llama(nnx.Module):
    """Token ids to normalised hidden states; ``head`` turns those into logits.

    The layers are one ``Block`` whose parameters carry a leading axis of length ``depth``, and run under a scan, so
    that compile time does not grow with depth.
    """

    def __init__(self, config: LlamaConfig, init: Init | None = None, *, rngs: nnx.Rngs) -> None:
        init = Init() if init is None else init
        self.config = config
        shape = (config.vocab, config.width)
        self.embedding = nnx.Param(init.embedding * jax.random.normal(rngs.params(), shape))

        @nnx.split_rngs(splits=config.depth)
        @nnx.vmap(in_axes=0, out_axes=0)
        def stack(rngs: nnx.Rngs) -> Block:
            return Block(config, init, rngs=rngs)

        self.layers = stack(rngs)
        self.norm = nnx.Param(jnp.full(config.width, init.final_norm, jnp.float32))
        if not config.tie_embeddings:
            self.output = nnx.Param(init.head * jax.random.normal(rngs.params(), shape))

    @property
    def head(self) -> Float[Array, "vocab width"]:
        """The output head: logits = hidden @ head.T."""
        return self.embedding[...] if self.config.tie_embeddings else self.output[...]

    def __call__(
        self, tokens: Int[Array, "batch seq"], dtype: jnp.dtype | type = jnp.float32
    ) -> Float[Array, "batch seq width"]:
        """Hidden states after the last norm.

        Args:
            tokens: ids, shape (batch, seq).
            dtype: of the activations and matrix products; parameters stay as they are.
        """
        rope = rope_tables(self.config, tokens.shape[1])
        x = self.embedding[...][tokens].astype(dtype)
        graph, layers = nnx.split(self.layers)

        def layer(x: Array, parameters: nnx.State) -> tuple[Array, None]:
            return nnx.merge(graph, parameters)(x, rope), None

        depth = self.config.depth
        x, _ = jax.lax.scan(layer, x, layers, unroll=depth if depth <= UNROLL_DEPTH else 1)
        return rms_norm(x, self.norm[...], self.config.norm_eps)

    def logits(
        self, tokens: Int[Array, "batch seq"], dtype: jnp.dtype | type = jnp.float32
    ) -> Float[Array, "batch seq vocab"]:
        """Logits in float32, all at once: for small inputs; training uses ``loss.cross_entropy``."""
        return jnp.einsum(
            "bsw,vw->bsv", self(tokens, dtype), self.head.astype(dtype), preferred_element_type=jnp.float32
        )

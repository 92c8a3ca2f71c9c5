"""Grouped-query attention with RoPE, and RMSNorm of queries and keys where a model has it."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from scaling.llama.attention.dispatch import attention
from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.layers.initializers import matrices
from scaling.llama.layers.primitives import rms_norm
from scaling.llama.layers.rope import RopeTables, apply_rope
from scaling.llama.sharding import PLAIN, Execution, join, project


class Attention(nnx.Module):
    """Causal self-attention (2305.13245), made with the parameters of all layers and called with those of one.

    Parameters, each with a first axis of layers: ``qkv`` (W, (H + 2 K) D), the matrices of queries, keys and values
    side by side; ``out`` (H D, W); with ``qk_norm`` the gains ``query_norm`` and ``key_norm`` (D,); with
    ``attention_bias`` ``qkv_bias`` ((H + 2 K) D,), and if it is ``all``, ``out_bias`` (W,).
    """

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.config = config
        depth, width, inner = config.depth, config.width, config.attention_width
        columns = inner + 2 * config.kv_width
        self.qkv = matrices(rngs, depth, (width, columns), init.std(width))
        if not config.qk_norm:
            self.qkv[...] = self.qkv[...].at[..., :inner].multiply(init.query)
        self.out = matrices(rngs, depth, (inner, width), init.std(inner), init.residual)
        if config.qk_norm:
            self.query_norm = nnx.Param(jnp.full((depth, config.head_dim), init.query, jnp.float32))
            self.key_norm = nnx.Param(jnp.ones((depth, config.head_dim)))
        if config.attention_bias != "none":
            self.qkv_bias = nnx.Param(jnp.zeros((depth, columns)))
        if config.attention_bias == "all":
            self.out_bias = nnx.Param(jnp.zeros((depth, width)))

    def __call__(
        self, x_BSW: Float[Array, "batch seq width"], rope: RopeTables, execution: Execution = PLAIN
    ) -> Float[Array, "batch seq width"]:
        c, mesh = self.config, execution.mesh
        batch, seq, _ = x_BSW.shape
        inner, kv = c.attention_width, c.kv_width
        parts = project(x_BSW, self.qkv[...].astype(x_BSW.dtype), (inner, kv, kv), mesh)
        if c.attention_bias != "none":
            biases = jnp.split(self.qkv_bias[...].astype(x_BSW.dtype), (inner, inner + kv))
            parts = [part + bias for part, bias in zip(parts, biases, strict=True)]
        query_BSHD, key_BSKD, value_BSKD = (part.reshape(batch, seq, -1, c.head_dim) for part in parts)
        if c.qk_norm:
            query_BSHD = rms_norm(query_BSHD, self.query_norm[...], c.norm_eps)
            key_BSKD = rms_norm(key_BSKD, self.key_norm[...], c.norm_eps)
        query_BSHD, key_BSKD = apply_rope(query_BSHD, rope), apply_rope(key_BSKD, rope)
        mixed_BSHD = attention(query_BSHD, key_BSKD, value_BSKD, execution.attention, mesh, execution.stacked)
        out_BSW = join(mixed_BSHD.reshape(batch, seq, inner), self.out[...].astype(x_BSW.dtype), mesh)
        return out_BSW + self.out_bias[...].astype(x_BSW.dtype) if c.attention_bias == "all" else out_BSW

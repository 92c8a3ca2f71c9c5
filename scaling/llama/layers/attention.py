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
    side by side; ``out`` (H D, W); with ``qk_norm`` the gains ``query_norm`` and ``key_norm`` (D,).
    """

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.config = config
        depth, width, inner = config.depth, config.width, config.heads * config.head_dim
        columns = inner + 2 * config.kv_heads * config.head_dim
        self.qkv = matrices(rngs, depth, (width, columns), init.std(width))
        if not config.qk_norm:
            self.qkv[...] = self.qkv[...].at[..., :inner].multiply(init.query)
        self.out = matrices(rngs, depth, (inner, width), init.std(inner), init.residual)
        if config.qk_norm:
            self.query_norm = nnx.Param(jnp.full((depth, config.head_dim), init.query, jnp.float32))
            self.key_norm = nnx.Param(jnp.ones((depth, config.head_dim)))

    def __call__(
        self, x_BSW: Float[Array, "batch seq width"], rope: RopeTables, execution: Execution = PLAIN
    ) -> Float[Array, "batch seq width"]:
        c, mesh = self.config, execution.mesh
        batch, seq, _ = x_BSW.shape
        inner, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        parts = project(x_BSW, self.qkv[...].astype(x_BSW.dtype), (inner, kv, kv), mesh)
        query_BSHD, key_BSKD, value_BSKD = (part.reshape(batch, seq, -1, c.head_dim) for part in parts)
        if c.qk_norm:
            query_BSHD = rms_norm(query_BSHD, self.query_norm[...], c.norm_eps)
            key_BSKD = rms_norm(key_BSKD, self.key_norm[...], c.norm_eps)
        query_BSHD, key_BSKD = apply_rope(query_BSHD, rope), apply_rope(key_BSKD, rope)
        mixed_BSHD = attention(query_BSHD, key_BSKD, value_BSKD, execution.attention, mesh, execution.stacked)
        return join(mixed_BSHD.reshape(batch, seq, inner), self.out[...].astype(x_BSW.dtype), mesh)

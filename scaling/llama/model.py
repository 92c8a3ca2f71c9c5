"""Llama in flax.nnx: pre-norm RMSNorm, RoPE, grouped-query attention, SwiGLU (2302.13971, 2307.09288, 2407.21783).

Shapes below: B batch, S sequence, W width, H query heads, K key-value heads, D head_dim, F ffn, V vocab, L depth.
"""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from scaling.llama.attention.dispatch import attention
from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.layers.primitives import Tables, apply_rope, rms_norm, rope_tables, swiglu
from scaling.llama.sharding import BATCH, PLAIN, TENSOR, Execution, constrain, join, project, rematerialised

# Up to this depth the layers are unrolled: small models run faster so, and compile about as fast.
UNROLL_DEPTH = 8
# The residual stream between the blocks: each tensor device keeps a share of the positions (2205.05198).
RESIDUAL = (BATCH, TENSOR, None)
# Larger arrays keep their shape while they are drawn, so that a mesh can share the work.
_IN_A_ROW = 2**24


def _normal(key: Array, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Normal numbers. A small array's are drawn in a row, the same numbers, as that compiles three times as fast."""
    size = math.prod(shape)
    return jax.random.normal(key, (size,)).reshape(shape) if size <= _IN_A_ROW else jax.random.normal(key, shape)


class Block(nnx.Module):
    """A layer: attention and SwiGLU, each on a normalised copy of the residual stream.

    It is made with the parameters of all layers, along a first axis of length ``depth``, and called with those of one.
    """

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.config = config
        depth = config.depth
        width, inner = config.width, config.heads * config.head_dim
        qkv = inner + 2 * config.kv_heads * config.head_dim

        def normal(shape: tuple[int, int], factor: float = 1.0) -> nnx.Param[Array]:
            return nnx.Param(factor * init.std(shape[0]) * _normal(rngs.params(), (depth, *shape)))

        self.attention_norm = nnx.Param(jnp.ones((depth, width)))
        self.qkv = normal((width, qkv))
        if not config.qk_norm:
            self.qkv[...] = self.qkv[...].at[..., :inner].multiply(init.query)
        self.out = normal((inner, width), init.residual)
        self.ffn_norm = nnx.Param(jnp.ones((depth, width)))
        self.gate_up = normal((width, 2 * config.ffn))
        self.down = normal((config.ffn, width), init.residual)
        if config.qk_norm:
            self.query_norm = nnx.Param(jnp.full((depth, config.head_dim), init.query, jnp.float32))
            self.key_norm = nnx.Param(jnp.ones((depth, config.head_dim)))

    def __call__(
        self,
        x: Float[Array, "batch seq width"],
        rope: Tables,
        execution: Execution = PLAIN,
    ) -> Float[Array, "batch seq width"]:
        c, mesh = self.config, execution.mesh
        x = constrain(x + self._attend(self._normed(x, self.attention_norm, mesh), rope, execution), mesh, *RESIDUAL)
        normed = self._normed(x, self.ffn_norm, mesh)
        gate, up = project(normed, self.gate_up[...].astype(x.dtype), (c.ffn, c.ffn), mesh)
        # On a mesh the gradients lie as gate and up do, on their own devices: side by side they would be sent around.
        inner = swiglu(gate, up) if mesh is None else jax.nn.silu(gate) * up
        return constrain(x + join(inner, self.down[...].astype(x.dtype), mesh), mesh, *RESIDUAL)

    def _normed(
        self, x: Float[Array, "batch seq width"], weight: nnx.Param[Array], mesh: Mesh | None
    ) -> Float[Array, "batch seq width"]:
        return rms_norm(x, constrain(weight[...], mesh, None), self.config.norm_eps)

    def _attend(
        self,
        x: Float[Array, "batch seq width"],
        rope: Tables,
        execution: Execution,
    ) -> Float[Array, "batch seq width"]:
        c, mesh = self.config, execution.mesh
        batch, seq, _ = x.shape
        inner, kv = c.heads * c.head_dim, c.kv_heads * c.head_dim
        parts = project(x, self.qkv[...].astype(x.dtype), (inner, kv, kv), mesh)
        query, key, value = (part.reshape(batch, seq, -1, c.head_dim) for part in parts)
        if c.qk_norm:
            query = rms_norm(query, self.query_norm[...], c.norm_eps)
            key = rms_norm(key, self.key_norm[...], c.norm_eps)
        query, key = apply_rope(query, rope), apply_rope(key, rope)
        mixed = attention(query, key, value, execution.attention, mesh, execution.stacked)
        return join(mixed.reshape(batch, seq, inner), self.out[...].astype(x.dtype), mesh)


class Llama(nnx.Module):
    """Token ids to normalised hidden states; ``head`` turns those into logits.

    The layers are one ``Block`` whose parameters carry a leading axis of length ``depth``, and run under a scan, so
    that compile time does not grow with depth.
    """

    def __init__(self, config: LlamaConfig, init: Init | None = None, *, rngs: nnx.Rngs) -> None:
        init = Init() if init is None else init
        self.config = config
        shape = (config.vocab, config.width)
        self.embedding = nnx.Param(init.embedding * _normal(rngs.params(), shape))
        self.layers = Block(config, init, rngs=rngs)
        self.norm = nnx.Param(jnp.full(config.width, init.final_norm, jnp.float32))
        if not config.tie_embeddings:
            self.output = nnx.Param(init.head * _normal(rngs.params(), shape))

    @property
    def head(self) -> Float[Array, "vocab width"]:
        """The output head: logits = hidden @ head.T."""
        return self.embedding[...] if self.config.tie_embeddings else self.output[...]

    def __call__(
        self,
        tokens: Int[Array, "batch seq"],
        dtype: jnp.dtype | type = jnp.float32,
        execution: Execution = PLAIN,
    ) -> Float[Array, "batch seq width"]:
        """Hidden states after the last norm.

        Args:
            tokens: ids, shape (batch, seq).
            dtype: of the activations and matrix products; parameters stay as they are.
            execution: remat, attention and the mesh, if there is one.
        """
        mesh = execution.mesh
        rope = rope_tables(self.config, tokens.shape[1])
        x = constrain(self.embedding[...][tokens].astype(dtype), mesh, *RESIDUAL)
        graph, layers = nnx.split(self.layers)

        def layer(x: Array, parameters: nnx.State) -> tuple[Array, None]:
            return nnx.merge(graph, parameters)(x, rope, execution), None

        depth = self.config.depth
        unrolled = depth <= UNROLL_DEPTH
        body = rematerialised(layer, execution.remat, unrolled)
        x, _ = jax.lax.scan(body, x, layers, unroll=depth if unrolled else 1)
        return rms_norm(x, constrain(self.norm[...], mesh, None), self.config.norm_eps)

    def logits(
        self, tokens: Int[Array, "batch seq"], dtype: jnp.dtype | type = jnp.float32
    ) -> Float[Array, "batch seq vocab"]:
        """Logits in float32, all at once: for small inputs; training uses ``loss.cross_entropy``."""
        return jnp.einsum(
            "bsw,vw->bsv", self(tokens, dtype), self.head.astype(dtype), preferred_element_type=jnp.float32
        )

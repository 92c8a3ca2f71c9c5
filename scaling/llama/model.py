"""Llama in flax.nnx: pre-norm RMSNorm, RoPE, grouped-query attention, SwiGLU (2302.13971, 2307.09288, 2407.21783).

Shapes are in the names of arrays: B batch, S sequence, W width, H query heads, K key-value heads, D head_dim, F ffn,
V vocab. The layers are in ``layers/``, and the kernels of attention in ``attention/``.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.layers.block import RESIDUAL, Block
from scaling.llama.layers.initializers import normal
from scaling.llama.layers.primitives import rms_norm
from scaling.llama.layers.rope import rope_tables
from scaling.llama.sharding import PLAIN, Execution, constrain, rematerialised

# Up to this depth the layers are unrolled: small models run faster so, and compile about as fast.
UNROLL_DEPTH = 8


class Llama(nnx.Module):
    """Token ids to normalised hidden states; ``head`` turns those into logits.

    The layers are one ``Block`` whose parameters carry a leading axis of length ``depth``, and run under a scan, so
    that compile time does not grow with depth.
    """

    def __init__(self, config: LlamaConfig, init: Init | None = None, *, rngs: nnx.Rngs) -> None:
        init = Init() if init is None else init
        self.config = config
        shape = (config.vocab, config.width)
        self.embedding = nnx.Param(init.embedding * normal(rngs.params(), shape))
        self.layers = Block(config, init, rngs=rngs)
        self.norm = nnx.Param(jnp.full(config.width, init.final_norm, jnp.float32))
        if not config.tie_embeddings:
            self.output = nnx.Param(init.head * normal(rngs.params(), shape))

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
        mesh, depth = execution.mesh, self.config.depth
        rope = rope_tables(self.config, tokens.shape[1])
        x_BSW = constrain(self.embedding[...][tokens].astype(dtype), mesh, *RESIDUAL)
        graph, parameters_of_layers = nnx.split(self.layers)

        def layer(x_BSW: Array, parameters: nnx.State) -> tuple[Array, None]:
            return nnx.merge(graph, parameters)(x_BSW, rope, execution), None

        unrolled = depth <= UNROLL_DEPTH
        body = rematerialised(layer, execution.remat, unrolled)
        x_BSW, _ = jax.lax.scan(body, x_BSW, parameters_of_layers, unroll=depth if unrolled else 1)
        return rms_norm(x_BSW, constrain(self.norm[...], mesh, None), self.config.norm_eps)

    def logits(
        self, tokens: Int[Array, "batch seq"], dtype: jnp.dtype | type = jnp.float32
    ) -> Float[Array, "batch seq vocab"]:
        """Logits in float32, all at once: for small inputs; training uses ``loss.cross_entropy``."""
        return jnp.einsum(
            "bsw,vw->bsv", self(tokens, dtype), self.head.astype(dtype), preferred_element_type=jnp.float32
        )

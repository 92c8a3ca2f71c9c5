"""A layer of the model: attention, then the MLP."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.layers.attention import Attention
from scaling.llama.layers.mlp import MLP
from scaling.llama.layers.primitives import rms_norm
from scaling.llama.layers.rope import RopeTables
from scaling.llama.sharding import BATCH, PLAIN, TENSOR, Execution, constrain

# The residual stream between the blocks: each tensor device keeps a share of the positions (2205.05198).
RESIDUAL = (BATCH, TENSOR, None)


class Block(nnx.Module):
    """A pre-norm layer: attention and SwiGLU, each on a normalised copy of the residual stream.

    It is made with the parameters of all layers, along a first axis of length ``depth``, and called with those of one.
    """

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.norm_eps = config.norm_eps
        self.attention_norm = nnx.Param(jnp.ones((config.depth, config.width)))
        self.attention = Attention(config, init, rngs=rngs)
        self.ffn_norm = nnx.Param(jnp.ones((config.depth, config.width)))
        self.mlp = MLP(config, init, rngs=rngs)

    def __call__(
        self, x_BSW: Float[Array, "batch seq width"], rope: RopeTables, execution: Execution = PLAIN
    ) -> Float[Array, "batch seq width"]:
        mesh = execution.mesh
        normed_BSW = rms_norm(x_BSW, constrain(self.attention_norm[...], mesh, None), self.norm_eps)
        x_BSW = constrain(x_BSW + self.attention(normed_BSW, rope, execution), mesh, *RESIDUAL)
        normed_BSW = rms_norm(x_BSW, constrain(self.ffn_norm[...], mesh, None), self.norm_eps)
        return constrain(x_BSW + self.mlp(normed_BSW, execution), mesh, *RESIDUAL)

"""The SwiGLU block (2002.05202)."""

import jax
from flax import nnx
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.layers.initializers import matrices
from scaling.llama.layers.primitives import swiglu
from scaling.llama.sharding import PLAIN, Execution, join, project


class MLP(nnx.Module):
    """SwiGLU between two projections, made with the parameters of all layers and called with those of one.

    Parameters, each with a first axis of layers: ``gate_up`` (W, 2 F), the two matrices side by side; ``down`` (F, W).
    """

    def __init__(self, config: LlamaConfig, init: Init, *, rngs: nnx.Rngs) -> None:
        self.ffn = config.ffn
        depth, width, ffn = config.depth, config.width, config.ffn
        self.gate_up = matrices(rngs, depth, (width, 2 * ffn), init.std(width))
        self.down = matrices(rngs, depth, (ffn, width), init.std(ffn), init.residual)

    def __call__(
        self, x_BSW: Float[Array, "batch seq width"], execution: Execution = PLAIN
    ) -> Float[Array, "batch seq width"]:
        mesh = execution.mesh
        gate_BSF, up_BSF = project(x_BSW, self.gate_up[...].astype(x_BSW.dtype), (self.ffn, self.ffn), mesh)
        # On a mesh the gradients lie as gate and up do, on their own devices: side by side they would be sent around.
        inner_BSF = swiglu(gate_BSF, up_BSF) if mesh is None else jax.nn.silu(gate_BSF) * up_BSF
        return join(inner_BSF, self.down[...].astype(x_BSW.dtype), mesh)

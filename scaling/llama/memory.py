"""Memory of a training step by arithmetic, bytes a device: parameters, gradients, the optimizer's moments, activations.

Activations are an estimate: a compiler fuses and reorders as it likes. Tensors of at least a token's width are counted,
scalars per token are not.
"""

from dataclasses import dataclass
from typing import Literal

from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.parallelism import CHUNK_LOGITS, Parallelism, Remat

_FP32 = 4
_ITEMSIZE = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class TrainingBytes:
    """Bytes on one device at the peak of a training step.

    Attributes:
        params: in float32.
        optimizer: AdamW's two moments, in float32; under Muon one of the layers' matrices, and two of all else.
        gradients: in float32.
        activations: stored for the backward pass, those of the current layer and logits, and gathered parameters.
    """

    params: int
    optimizer: int
    gradients: int
    activations: int

    @property
    def state(self) -> int:
        """Bytes of parameters, moments and gradients."""
        return self.params + self.optimizer + self.gradients

    @property
    def total(self) -> int:
        """Bytes of state and activations."""
        return self.state + self.activations


ALONE = Parallelism()


def training_bytes(
    config: LlamaConfig,
    batch: int,
    dtype: str = "float32",
    parallelism: Parallelism = ALONE,
    remat: Remat = "none",
    flash: bool = False,
    microbatches: int = 1,
    optimizer: Literal["adamw", "muon"] = "adamw",
) -> TrainingBytes:
    """Memory of one training step.

    Args:
        config: the model, on sequences of ``config.seq_len`` tokens.
        batch: sequences that a device computes at once, alone or together with those of its tensor group.
        dtype: of activations and matrix products; ``float32`` or ``bfloat16``.
        parallelism: over which devices the step is split.
        remat: what of each layer is computed again in the backward pass.
        flash: attention in a fused kernel, which keeps no scores (2205.14135).
        microbatches: batches whose gradients are added up in a step; with several, memory holds both their sum and
            the gradients of one.
        optimizer: its name.

    Returns:
        Bytes on each device; without sharding 16 a parameter with AdamW, and activations.
    """
    counts, shards = count_params(config), parallelism.state_shards
    params = _FP32 * counts.total // shards
    matrices = _FP32 * config.depth * counts.per_layer_matmul // shards
    return TrainingBytes(
        params=params,
        optimizer=2 * params - (matrices if optimizer == "muon" else 0),
        gradients=params if microbatches == 1 else 2 * params,
        activations=_activations(config, batch, _ITEMSIZE[dtype], parallelism, remat, flash),
    )


def _activations(
    config: LlamaConfig, batch: int, itemsize: int, parallelism: Parallelism, remat: Remat, flash: bool
) -> int:
    tokens, tensor = batch * config.seq_len, parallelism.tensor
    layer = tokens * activation_bytes_per_token(config, itemsize, flash) // tensor
    entering = config.depth * tokens * config.width * itemsize // tensor
    kept = config.depth * layer
    if remat != "none":  # of all layers a part, and one whole
        products = config.depth * tokens * _products_per_token(config, itemsize) // tensor
        kept = entering + layer + (products if remat == "selective" else 0)
    if tensor > 1:
        # What a block reads, gathered, and what it writes, before it is scattered.
        kept += 2 * tokens * config.width * itemsize
    # A chunk of logits and its gradient.
    kept += 2 * _FP32 * min(tokens * config.vocab // tensor, CHUNK_LOGITS)
    if parallelism.fsdp > 1:
        # Parameters that are whole on a device: a layer at work and the next; the head, and its gradient.
        kept += 2 * itemsize * (count_params(config).per_layer + config.vocab * config.width) // tensor
    return kept


def _products_per_token(config: LlamaConfig, itemsize: int) -> int:
    """Bytes per token of one layer's projections, which selective remat stores for the backward pass."""
    return itemsize * (config.attention_width + config.width + 2 * config.kv_width + 2 * config.ffn)


def activation_bytes_per_token(config: LlamaConfig, itemsize: int, flash: bool) -> int:
    """Bytes per token of the activations of one layer that its backward pass reads.

    The residual stream before both blocks, twice normalised and scaled; queries, keys, values, and what is mixed of
    them, by head and joined; in SwiGLU the gate, its sigmoid, their product, what comes up, and the product
    of both. Without a fused kernel also a float32 score for every position attended to.
    """
    dense = 6 * config.width + 3 * config.attention_width + 2 * config.kv_width + 5 * config.ffn
    scores = 0 if flash else _FP32 * config.heads * config.seq_len
    return itemsize * dense + scores

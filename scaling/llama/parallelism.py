"""The split of a Llama's training step over devices: the sizes of the mesh's axes.

- ``data`` replicas each take their own sequences, and average their gradients;
- ``fsdp`` devices also take their own sequences, but keep the parameters and their moments in shards, and gather a
  layer when it is computed (2304.11277);
- ``tensor`` devices share their sequences, and compute a share of the heads, of the ffn and of the vocabulary each
  (1909.08053); between the layers each keeps a share of the positions (2205.05198).
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig

AXES = ("data", "fsdp", "tensor")
# What of a layer is computed again in the backward pass (1604.06174): nothing; all but the outputs of its projections;
# or all, so that only what enters the layer is kept.
Remat: TypeAlias = Literal["none", "selective", "full"]
# Logits held at once in the loss, of the tokens of one device: 2^25 floats are 128 MiB.
CHUNK_LOGITS = 2**25
# Queries and keys at a time in a TPU's attention kernel: the largest that divides the sequence.
SPLASH_BLOCKS = (512, 256, 128)


@dataclass(frozen=True)
class Parallelism:
    """Numbers of devices along the axes of the mesh."""

    data: int = 1
    fsdp: int = 1
    tensor: int = 1

    @property
    def devices(self) -> int:
        """Number of devices of the mesh."""
        return self.data * self.fsdp * self.tensor

    @property
    def batch_shards(self) -> int:
        """Number of parts that a batch is split into."""
        return self.data * self.fsdp

    @property
    def state_shards(self) -> int:
        """Number of parts that parameters, gradients and moments are split into."""
        return self.fsdp * self.tensor

    def violations(self, config: LlamaConfig) -> list[str]:
        """One line for each of the model's axes that cannot be split so; none if all can."""
        split = (
            ("width", config.width, "fsdp * tensor", self.state_shards),
            ("heads", config.heads, "tensor", self.tensor),
            ("kv_heads", config.kv_heads, "tensor", self.tensor),
            ("ffn", config.ffn, "tensor", self.tensor),
            ("vocab", config.vocab, "tensor", self.tensor),
            ("seq_len", config.seq_len, "tensor", self.tensor),
        )
        return [f"{name} {size} is not a multiple of {by} {parts}" for name, size, by, parts in split if size % parts]

    def __post_init__(self) -> None:
        sizes = zip(AXES, (self.data, self.fsdp, self.tensor), strict=True)
        violations = [f"{axis} is {size}; it must be a positive whole number" for axis, size in sizes if size < 1]
        if violations:
            raise InputError(violations)

"""The distribution of a Llama's initial weights."""

import math
from dataclasses import dataclass


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

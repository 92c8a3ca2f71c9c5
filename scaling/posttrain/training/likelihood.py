"""The likelihood of whole answers: log-probabilities of the tokens that count, added up on the host."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from scaling.data.answers.rows import Ids
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import whole
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.rewards.rewarding import padded_rows
from scaling.posttrain.training.logprob import logprobs_program
from scaling.posttrain.training.placement import place_rows
from scaling.train.optimizer import Parameters

# Rows of a compiled call.
_ROWS = 64


class Likelihoods(NamedTuple):
    """Of each row.

    Attributes:
        logprobs: of its tokens that count, summed, nats.
        tokens: that count.
    """

    logprobs: Float64[np.ndarray, " rows"]
    tokens: Float64[np.ndarray, " rows"]


def likelihoods(
    model: LlamaConfig,
    parameters: Parameters,
    rows: Sequence[Ids],
    counted: Sequence[Bool[np.ndarray, " _tokens"]],
    dtype: str,
    execution: Execution = PLAIN,
) -> Likelihoods:
    """The log-probability of each row's tokens that count, the same alone and among others.

    Args:
        model: the model's shape.
        parameters: on a mesh laid out as ``stored`` says.
        rows: prompts and answers.
        counted: which tokens of a row count.
        dtype: of activations and matrix products.
        execution: attention and the mesh.

    Raises:
        InputError: a row is empty, or longer than the model's context.
    """
    program, mesh = logprobs_program(model, dtype, execution), execution.mesh
    sums = np.zeros(len(rows), np.float64)
    for numbers, tokens, _ in padded_rows(rows, model.seq_len, _ROWS * axis_size(mesh, BATCH)):
        found = whole(program(parameters, place_rows(tokens, mesh))).astype(np.float64)
        for at, number in enumerate(numbers):
            sums[number] = found[at, : len(rows[number])][counted[number]].sum()
    return Likelihoods(sums, np.array([counts.sum() for counts in counted], np.float64))

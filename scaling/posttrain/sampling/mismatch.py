"""The log-probabilities of the sampler beside those of the learner: equal, or the answers are refused.

Where they differ, what is sampled from is not what is trained: another temperature, top-p, or old weights.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import whole
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.sampling.answers import Answers
from scaling.posttrain.sampling.sampler import ROWS
from scaling.posttrain.training.logprob import logprobs_program
from scaling.posttrain.training.placement import place_rows
from scaling.train.optimizer import Parameters

# Of one token's log-probability, nats, where both compute in float32.
MOST = 1e-4
# Of the mean over tokens, where the sampler is another program, or half precision rounds both.
MOST_MEAN = 0.05


class Difference(NamedTuple):
    """How far the log-probabilities of sampler and learner are apart, over the tokens of answers, nats."""

    greatest: float
    mean: float


def learner_logprobs(
    model: LlamaConfig,
    parameters: Parameters,
    answers: Answers,
    *,
    temperature: float = 1.0,
    dtype: str = "float32",
    execution: Execution = PLAIN,
    batch: int = ROWS,
) -> Float32[np.ndarray, "rows seq"]:
    """The learner's log-probability of every token of the answers, nats; 0 at prompts and padding.

    Args:
        model, parameters: the learner's.
        answers: of any sampler.
        temperature: that the logits are divided by; not 0.
        dtype: of activations and matrix products.
        execution: attention and the mesh.
        batch: rows of a compiled call.
    """
    mesh = execution.mesh
    batch += -batch % axis_size(mesh, BATCH)
    program = logprobs_program(model, dtype, execution, temperature)
    rows, seq = answers.tokens.shape
    padded = np.zeros((rows + -rows % batch, seq), np.int32)
    padded[:rows] = answers.tokens
    parts = [program(parameters, place_rows(padded[first : first + batch], mesh)) for first in range(0, rows, batch)]
    logprobs = np.concatenate([whole(part) for part in parts])[:rows]
    return np.where(answers.counted, logprobs, np.float32(0)).astype(np.float32)


def logprobs_difference(answers: Answers, logprobs: Float32[np.ndarray, "rows seq"]) -> Difference:
    """How far the sampler's log-probabilities are from those of the learner; 0 where no answer has a token."""
    apart = np.abs(answers.logprobs.astype(np.float64) - logprobs)[answers.counted]
    return Difference(float(apart.max()), float(apart.mean())) if apart.size else Difference(0.0, 0.0)


def check_logprobs(answers: Answers, logprobs: Float32[np.ndarray, "rows seq"], dtype: str = "float32") -> Difference:
    """The difference, where sampler and learner are of one model.

    Args:
        answers: of our own sampler.
        logprobs: of the learner, as ``learner_logprobs`` gives them.
        dtype: of both. In half precision, which rounds the two in different orders, the mean alone is held to a bound.

    Raises:
        InputError: they are further apart than rounding explains.
    """
    difference = logprobs_difference(answers, logprobs)
    value, most, of = (
        (difference.greatest, MOST, "a token's log-probability differs")
        if dtype == "float32"
        else (difference.mean, MOST_MEAN, "log-probabilities of tokens differ in the mean")
    )
    if not value < most:  # nor where it is not a number
        raise InputError(
            f"{of} by {value:.2g} nats between sampler and learner, and {most:g} is the most: the answers are not of "
            "the model that is trained (temperature, top-p or parameters differ)"
        )
    return difference

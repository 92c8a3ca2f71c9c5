"""Log-probabilities of tokens, scores of answers and values of positions, on rows padded right.

Under causal attention what stands behind the end of a row reaches nothing before it, so no mask is needed; what is
computed at padding is to be left out by the caller.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from scaling.llama.config import LlamaConfig
from scaling.llama.loss import cross_entropy
from scaling.llama.model import Llama
from scaling.llama.parameters import llama_with
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import SCORE
from scaling.posttrain.stage import Model
from scaling.train.optimizer import Parameters

Rows = Int[Array, "batch seq"]
Logprobs = Callable[[Parameters, Rows], Float[Array, "batch seq"]]
Scores = Callable[[Parameters, Rows, Int[Array, "batch"]], Float[Array, "batch"]]
Values = Callable[[Parameters, Rows], Float[Array, "batch seq"]]


def policy_parameters(model: Model) -> Parameters:
    """The parameters of a Llama as ``nnx.split`` makes them."""
    arrays = {name: array for name, array in model.parameters.items() if name != SCORE}
    return nnx.split(llama_with(model.config, arrays))[1]


def reward_parameters(model: Model) -> Parameters:
    """The parameters of a reward model or critic: ``{"llama": ..., "score": (width,)}``; a head not there is zero."""
    head = model.parameters.get(SCORE, np.zeros(model.config.width, np.float32))
    return {"llama": policy_parameters(model), SCORE: jnp.asarray(head, jnp.float32)}


def make_logprobs(model: LlamaConfig, dtype: str, execution: Execution = PLAIN, temperature: float = 1.0) -> Logprobs:
    """(parameters, tokens) -> the log-probability of each token given those before it, nats, float32; 0 for the first.

    Args:
        model: the model's shape.
        dtype: of activations and matrix products.
        execution: remat, attention and the mesh.
        temperature: that the logits are divided by.
    """
    graph = _graph(model)

    def logprobs(parameters: Parameters, tokens: Rows) -> Float[Array, "batch seq"]:
        llama = nnx.merge(graph, parameters)
        hidden = llama(tokens, jnp.dtype(dtype), execution)
        if temperature != 1.0:
            hidden = hidden / temperature
        # The last position predicts nothing; all are computed, as a mesh splits the positions evenly.
        following = jnp.roll(tokens, -1, axis=1)
        return jnp.roll(-cross_entropy(hidden, llama.head, following, execution.mesh), 1, axis=1).at[:, 0].set(0.0)

    return logprobs


def make_values(model: LlamaConfig, dtype: str, execution: Execution = PLAIN) -> Values:
    """(parameters of a reward model or critic, tokens) -> its scalar head at every position, float32."""
    graph = _graph(model)

    def values(parameters: Parameters, tokens: Rows) -> Float[Array, "batch seq"]:
        hidden = nnx.merge(graph, parameters["llama"])(tokens, jnp.dtype(dtype), execution)
        return hidden.astype(jnp.float32) @ parameters[SCORE]

    return values


def make_scores(model: LlamaConfig, dtype: str, execution: Execution = PLAIN) -> Scores:
    """(parameters of a reward model, tokens, lengths) -> the score of each row, at its last token, float32."""
    values = make_values(model, dtype, execution)

    def scores(parameters: Parameters, tokens: Rows, lengths: Int[Array, "batch"]) -> Float[Array, "batch"]:
        return jnp.take_along_axis(values(parameters, tokens), lengths[:, None] - 1, axis=1)[:, 0]

    return scores


@functools.cache
def _graph(model: LlamaConfig) -> Any:
    return nnx.split(nnx.eval_shape(lambda: Llama(model, rngs=nnx.Rngs(0))))[0]


@functools.cache
def logprobs_program(model: LlamaConfig, dtype: str, execution: Execution = PLAIN, temperature: float = 1.0) -> Any:
    """``make_logprobs``, compiled and shared."""
    return jax.jit(make_logprobs(model, dtype, execution, temperature))


@functools.cache
def scores_program(model: LlamaConfig, dtype: str, execution: Execution = PLAIN) -> Any:
    """``make_scores``, compiled and shared."""
    return jax.jit(make_scores(model, dtype, execution))

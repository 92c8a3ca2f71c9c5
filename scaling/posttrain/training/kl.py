"""How far a policy has gone from its reference: the exact KL divergence of every token, and its sampled estimate.

The KL divergence of two policies' answers, nats an answer, is the mean over the policy's own answers of the sum over
an answer's tokens of either one. The exact one has less variance, and is never negative.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from scaling.llama.config import LlamaConfig
from scaling.llama.loss import in_chunks
from scaling.llama.model import Llama
from scaling.llama.sharding import PLAIN, TENSOR, Execution, constrain
from scaling.train.optimizer import Parameters


class Divergence(NamedTuple):
    """Of each token's distribution given the tokens before it, nats, float32; 0 for the first token.

    Attributes:
        kl: KL(policy || reference).
        entropy: of the policy.
        reference: log-probability of the token itself by the reference.
    """

    kl: Float[Array, "batch seq"]
    entropy: Float[Array, "batch seq"]
    reference: Float[Array, "batch seq"]


Divergences = Callable[[Parameters, Parameters, Int[Array, "batch seq"]], Divergence]


def make_divergences(
    model: LlamaConfig, dtype: str, execution: Execution = PLAIN, temperature: float = 1.0
) -> Divergences:
    """(parameters of the policy, of the reference, tokens) -> the divergence at every token.

    Args:
        model: the shape of both.
        dtype: of activations and matrix products.
        execution: remat, attention and the mesh.
        temperature: that the logits of both are divided by.
    """
    graph = nnx.split(nnx.eval_shape(lambda: Llama(model, rngs=nnx.Rngs(0))))[0]

    def divergences(parameters: Parameters, reference: Parameters, tokens: Int[Array, "batch seq"]) -> Divergence:
        policy, other = nnx.merge(graph, parameters), nnx.merge(graph, reference)
        mine, theirs = (llama(tokens, jnp.dtype(dtype), execution) / temperature for llama in (policy, other))
        following = jnp.roll(tokens, -1, axis=1)
        made = exact(mine, theirs, policy.head, other.head, following, execution.mesh)
        return Divergence(*(jnp.roll(x, 1, axis=1).at[:, 0].set(0.0) for x in made))

    return divergences


def exact(
    hidden: Float[Array, "batch seq width"],
    other: Float[Array, "batch seq width"],
    head: Float[Array, "vocab width"],
    other_head: Float[Array, "vocab width"],
    targets: Int[Array, "batch seq"],
    mesh: Mesh | None = None,
) -> Divergence:
    """The divergence of what follows each position, never holding the logits of more than a chunk of tokens.

    Args:
        hidden, other: outputs of the policy and of the reference.
        head, other_head: their output heads.
        targets: the token that follows each position.
        mesh: as of ``scaling.llama.loss.cross_entropy``.
    """
    heads = [constrain(matrix.astype(hidden.dtype), mesh, TENSOR, None) for matrix in (head, other_head)]

    def of_tokens(hidden: Array, other: Array, targets: Array) -> Divergence:
        logits = (
            jnp.einsum("...w,vw->...v", x, matrix, preferred_element_type=jnp.float32)
            for x, matrix in zip((hidden, other), heads, strict=True)
        )
        policy, reference = (jax.nn.log_softmax(x, axis=-1) for x in logits)
        shares = jnp.exp(policy)
        chosen = jnp.take_along_axis(reference, targets[..., None], axis=-1)[..., 0]
        return Divergence(_nonnegative_terms(policy, reference, shares).sum(-1), -(shares * policy).sum(-1), chosen)

    divergence: Divergence = in_chunks(of_tokens, len(head), mesh, hidden, other, targets)
    return divergence


def _nonnegative_terms(policy: Array, reference: Array, shares: Array) -> Array:
    """Terms q - p + p log(p / q): their sum is the KL divergence too, and rounding cannot make it negative."""
    apart = policy - reference
    near = jnp.clip(apart, -1.0, 1.0)  # where q is far above p, q / p overflows
    close = shares * (jnp.expm1(-near) + near)
    return jnp.maximum(jnp.where(jnp.abs(apart) < 1, close, jnp.exp(reference) - shares + shares * apart), 0.0)


def k1(logprobs: Float[Array, "batch seq"], reference: Float[Array, "batch seq"]) -> Float[Array, "batch seq"]:
    """The estimate of each token's KL divergence from the token sampled: log(policy / reference), of either sign.

    Its mean over the policy's own tokens is the KL divergence, but the mean of its gradient is 0: it belongs in the
    reward, never in a loss.
    """
    return logprobs - reference


@functools.cache
def divergences_program(model: LlamaConfig, dtype: str, execution: Execution = PLAIN, temperature: float = 1.0) -> Any:
    """``make_divergences``, compiled and shared."""
    return jax.jit(make_divergences(model, dtype, execution, temperature))

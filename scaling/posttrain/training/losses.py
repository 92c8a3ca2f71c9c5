"""Losses of the stages, on arrays alone: sums over rows, which whoever has the whole batch divides once."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32

DpoKind = Literal["sigmoid", "ipo", "hinge"]
MarginKind = Literal["none", "small", "large"]
# Llama 2's margins of a rating of 0 (negligibly better) to 3 (significantly better): 2307.09288, table 27.
MARGINS: dict[MarginKind, tuple[float, float, float, float]] = {
    "none": (0.0, 0.0, 0.0, 0.0),
    "small": (0.0, 1 / 3, 2 / 3, 1.0),
    "large": (0.0, 1.0, 2.0, 3.0),
}


def answer_sums(
    logprobs: Float[Array, "batch seq"], counted: Bool[Array, "batch seq"]
) -> tuple[Float[Array, "batch"], Float[Array, "batch"]]:
    """Each row's log-probability and number of the tokens that count, whatever stands at the others.

    Args:
        logprobs: of each token given those before it, nats.
        counted: the answer's tokens, its end included.
    """
    return jnp.where(counted, logprobs, 0.0).sum(axis=1), counted.sum(axis=1).astype(jnp.float32)


def nll_sum(
    logprobs: Float[Array, "batch seq"], counted: Bool[Array, "batch seq"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """The negative log-likelihood of the tokens that count, nats, and their number: both sums over the batch.

    Arguments as of :func:`answer_sums`.
    """
    sums, counts = answer_sums(logprobs, counted)
    return -sums.sum(), counts.sum()


def bradley_terry(
    chosen: Float[Array, "pairs"],
    rejected: Float[Array, "pairs"],
    margins: Float[Array, "pairs"] | float = 0.0,
    centring: float = 0.0,
) -> Float[Array, "pairs"]:
    """A reward model's loss of each pair: -log sigmoid(chosen - rejected - margin) + centring (chosen + rejected)^2.

    Args:
        chosen, rejected: scores of both answers.
        margins: by which the chosen answer is to lead (2307.09288).
        centring: coefficient of the term that keeps scores near 0 (2312.09244).
    """
    return -jax.nn.log_sigmoid(chosen - rejected - margins) + centring * (chosen + rejected) ** 2


def margins(ratings: Float32[np.ndarray, " pairs"], kind: MarginKind) -> Float32[np.ndarray, " pairs"]:
    """Llama 2's margins of pairs, linear between its four ratings; 0 where nobody has rated.

    Args:
        ratings: 0 (negligibly better) to 3 (significantly better); NaN where nobody has said.
        kind: which of ``MARGINS``.
    """
    found = np.interp(np.nan_to_num(ratings), np.arange(4), MARGINS[kind])
    return found.astype(np.float32)


def dpo_loss(
    chosen: Float[Array, "pairs"],
    rejected: Float[Array, "pairs"],
    beta: float,
    kind: DpoKind = "sigmoid",
    lengths: tuple[Float[Array, "pairs"], Float[Array, "pairs"]] | None = None,
) -> Float[Array, "pairs"]:
    """The loss of each pair by the log-ratios of its answers.

    - ``sigmoid``: -log sigmoid(beta (chosen - rejected)) (2305.18290);
    - ``hinge``: max(0, 1 - beta (chosen - rejected)) (2305.10425);
    - ``ipo``: (chosen / its tokens - rejected / its tokens - 1 / (2 beta))^2 (2310.12036). The log-ratios are means
      over tokens, as its authors' results are by TRL's account; sums would weigh long answers otherwise than short.

    Args:
        chosen, rejected: log-probability of the answer by the policy less that by the reference, over all its tokens.
        beta: of the implied reward; tau of IPO.
        kind: of the loss.
        lengths: tokens that count of the chosen and rejected answers; only ``ipo`` reads them, and needs them.
    """
    if kind == "ipo":
        if lengths is None:
            raise ValueError("IPO needs the answers' lengths")
        of_chosen, of_rejected = (jnp.maximum(length, 1.0) for length in lengths)
        return (chosen / of_chosen - rejected / of_rejected - 1 / (2 * beta)) ** 2
    if kind == "hinge":
        return jax.nn.relu(1 - beta * (chosen - rejected))
    return -jax.nn.log_sigmoid(beta * (chosen - rejected))


def dpo_loss_at_start(beta: float, kind: DpoKind) -> float:
    """The loss of every pair while the policy is the reference."""
    return {"sigmoid": float(np.log(2.0)), "hinge": 1.0, "ipo": 1 / (4 * beta**2)}[kind]

"""One reward of a helpful and a safe model, as Llama 2 has it (2307.09288, section 3.2.3)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int

from scaling.errors import InputError
from scaling.posttrain.rewards.rewarding import RewardScorer

UNSAFE = 0.15
"""The probability of being safe below which safety decides, whatever the prompt."""
_LEAST = 1e-6  # of a probability and of its complement, so that the logit is finite

Scores = Float[np.ndarray, " rows"]
Rewards = Float64[np.ndarray, " rows"]
Rows = Bool[np.ndarray, " rows"]


class Combined(NamedTuple):
    """Combined rewards.

    Attributes:
        rewards: the logit of the probability that was taken.
        by_safety: which rows the safety model has decided.
    """

    rewards: Rewards
    by_safety: Rows


def combine(
    helpfulness: Scores, safety: Scores, safety_prompts: Rows | None = None, threshold: float = UNSAFE
) -> Combined:
    """The safety model's reward where the prompt is one of safety or the answer is likely unsafe; else the other's.

    A reward model's score is the logit of a probability, by the sigmoid of its loss. Llama 2 compares probabilities
    and then takes the logit again; :func:`whiten` follows, and in PPO the penalty beta log(pi / pi_0).

    Args:
        helpfulness, safety: scores of both models.
        safety_prompts: whether the prompt is tagged as one that may bring forth an unsafe answer; None if none is.
        threshold: of the probability that the safety model gives.
    """
    safe = _sigmoid(safety)
    tagged = np.zeros(len(safety), bool) if safety_prompts is None else safety_prompts
    by_safety = tagged | (safe < threshold)
    probability = np.clip(np.where(by_safety, safe, _sigmoid(helpfulness)), _LEAST, 1 - _LEAST)
    return Combined(np.log(probability) - np.log1p(-probability), by_safety)


def whiten(rewards: Rewards) -> Rewards:
    """Rewards less their mean, over their standard deviation; 0 where all are the same."""
    centred = rewards - rewards.mean()
    deviation = centred.std()
    return centred / deviation if deviation > 0 else np.zeros_like(centred)


class CombinedScorer:
    """Both reward models as one, with the interface of ``RewardScorer``; rewards are not whitened.

    Args:
        helpfulness, safety: that are combined.

    Raises:
        InputError: the two have unlike vocabularies.
    """

    def __init__(self, helpfulness: RewardScorer, safety: RewardScorer) -> None:
        one, other = helpfulness.model.vocab, safety.model.vocab
        if one != other:
            raise InputError(f"the reward model has {one:,} embeddings, the safety model {other:,}")
        self._helpfulness, self._safety = helpfulness, safety

    def score(
        self, tokens: Int[np.ndarray, "rows seq"], lengths: Int[np.ndarray, " rows"]
    ) -> Float32[np.ndarray, " rows"]:
        """The combined reward of each row; arguments as of ``RewardScorer.score``."""
        helpfulness, safety = self._helpfulness.score(tokens, lengths), self._safety.score(tokens, lengths)
        return combine(helpfulness, safety).rewards.astype(np.float32)


def _sigmoid(scores: Scores) -> Rewards:
    return np.exp(-np.logaddexp(0.0, -scores.astype(np.float64)))

"""Llama 2's combination of a helpful and a safe reward model, by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, make_model

from scaling.errors import InputError
from scaling.posttrain.rewards.combine import UNSAFE, CombinedScorer, combine, whiten
from scaling.posttrain.rewards.rewarding import RewardScorer


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


def test_safety_decides_below_the_threshold_and_for_its_prompts() -> None:
    """Rows: safe; unsafe; safe with a prompt of safety; just above and just below .15."""
    safety = np.array([logit(p) for p in (0.9, 0.1, 0.6, 0.1501, 0.1499)])
    helpfulness = np.array([logit(p) for p in (0.3, 0.95, 0.95, 0.7, 0.7)])
    tagged = np.array([False, False, True, False, False])
    combined = combine(helpfulness, safety, tagged)
    assert combined.by_safety.tolist() == [False, True, True, False, True]
    expected = [logit(p) for p in (0.3, 0.1, 0.6, 0.7, 0.1499)]
    np.testing.assert_allclose(combined.rewards, expected, rtol=1e-9)
    assert UNSAFE == 0.15


def test_the_threshold_is_of_a_probability() -> None:
    """The fault of taking it for a score: a score of 0 is a probability of one half, which is safe."""
    combined = combine(np.array([2.0, 2.0]), np.array([0.0, 0.1]))
    assert combined.by_safety.tolist() == [False, False]
    np.testing.assert_allclose(combined.rewards, 2.0, rtol=1e-9)
    assert combine(np.array([2.0]), np.array([-1.8])).by_safety.tolist() == [True]  # .142


def test_rewards_stay_finite() -> None:
    rewards = combine(np.array([1e4, -1e4, 5.0]), np.array([1e4, 1e4, -1e4])).rewards
    np.testing.assert_allclose(rewards, [logit(1 - 1e-6), logit(1e-6), logit(1e-6)], rtol=1e-6)


def test_whitened_rewards_have_mean_0_and_deviation_1() -> None:
    np.testing.assert_allclose(whiten(np.array([1.0, 3.0, 5.0])), np.array([-1, 0, 1]) * math.sqrt(1.5))
    assert whiten(np.full(4, 2.5)).tolist() == [0.0] * 4


def test_two_models_as_one() -> None:
    helpful, safe = make_model(seed=1, score=True), make_model(seed=2, score=True)
    rows = list(np.random.default_rng(0).integers(1, 256, (20, 9), dtype=np.int32))
    tokens, lengths = np.zeros((len(rows), 16), np.int32), np.array([len(row) for row in rows], np.int32)
    for at, row in enumerate(rows):
        tokens[at, : len(row)] = row
    scorers = RewardScorer(helpful), RewardScorer(safe)
    alone = [scorer.score(tokens, lengths) for scorer in scorers]
    both = CombinedScorer(*scorers).score(tokens, lengths)
    by_safety = alone[1] < logit(UNSAFE)
    assert 0 < by_safety.sum() < len(rows)
    np.testing.assert_allclose(both, np.where(by_safety, alone[1], alone[0]), atol=1e-4)


def test_unlike_vocabularies_are_refused() -> None:
    other = make_model(replace(MODEL, vocab=300), score=True)
    with pytest.raises(InputError, match="the reward model has 256 embeddings, the safety model 300"):
        CombinedScorer(RewardScorer(make_model(score=True)), RewardScorer(other))

"""The log-probability of a sequence is its own: the same alone, in any batch and under any padding."""

import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, ids_of, make_model

from scaling.data.answers.rows import Ids
from scaling.llama import loss
from scaling.posttrain.training.likelihood import likelihoods
from scaling.posttrain.training.logprob import make_logprobs, policy_parameters

PARAMETERS = policy_parameters(make_model(scale=3.0))
ROWS = [ids_of(text) for text in ("a", "be", "the quick brown fox", "\0\0\0", "a" * 48, "of the people, by the people")]


def padded_to(rows: list[Ids], length: int, left: bool = False, fill: int = 0) -> np.ndarray:
    tokens = np.full((len(rows), length), fill, np.int32)
    for at, row in enumerate(rows):
        tokens[at, slice(length - len(row), None) if left else slice(len(row))] = row
    return tokens


def sums(tokens: np.ndarray, rows: list[Ids], left: bool = False) -> np.ndarray:
    """The log-probability of each row's tokens but the first."""
    found = np.asarray(make_logprobs(MODEL, "float32")(PARAMETERS, jnp.asarray(tokens)), np.float64)
    at = [np.arange(1, len(row)) + (tokens.shape[1] - len(row) if left else 0) for row in rows]
    return np.array([own[where].sum() for own, where in zip(found, at, strict=True)])


def alone() -> np.ndarray:
    return np.array([sums(row[None], [row])[0] for row in ROWS])


@pytest.mark.parametrize("fill", [0, 32, 255])
def test_padding_and_batch_change_nothing(fill: int) -> None:
    together = sums(padded_to(ROWS, 48, fill=fill), ROWS)
    np.testing.assert_allclose(together, alone(), rtol=1e-6, atol=1e-6)


def test_left_padding_would_be_seen() -> None:
    wrong = sums(padded_to(ROWS, 48, left=True), ROWS, left=True)
    assert np.abs(wrong - alone())[[1, 2, 5]].min() > 1e-3


def test_likelihoods_are_those_of_the_rows_alone() -> None:
    counted = [np.arange(len(row)) >= 1 for row in ROWS]
    found = likelihoods(MODEL, PARAMETERS, ROWS, counted, "float32")
    np.testing.assert_allclose(found.logprobs, alone(), rtol=1e-6, atol=1e-6)
    assert found.tokens.tolist() == [len(row) - 1 for row in ROWS]
    order = [3, 5, 0, 4, 1, 2]
    again = likelihoods(MODEL, PARAMETERS, [ROWS[at] for at in order], [counted[at] for at in order], "float32")
    np.testing.assert_allclose(again.logprobs, found.logprobs[order], rtol=1e-6, atol=1e-6)


def test_they_are_logarithms_of_probabilities() -> None:
    prompt = ids_of("ab")
    tokens = np.stack([np.append(prompt, np.int32(token)) for token in range(MODEL.vocab)])
    for temperature in (1.0, 0.5):
        found = np.asarray(make_logprobs(MODEL, "float32", temperature=temperature)(PARAMETERS, jnp.asarray(tokens)))
        assert np.exp(found[:, 2].astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-5)
        assert not found[:, 0].any()


def test_chunks_of_logits_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sums(padded_to(ROWS, 48), ROWS)
    monkeypatch.setattr(loss, "CHUNK_LOGITS", 1000)
    np.testing.assert_allclose(sums(padded_to(ROWS, 48), ROWS), whole, rtol=1e-6)

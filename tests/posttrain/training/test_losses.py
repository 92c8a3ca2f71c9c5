"""The losses by hand, and which logits they touch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array
from posttraining.tiny_rewards import MODEL, make_model
from posttraining.tiny_stages import example_of

from scaling.data.answers.padded import padded
from scaling.data.answers.rows import Padded
from scaling.posttrain.sft import make_objective
from scaling.posttrain.training import logprob
from scaling.posttrain.training.logprob import policy_parameters
from scaling.posttrain.training.losses import MARGINS, bradley_terry, dpo_loss, dpo_loss_at_start, margins, nll_sum

ROWS = padded([example_of("abcdef", "xyz"), example_of("a", "xy", end=False), example_of("abc", "")], 4, MODEL.seq_len)


def touched(batch: Padded, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Where the loss of a batch has a gradient by the logits: (row, position of the token that they predict)."""
    moved = jnp.zeros((*batch.tokens.shape, MODEL.vocab))

    def loss(moved: Array) -> Array:
        def cross_entropy(hidden: Array, head: Array, targets: Array, _mesh: None) -> Array:
            logits = jax.nn.log_softmax(jnp.einsum("bsw,vw->bsv", hidden, head) + moved)
            return -jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]

        monkeypatch.setattr(logprob, "cross_entropy", cross_entropy)
        return make_objective(MODEL, "float32")(policy_parameters(make_model()), batch).loss

    by_position = np.abs(np.asarray(jax.grad(loss)(moved))).max(axis=-1)
    assert not by_position[:, -1].any()  # nothing follows the last
    return np.roll(by_position, 1, axis=1) > 0


def test_only_logits_of_completions_and_their_ends_are_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    found = touched(ROWS, monkeypatch)
    expected = np.zeros_like(found)
    expected[0, 6:10] = True  # "xyz" and the end
    expected[1, 1:3] = True  # cut off: no end
    expected[2, 3:4] = True  # the end alone
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("fault", ["prompt", "shifted", "no-end"])
def test_a_wrong_mask_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = touched(ROWS, monkeypatch)
    at = np.arange(ROWS.tokens.shape[1])
    wrong = {
        "prompt": at < ROWS.lengths[:, None],
        "shifted": np.roll(ROWS.counted, 1, axis=1),
        "no-end": ROWS.counted & (ROWS.tokens != 0),
    }[fault]
    assert not np.array_equal(touched(ROWS._replace(counted=wrong), monkeypatch), right)


def test_what_stands_at_padding_does_not_matter() -> None:
    logprobs, counted = jnp.array([[0.0, -1.0, -2.0], [0.0, -3.0, -jnp.inf]]), jnp.array([[0, 1, 1], [0, 1, 0]], bool)
    loss, count = nll_sum(logprobs, counted)
    assert (float(loss), float(count)) == (6.0, 3.0)
    assert np.isfinite(jax.grad(lambda x: nll_sum(x, counted)[0])(logprobs)).all()


def test_bradley_terry_by_hand() -> None:
    chosen, rejected = jnp.array([1.0, 0.0, -2.0]), jnp.array([0.0, 0.0, 3.0])
    plain = np.log1p(np.exp([-1.0, 0.0, 5.0]))
    np.testing.assert_allclose(bradley_terry(chosen, rejected), plain, rtol=1e-6)
    ahead = np.log1p(np.exp([0.0, 2.0, 8.0]))
    np.testing.assert_allclose(bradley_terry(chosen, rejected, jnp.array([1.0, 2.0, 3.0])), ahead, rtol=1e-6)
    centred = plain + 0.1 * np.array([1.0, 0.0, 1.0])
    np.testing.assert_allclose(bradley_terry(chosen, rejected, centring=0.1), centred, rtol=1e-6)
    assert np.isfinite(bradley_terry(jnp.array([-1e4]), jnp.array([1e4]))).all()


def test_margins_of_llama_2() -> None:
    ratings = np.array([3, 2, 1, 0, np.nan], np.float32)
    np.testing.assert_allclose(margins(ratings, "small"), [1, 2 / 3, 1 / 3, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(margins(ratings, "large"), [3, 2, 1, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(margins(ratings, "none"), 0.0)
    np.testing.assert_allclose(margins(np.array([0.5, 2.5], np.float32), "large"), [0.5, 2.5], rtol=1e-6)
    assert set(MARGINS) == {"none", "small", "large"}


def test_dpo_by_hand() -> None:
    chosen, rejected, beta = jnp.array([2.0, -1.0]), jnp.array([-2.0, 5.0]), 0.1
    apart = beta * np.array([4.0, -6.0])
    np.testing.assert_allclose(dpo_loss(chosen, rejected, beta), np.log1p(np.exp(-apart)), rtol=1e-6)
    np.testing.assert_allclose(dpo_loss(chosen, rejected, beta, "hinge"), 1 - apart, rtol=1e-6)
    assert float(dpo_loss(jnp.array([20.0]), jnp.array([0.0]), beta, "hinge")[0]) == 0.0
    lengths = jnp.array([4.0, 2.0]), jnp.array([1.0, 5.0])
    by_token = np.array([2 / 4 + 2 / 1, -1 / 2 - 5 / 5])
    found = dpo_loss(chosen, rejected, beta, "ipo", lengths)
    np.testing.assert_allclose(found, (by_token - 1 / (2 * beta)) ** 2, rtol=1e-6)
    with pytest.raises(ValueError, match="lengths"):
        dpo_loss(chosen, rejected, beta, "ipo")


@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo"])
def test_the_loss_of_a_policy_that_is_its_reference(kind: str) -> None:
    zero, one = jnp.zeros(3), jnp.ones(3)
    np.testing.assert_allclose(dpo_loss(zero, zero, 0.2, kind, (one, one)), dpo_loss_at_start(0.2, kind), rtol=1e-6)
    assert dpo_loss_at_start(0.2, "sigmoid") == pytest.approx(math.log(2))

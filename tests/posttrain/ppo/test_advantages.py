"""Rewards of tokens, advantages, returns and whitening: by hand, under padding, and where answers get their length."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scaling.posttrain.ppo import advantages
from scaling.posttrain.ppo.advantages import advantages_and_returns, final_scores, token_rewards, whiten
from scaling.posttrain.ppo.losses import policy_loss, value_loss
from scaling.posttrain.settings import PpoSettings

# An answer of three tokens, its end included, between a prompt of one and one of padding; what stands at padding is
# never to be read.
LIVE = jnp.array([[False, True, True, True, False]])
LOGPROBS = jnp.array([[7.0, -1.0, -2.0, -0.5, 9.0]])
REFERENCE = jnp.array([[3.0, -1.5, -1.0, -0.5, -8.0]])
VALUES = jnp.array([[5.0, 0.2, 0.4, 0.1, 6.0]])


def rewards_by_hand(last: int = 3) -> np.ndarray:
    """Score 2, coefficient 0.1: minus 0.1 times (0.5, -1, 0) of the answer's tokens, and the score at its end."""
    rewards = np.array([[0.0, -0.05, 0.1, 0.0, 0.0]])
    rewards[0, last] += 2.0
    return rewards


def test_rewards_of_five_tokens() -> None:
    found = token_rewards(jnp.array([2.0]), LOGPROBS, REFERENCE, LIVE, 0.1)
    np.testing.assert_allclose(found, rewards_by_hand(), atol=1e-6)
    # The bug: the score on a pad, where nothing reads it.
    assert not np.allclose(found, rewards_by_hand(last=4))


@pytest.mark.parametrize(
    ("gamma", "lam", "expected"),
    [
        # d = (-0.05 + 0.4 - 0.2, 0.1 + 0.1 - 0.4, 2 - 0.1) = (0.15, -0.2, 1.9).
        (1.0, 1.0, [1.85, 1.7, 1.9]),
        (1.0, 0.5, [0.15 + 0.5 * (-0.2 + 0.5 * 1.9), -0.2 + 0.5 * 1.9, 1.9]),
        # d = (-0.05 + 0.9 0.4 - 0.2, 0.1 + 0.9 0.1 - 0.4, 1.9) = (0.11, -0.21, 1.9).
        (0.9, 1.0, [0.11 + 0.9 * (-0.21 + 0.9 * 1.9), -0.21 + 0.9 * 1.9, 1.9]),
    ],
    ids=["one", "lambda", "gamma"],
)
def test_advantages_and_returns_of_five_tokens(gamma: float, lam: float, expected: list[float]) -> None:
    rewards = token_rewards(jnp.array([2.0]), LOGPROBS, REFERENCE, LIVE, 0.1)
    found, returns = advantages_and_returns(rewards, VALUES, LIVE, gamma, lam)
    np.testing.assert_allclose(found, [[0.0, *expected, 0.0]], atol=1e-6)
    np.testing.assert_allclose(returns, np.where(LIVE, found + VALUES, 0), atol=1e-6)
    if gamma == lam == 1:  # the return is the sum of the rewards to come
        np.testing.assert_allclose(returns[0, 1:4], [2.05, 2.1, 2.0], atol=1e-6)


def test_an_answer_that_does_not_end_is_penalised_and_no_other() -> None:
    scores, stopped = jnp.array([1.0, 1.0]), jnp.array([True, False])
    np.testing.assert_allclose(final_scores(scores, stopped, 0.75), [1.0, 0.25])


def test_whitened_over_live_tokens() -> None:
    random = np.random.default_rng(0)
    live = np.arange(20) < random.integers(3, 20, 16)[:, None]
    values = np.where(live, random.normal(3, 5, live.shape), 100.0).astype(np.float32)

    def moments(whitened: jax.Array) -> tuple[float, float]:
        chosen = np.asarray(whitened)[live]
        return float(chosen.mean()), float(chosen.std(ddof=1))

    found = whiten(jnp.asarray(values), jnp.asarray(live))
    np.testing.assert_allclose(moments(found), (0, 1), atol=1e-5)
    assert (np.asarray(found)[~live] == 0).all()
    over_pads = whiten(jnp.asarray(values), jnp.ones_like(live))
    assert abs(moments(over_pads)[0]) > 0.5


def padded(array: jax.Array, more: int, fill: float) -> jax.Array:
    return jnp.pad(array, ((0, 0), (0, more)), constant_values=fill)


def of_rollout(live: jax.Array, numbers: list[jax.Array]) -> tuple[jax.Array, ...]:
    logprobs, reference, values = numbers
    rewards = token_rewards(jnp.array([2.0]), logprobs, reference, live, 0.1)
    made, returns = advantages_and_returns(rewards, values, live, 0.99, 0.9)
    loss, clipped = policy_loss(logprobs + 0.3 * reference, logprobs, whiten(made, live), live, 0.2)
    errors, held = value_loss(values - 0.3 * reference, values, returns, live, 0.2)
    return rewards, made, returns, whiten(made, live), loss, clipped, errors, held


def test_padding_changes_nothing() -> None:
    live, *numbers = (array[:, :4] for array in (LIVE, LOGPROBS, REFERENCE, VALUES))
    alone = of_rollout(live, numbers)
    long = of_rollout(padded(live, 3, 0), [padded(x, 3, 1e3) for x in numbers])
    for one, other in zip(alone, long, strict=True):
        np.testing.assert_array_equal(one, other[:, :4])
        assert (np.asarray(other)[:, 4:] == 0).all()


def test_padding_that_is_not_masked_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advantages, "following_live", lambda live: jnp.ones_like(live))
    with pytest.raises(AssertionError):
        test_padding_changes_nothing()


MOST, WANTED = 64, 30


def lengths_learnt(lam: float, iterations: int = 30, answers: int = 256) -> float:
    """Mean length after PPO on a bandit of lengths: at each token the policy stops or goes on; the critic says 0.

    It begins with a mean of 12; the reward is positive, as scores of a reward model may be, and largest at 30.
    """
    random, optimizer = np.random.default_rng(0), optax.adam(0.1)
    logits = jnp.full(MOST, np.log(1 / 11))
    moments = optimizer.init(logits)

    def logprobs(logits: jax.Array, stops: jax.Array) -> jax.Array:
        return jnp.where(stops, jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits))

    @jax.jit
    def prepared(logits: jax.Array, lengths: jax.Array) -> tuple[jax.Array, ...]:
        live, stops = jnp.arange(MOST) < lengths[:, None], jnp.arange(MOST) == lengths[:, None] - 1
        old = jnp.where(live, logprobs(logits, stops), 0.0)
        scores = 2 - jnp.minimum(((lengths - WANTED) / 12) ** 2, 4.0)
        rewards = token_rewards(scores, old, old, live, 0.0)
        made, _ = advantages_and_returns(rewards, jnp.zeros_like(rewards), live, 1.0, lam)
        return live, stops, old, whiten(made, live)

    @jax.jit
    def update(logits: jax.Array, moments: optax.OptState, batch: tuple[jax.Array, ...]) -> tuple[jax.Array, object]:
        live, stops, old, made = batch
        loss = lambda x: policy_loss(logprobs(x, stops), old, made, live, 0.2).loss.sum() / live.sum()  # noqa: E731
        updates, moments = optimizer.update(jax.grad(loss)(logits), moments)
        return logits + updates, moments

    def drawn() -> np.ndarray:
        stops = random.random((answers, MOST)) < np.asarray(jax.nn.sigmoid(logits))
        stops[:, -1] = True
        return stops.argmax(1) + 1

    for _ in range(iterations):
        batch = prepared(logits, jnp.asarray(drawn(), jnp.float32))
        for part in (*np.split(random.permutation(answers), 2), *np.split(random.permutation(answers), 2)):
            logits, moments = update(logits, moments, tuple(array[part] for array in batch))
    return float(np.mean([drawn().mean() for _ in range(8)]))


def test_answers_of_length_30_are_learnt_with_the_usual_lambda() -> None:
    assert PpoSettings().lam == PpoSettings().gamma == 1
    assert abs(lengths_learnt(PpoSettings().lam) / WANTED - 1) < 0.1


def test_lambda_below_1_with_a_fresh_critic_makes_answers_end_early() -> None:
    assert lengths_learnt(0.95) / WANTED - 1 < -0.1

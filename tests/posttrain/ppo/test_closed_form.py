"""One-token answers with known rewards: PPO with exact expectations reaches pi_ref exp(r / beta)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.posttrain.ppo.advantages import advantages_and_returns, token_rewards
from scaling.posttrain.ppo.losses import policy_loss

VOCAB = 8


def slope_reached(beta: float, kl: float | None = None, rounds: int = 400) -> float:
    """The slope of log(policy / reference) on the rewards, after rounds of two steps on every token at its share.

    Args:
        beta: coefficient of the penalty that is meant.
        kl: the one that is used, if another.
    """
    random = np.random.default_rng(2)
    reference = jax.nn.log_softmax(jnp.asarray(random.normal(size=VOCAB), jnp.float32))
    rewards = jnp.asarray(random.normal(size=VOCAB), jnp.float32)
    live = jnp.ones((VOCAB, 1), bool)

    @jax.jit
    def round_of(logits: jax.Array) -> jax.Array:
        old = jax.nn.log_softmax(logits)[:, None]
        shares = jnp.exp(old)
        by_token = token_rewards(rewards, old, reference[:, None], live, beta if kl is None else kl)
        values = jnp.full_like(by_token, (shares * by_token).sum())
        made, _ = advantages_and_returns(by_token, values, live, 1.0, 1.0)

        def loss(x: jax.Array) -> jax.Array:
            return (shares * policy_loss(jax.nn.log_softmax(x)[:, None], old, made, live, 0.2).loss).sum()

        for _ in range(2):
            # The natural gradient, which is the gradient over the share of each token here.
            logits = logits - 0.3 * jax.grad(loss)(logits) / shares[:, 0]
        return logits

    logits = reference
    for _ in range(rounds):
        logits = round_of(logits)
    apart = np.asarray(jax.nn.log_softmax(logits) - reference)
    return float(np.polyfit(np.asarray(rewards), apart, 1)[0])


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_the_policy_is_tilted_by_the_reward_over_beta(beta: float) -> None:
    assert slope_reached(beta) == pytest.approx(1 / beta, rel=0.02)


def test_a_penalty_of_half_the_size_is_seen() -> None:
    assert slope_reached(0.5, kl=0.25) != pytest.approx(2.0, rel=0.02)

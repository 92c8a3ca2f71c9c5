"""Rewards of tokens, and advantages and returns from them.

Every array is (batch, seq), with a token's number where the token is. ``live`` says which are an answer's tokens, its
end included: side by side in a row, between the prompt and the padding. All else is 0, whatever stood there.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from scaling.posttrain.training.kl import k1

Numbers = Float[Array, "batch seq"]
Live = Bool[Array, "batch seq"]


def following_live(live: Live) -> Live:
    """Whether the token after each is live."""
    return jnp.roll(live, -1, axis=1).at[:, -1].set(False)


def final_scores(
    scores: Float[Array, "batch"], stopped: Bool[Array, "batch"], unfinished: float
) -> Float[Array, "batch"]:
    """The answers' scores, less the penalty ``unfinished`` for those that do not end."""
    return scores - unfinished * (~stopped).astype(scores.dtype)


def token_rewards(
    scores: Float[Array, "batch"], logprobs: Numbers, reference: Numbers, live: Live, kl: float
) -> Numbers:
    """Each token's reward: at the last live token the answer's score, and at all of them minus the KL penalty.

    The penalty is ``kl`` times log(policy / reference) of the sampled token. As a reward, which nothing differentiates,
    the mean gradient of its sum is that of the exact KL divergence (2203.02155, equation 2).

    Args:
        scores: of the answers.
        logprobs, reference: of the tokens, by the policy that sampled them and by the reference.
        live: tokens of the answers.
        kl: coefficient of the penalty.
    """
    last = live & ~following_live(live)
    penalty = kl * jnp.where(live, k1(logprobs, reference), 0.0)
    return jnp.where(last, scores[:, None], 0.0) - penalty


def advantages_and_returns(
    rewards: Numbers, values: Numbers, live: Live, gamma: float, lam: float
) -> tuple[Numbers, Numbers]:
    """Generalised advantage estimation (1506.02438), and the returns that the values are to foretell.

    With d_t = r_t + gamma V_{t+1} - V_t, and V = 0 after the last live token: A_t = d_t + gamma lam A_{t+1}, and the
    return is A_t + V_t. Where lam and gamma are 1 the return is the sum of the rewards from t on.

    Args:
        rewards: of the tokens.
        values: foretold before each token was chosen.
        live: tokens of the answers.
        gamma: discount of a later reward.
        lam: weight of longer estimates.
    """
    later = jnp.where(following_live(live), jnp.roll(values, -1, axis=1), 0.0)
    errors = jnp.where(live, rewards + gamma * later - values, 0.0)

    def back(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        error, alive = now
        advantage = jnp.where(alive, error + gamma * lam * after, 0.0)
        return advantage, advantage

    _, by_token = jax.lax.scan(back, jnp.zeros_like(errors[:, 0]), (errors.T, live.T), reverse=True)
    advantages = by_token.T
    return advantages, jnp.where(live, advantages + values, 0.0)


def whiten(values: Numbers, live: Live) -> Numbers:
    """The values of live tokens with mean 0 and standard deviation 1 over all of them."""
    count = live.sum()
    mean = jnp.where(live, values, 0.0).sum() / jnp.maximum(count, 1)
    apart = jnp.where(live, values - mean, 0.0)
    variance = (apart**2).sum() / jnp.maximum(count - 1, 1)
    return apart * jax.lax.rsqrt(variance + 1e-8)

"""The clipped losses: no gradient where they are clipped, for both signs; and a transcription of PPO's usual lines."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scaling.posttrain.ppo.advantages import advantages_and_returns, token_rewards, whiten
from scaling.posttrain.ppo.losses import policy_loss, value_loss

RATIOS = [0.5, 0.79, 0.81, 1.0, 1.19, 1.21, 2.0]
CLIPPED_ABOVE = [False, False, False, False, False, True, True]
CLIPPED_BELOW = [True, True, False, False, False, False, False]


def gradient_of_policy(sign: float, clip_sign: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """The gradient by the log-probability of tokens of these ratios, and whether each is said to be clipped."""
    logprobs, old = jnp.log(jnp.array([RATIOS])), jnp.zeros((1, len(RATIOS)))
    advantages, live = jnp.full_like(old, 1.5 * sign), jnp.ones_like(old, bool)

    def loss(x: jax.Array) -> jax.Array:
        return clip_sign * policy_loss(x, old, clip_sign * advantages, live, 0.2).loss.sum()

    return np.asarray(jax.grad(loss)(logprobs))[0], np.asarray(
        policy_loss(logprobs, old, advantages, live, 0.2).clipped
    )[0]


@pytest.mark.parametrize(("sign", "clipped"), [(1.0, CLIPPED_ABOVE), (-1.0, CLIPPED_BELOW)], ids=["better", "worse"])
def test_no_gradient_exactly_where_the_policy_is_clipped(sign: float, clipped: list[bool]) -> None:
    gradient, found = gradient_of_policy(sign)
    assert (gradient == 0).tolist() == clipped == found.tolist()
    np.testing.assert_allclose(gradient[~found], (-1.5 * sign * np.array(RATIOS))[~found], rtol=1e-5)
    # The bug: the smaller of the two losses, rather than the larger, cuts off what should go on.
    wrong, _ = gradient_of_policy(sign, clip_sign=-1.0)
    assert (wrong == 0).tolist() != clipped


@pytest.mark.parametrize("returns", [1.0, -1.0], ids=["above", "below"])
def test_no_gradient_exactly_where_the_value_is_clipped(returns: float) -> None:
    values = jnp.array([[-0.5, -0.21, -0.19, 0.0, 0.19, 0.21, 0.5]])
    old, target, live = jnp.zeros_like(values), jnp.full_like(values, returns), jnp.ones_like(values, bool)

    def gradient(clip: float | None) -> np.ndarray:
        return np.asarray(jax.grad(lambda x: value_loss(x, old, target, live, clip).loss.sum())(values))[0]

    # A value that has gone towards the return by more than the clip has the larger loss where it is held.
    towards = np.asarray(values[0]) * returns > 0.2
    assert (gradient(0.2) == 0).tolist() == towards.tolist()
    assert np.asarray(value_loss(values, old, target, live, 0.2).clipped)[0].tolist() == towards.tolist()
    np.testing.assert_allclose(gradient(0.2)[~towards], np.asarray(values - target)[0][~towards], rtol=1e-6)
    assert (gradient(None) != 0).all()


def test_what_stands_at_padding_has_no_gradient() -> None:
    live = jnp.array([[True, False]])
    logprobs, old = jnp.array([[-1.0, 900.0]]), jnp.array([[-1.1, 0.0]])
    gradient = jax.grad(lambda x: policy_loss(x, old, jnp.ones_like(x), live, 0.2).loss.sum())(logprobs)
    assert np.isfinite(np.asarray(gradient)).all()
    assert float(gradient[0, 1]) == 0


def test_the_usual_lines_in_torch() -> None:
    """GAE, whitening, policy clip and value clip on random tensors, transcribed by their formulas."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch", reason='needs pip install -e ".[parity]"')
    random = np.random.default_rng(3)
    rows, seq = 6, 12
    first, last = random.integers(1, 4, rows), random.integers(5, seq + 1, rows)
    live = (np.arange(seq) >= first[:, None]) & (np.arange(seq) < last[:, None])
    numbers = random.normal(size=(5, rows, seq)).astype(np.float32)
    old, now, reference, values, new_values = 0.3 * numbers
    scores = random.normal(size=rows).astype(np.float32)
    kl, gamma, lam, clip = 0.05, 0.97, 0.9, 0.2

    t = {name: torch.tensor(array) for name, array in locals().items() if isinstance(array, np.ndarray)}
    mask = t["live"].float()
    rewards = -kl * (t["old"] - t["reference"]) * mask
    rewards[range(rows), t["last"] - 1] += t["scores"]
    known, after, reverse = t["values"] * mask, torch.zeros(rows), []
    for at in reversed(range(seq)):
        later = known[:, at + 1] if at + 1 < seq else 0.0
        after = (rewards[:, at] + gamma * later - known[:, at] + gamma * lam * after) * mask[:, at]
        reverse.append(after)
    made = torch.stack(reverse[::-1], dim=1)
    returns = made + known
    chosen = made[t["live"]]
    white = ((made - chosen.mean()) * torch.rsqrt(chosen.var() + 1e-8)) * mask
    ratio = torch.exp(t["now"] - t["old"])
    policy = (torch.max(-white * ratio, -white * torch.clamp(ratio, 1 - clip, 1 + clip)) * mask).sum() / mask.sum()
    held = torch.clamp(t["new_values"], t["values"] - clip, t["values"] + clip)
    value = torch.max((t["new_values"] - returns) ** 2, (held - returns) ** 2)
    value = 0.5 * (value * mask).sum() / mask.sum()

    j = {name: jnp.asarray(array.numpy()) for name, array in t.items()}
    ours = token_rewards(j["scores"], j["old"], j["reference"], j["live"], kl)
    np.testing.assert_allclose(ours, rewards.numpy(), rtol=1e-5, atol=1e-6)
    found, our_returns = advantages_and_returns(ours, j["values"], j["live"], gamma, lam)
    np.testing.assert_allclose(found, made.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(our_returns, returns.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whiten(found, j["live"]), white.numpy(), rtol=1e-5, atol=1e-6)
    count = live.sum()
    ours_policy = policy_loss(j["now"], j["old"], whiten(found, j["live"]), j["live"], clip).loss.sum() / count
    ours_value = value_loss(j["new_values"], j["values"], our_returns, j["live"], clip).loss.sum() / count
    np.testing.assert_allclose([ours_policy, ours_value], [policy.item(), value.item()], rtol=1e-5)

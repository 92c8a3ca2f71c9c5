"""The KL divergence: exact, estimated, and as a penalty whose gradient is its own, on an enumerated policy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from posttraining import tiny_rewards

import scaling.llama.loss
from scaling.llama.parameters import llama_with
from scaling.posttrain.ppo.advantages import advantages_and_returns, token_rewards
from scaling.posttrain.training.kl import exact, k1, make_divergences
from scaling.posttrain.training.logprob import policy_parameters

# A policy over sequences of three tokens of a vocabulary of three: logits for each token after each prefix.
VOCAB, LENGTH = 3, 3
SEQUENCES = np.array(list(itertools.product(range(VOCAB), repeat=LENGTH)))
PREFIXES = sum(VOCAB**at for at in range(LENGTH))


def rows_of_prefixes() -> np.ndarray:
    """The row of the table for each token of each sequence."""
    numbers = {
        prefix: at
        for at, prefix in enumerate(p for n in range(LENGTH) for p in itertools.product(range(VOCAB), repeat=n))
    }
    return np.array([[numbers[tuple(sequence[:at])] for at in range(LENGTH)] for sequence in SEQUENCES.tolist()])


ROWS = rows_of_prefixes()


def logprobs(logits: Float[Array, "prefixes vocab"]) -> Float[Array, "sequences length"]:
    return jax.nn.log_softmax(logits)[ROWS, SEQUENCES]


def tables() -> tuple[jax.Array, jax.Array, jax.Array]:
    random = np.random.default_rng(1)
    policy, reference = (jnp.asarray(random.normal(size=(PREFIXES, VOCAB)), jnp.float32) for _ in range(2))
    return policy, reference, jnp.asarray(random.normal(size=len(SEQUENCES)), jnp.float32)


def exact_objective(logits: jax.Array, reference: jax.Array, scores: jax.Array, beta: float) -> jax.Array:
    """E[score] - beta KL(policy || reference), by enumeration."""
    whole = logprobs(logits).sum(1)
    apart = whole - logprobs(reference).sum(1)
    return (jnp.exp(whole) * (scores - beta * apart)).sum()


def expected_gradient(logits: jax.Array, reference: jax.Array, scores: jax.Array, beta: float) -> jax.Array:
    """The mean of the policy gradient by our rewards and advantages (lambda 1), over all sequences."""
    live, old = jnp.ones(SEQUENCES.shape, bool), logprobs(logits)
    rewards = token_rewards(scores, old, logprobs(reference), live, beta)
    made, _ = advantages_and_returns(rewards, jnp.zeros_like(rewards), live, 1.0, 1.0)
    shares = jnp.exp(old.sum(1))
    return jax.grad(lambda x: (shares[:, None] * made * logprobs(x)).sum())(logits)


def test_the_penalty_has_the_gradient_of_the_exact_kl() -> None:
    policy, reference, scores = tables()
    for beta in (1.0, 0.1):
        wanted = jax.grad(exact_objective)(policy, reference, scores, beta)
        np.testing.assert_allclose(expected_gradient(policy, reference, scores, beta), wanted, atol=1e-4)
        assert float(jnp.abs(wanted).max()) > 0.01


def k1_loss(now: jax.Array, reference: jax.Array) -> jax.Array:
    return k1(now, reference).sum(1)


def k3_loss(now: jax.Array, reference: jax.Array) -> jax.Array:
    return (jnp.exp(reference - now) - 1 + now - reference).sum(1)


@pytest.mark.parametrize("estimate", [k1_loss, k3_loss], ids=["k1", "k3"])
def test_an_estimate_that_is_differentiated_has_another_gradient(estimate: object) -> None:
    policy, reference, scores = tables()
    shares = jnp.exp(logprobs(policy).sum(1))
    wrong = jax.grad(lambda x: (shares * estimate(logprobs(x), logprobs(reference))).sum())(policy)  # type: ignore
    wanted = -jax.grad(exact_objective)(policy, reference, 0 * scores, 1.0)
    assert float(jnp.abs(wrong - wanted).max()) > 0.01
    if estimate is k1_loss:
        np.testing.assert_allclose(wrong, 0, atol=1e-6)


def test_exact_and_sampled_kl_of_a_llama_agree() -> None:
    one, other = tiny_rewards.make_model(scale=3.0), tiny_rewards.make_model(seed=1, scale=3.0)
    model = one.config
    parameters, reference = policy_parameters(one), policy_parameters(other)
    random = np.random.default_rng(0)
    prefix = jnp.asarray(random.integers(0, 256, (1, 6)), jnp.int32)
    found = make_divergences(model, "float32")(parameters, reference, jnp.concatenate([prefix, prefix[:, :1]], 1))
    policy = llama_with(model, one.parameters)
    draws = jax.random.categorical(jax.random.key(0), policy.logits(prefix)[0, -1], shape=(4000,))
    logs = [jax.nn.log_softmax(llama_with(model, m.parameters).logits(prefix)[0, -1]) for m in (one, other)]
    estimates = np.asarray(k1(*(log[draws][None] for log in logs)))[0]
    error = estimates.std() / np.sqrt(len(estimates))
    assert float(found.kl[0, 6]) > 10 * error
    assert abs(estimates.mean() - float(found.kl[0, 6])) < 4 * error
    np.testing.assert_allclose(found.entropy[0, 6], -(jnp.exp(logs[0]) * logs[0]).sum(), rtol=1e-4)
    np.testing.assert_allclose(found.reference[0, 6], logs[1][prefix[0, 0]], rtol=1e-4)


def test_kl_is_0_at_the_reference_and_never_below() -> None:
    one = tiny_rewards.make_model(scale=3.0)
    parameters = policy_parameters(one)
    near = jax.tree.map(lambda x: x * (1 + 1e-6), parameters)
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 24)), jnp.int32)
    divergences = make_divergences(one.config, "float32")
    same = divergences(parameters, parameters, tokens)
    assert (np.asarray(same.kl) == 0).all()
    assert (np.asarray(same.entropy) >= 0).all()
    assert (np.asarray(divergences(near, parameters, tokens).kl) >= 0).all()


def test_a_reference_without_hope_for_a_token_overflows_nothing() -> None:
    hidden = jnp.ones((1, 1, 1))
    head, other = jnp.array([[0.0], [200.0]]), jnp.array([[200.0], [0.0]])
    found = exact(hidden, hidden, head, other, jnp.zeros((1, 1), jnp.int32))
    assert float(found.kl[0, 0]) == pytest.approx(200.0)


def test_chunks_and_padding_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tiny_rewards.make_model(), tiny_rewards.make_model(seed=1)
    divergences = make_divergences(one.config, "float32")
    parameters = policy_parameters(one), policy_parameters(other)
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 256, (4, 24)), jnp.int32)
    whole = divergences(*parameters, tokens)
    longer = divergences(*parameters, jnp.pad(tokens, ((0, 0), (0, 8)), constant_values=9))
    monkeypatch.setattr(scaling.llama.loss, "CHUNK_LOGITS", 256 * 10)
    parts = divergences(*parameters, tokens)
    for name in whole._fields:
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(getattr(longer, name)[:, :24], getattr(whole, name), rtol=1e-5, atol=1e-6)

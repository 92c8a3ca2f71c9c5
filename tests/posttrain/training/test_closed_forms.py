"""One-token answers from a vocabulary of eight and a known reward, where the best policy and reward model are known."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import Array
from posttraining.tiny_rewards import make_model
from posttraining.tiny_stages import make_recipe

from scaling.data.answers.padded import padded_pairs
from scaling.data.answers.rows import Pair
from scaling.llama.config import LlamaConfig
from scaling.posttrain.dpo import dpo_batch, make_objective
from scaling.posttrain.training.logprob import make_logprobs, policy_parameters
from scaling.posttrain.training.losses import bradley_terry, dpo_loss
from scaling.posttrain.training.update import begin, make_update
from scaling.train.optimizer import make_hyper

VOCAB, BETA = 8, 0.5
REWARD = np.array([0.0, 1.0, -0.5, 0.3, 1.5, -1.0, 0.7, 0.2])
REFERENCE = np.array(jax.nn.log_softmax(jnp.array([0.5, -0.3, 0.0, 1.0, -1.0, 0.4, 0.2, -0.6])), np.float64)
# Every pair of different answers, drawn from the reference and labelled as Bradley and Terry have it.
FIRST, SECOND = np.nonzero(~np.eye(VOCAB, dtype=bool))
PREFERRED = 1 / (1 + np.exp(REWARD[SECOND] - REWARD[FIRST]))
DRAWN = np.exp(REFERENCE[FIRST] + REFERENCE[SECOND])
SHARES = DRAWN * PREFERRED / (DRAWN * PREFERRED).sum()


def minimised(loss: Callable[[Array], Array]) -> np.ndarray:
    """The eight numbers at which a convex loss is least, by L-BFGS."""
    solver = optax.lbfgs()

    @jax.jit
    def solve(x: Array) -> Array:
        value_and_gradient = optax.value_and_grad_from_state(loss)

        def step(carry: tuple[Array, optax.OptState], _: None) -> tuple[tuple[Array, optax.OptState], None]:
            x, state = carry
            value, gradient = value_and_gradient(x, state=state)
            updates, state = solver.update(gradient, state, x, value=value, grad=gradient, value_fn=loss)
            return (optax.apply_updates(x, updates), state), None

        return jax.lax.scan(step, (x, solver.init(x)), None, length=60)[0][0]

    return np.asarray(solve(jnp.zeros(VOCAB)), np.float64)


def slope(ratios: np.ndarray) -> float:
    """Of log-ratios on the reward, by least squares."""
    return float(np.polyfit(REWARD, ratios, 1)[0])


def dpo_ratios(loss: Callable[[Array, Array], Array]) -> np.ndarray:
    """The log-ratios of the policy at which a loss of two answers' log-ratios is least on infinite data."""
    reference, shares = jnp.asarray(REFERENCE, jnp.float32), jnp.asarray(SHARES, jnp.float32)

    def mean(logits: Array) -> Array:
        logprobs = jax.nn.log_softmax(logits + reference)
        return (shares * loss(logprobs[FIRST] - reference[FIRST], logprobs[SECOND] - reference[SECOND])).sum()

    return np.asarray(jax.nn.log_softmax(minimised(mean) + REFERENCE)) - REFERENCE


def test_dpo_reaches_the_best_policy() -> None:
    ratios = dpo_ratios(functools.partial(dpo_loss, beta=BETA))
    assert slope(ratios) == pytest.approx(1 / BETA, rel=0.02)
    best = REFERENCE + REWARD / BETA
    best -= np.log(np.exp(best).sum())
    np.testing.assert_allclose(REFERENCE + ratios, best, atol=0.02)


@pytest.mark.parametrize("fault", ["no-reference", "swapped", "beta-squared"])
def test_a_wrong_dpo_loss_is_seen(fault: str) -> None:
    reference = jnp.asarray(REFERENCE, jnp.float32)
    wrong = {
        "no-reference": lambda a, b: dpo_loss(a + reference[FIRST], b + reference[SECOND], BETA),
        "swapped": lambda a, b: dpo_loss(b, a, BETA),
        "beta-squared": lambda a, b: dpo_loss(BETA * a, BETA * b, BETA),
    }[fault]
    ratios = dpo_ratios(wrong)
    best = REFERENCE + REWARD / BETA
    best -= np.log(np.exp(best).sum())
    assert np.abs(REFERENCE + ratios - best).max() > 0.1


def test_a_reward_model_reaches_the_reward_and_the_entropy_of_its_labels() -> None:
    shares = jnp.asarray(SHARES, jnp.float32)

    def loss(scores: Array, margin: float = 0.0) -> Array:
        return (shares * bradley_terry(scores[FIRST], scores[SECOND], margin)).sum()

    scores = minimised(loss)
    np.testing.assert_allclose(scores - scores.mean(), REWARD - REWARD.mean(), atol=0.02)
    entropy = -(SHARES * np.log(PREFERRED)).sum()
    assert float(loss(jnp.asarray(scores, jnp.float32))) == pytest.approx(entropy, rel=1e-4)
    wrong = minimised(functools.partial(loss, margin=1.0))
    assert np.abs(wrong - wrong.mean() - (REWARD - REWARD.mean())).max() > 0.1


def test_centring_takes_the_constant_to_where_the_sums_are_least() -> None:
    shares = jnp.asarray(SHARES, jnp.float32)

    def loss(scores: Array) -> Array:
        return (shares * bradley_terry(scores[FIRST], scores[SECOND], centring=0.01)).sum()

    scores = minimised(loss)
    assert float((SHARES * (scores[FIRST] + scores[SECOND])).sum()) == pytest.approx(0.0, abs=1e-3)


def test_a_llama_trained_by_steps_of_dpo_reaches_the_best_policy() -> None:
    """The same through the model, the objective and the optimizer: one prompt, and each pair weighed by its share."""
    model = LlamaConfig(vocab=VOCAB, width=16, depth=1, heads=2, kv_heads=1, ffn=48, seq_len=4)
    start = policy_parameters(make_model(model))
    prompt = np.array([3], np.int32)
    reference = np.asarray(make_logprobs(model, "float32")(start, jnp.array([[3, token] for token in range(VOCAB)])))[
        :, 1
    ]
    drawn = np.exp(reference[FIRST] + reference[SECOND]) * PREFERRED
    answers = [np.array([token], np.int32) for token in range(VOCAB)]
    pairs = [Pair(prompt, answers[one], answers[other]) for one, other in zip(FIRST, SECOND, strict=True)]
    batch = dpo_batch(
        padded_pairs(pairs, len(pairs), 4), np.stack([reference[FIRST], reference[SECOND]], axis=1)
    )._replace(weights=(drawn / drawn.sum() * len(pairs)).astype(np.float32))
    recipe = make_recipe(rate=0.01)
    update = make_update(make_objective(model, "float32", BETA, "sigmoid"), model, recipe)
    state, hyper = begin(start, model, recipe), make_hyper(recipe, 400)
    for _ in range(400):
        state, means = update(state, hyper, batch)
    tokens = jnp.array([[3, token] for token in range(VOCAB)])
    ratios = np.asarray(make_logprobs(model, "float32")(state.parameters, tokens))[:, 1] - reference
    assert slope(ratios) == pytest.approx(1 / BETA, rel=0.02)
    entropy = -(drawn / drawn.sum() * np.log(PREFERRED)).sum()
    assert float(means["loss"]) == pytest.approx(entropy, rel=1e-3)

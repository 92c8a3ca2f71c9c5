"""FLOPs of the stages: each pass against XLA's count of the function that a stage calls, and their sums by hand."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.data.answers.rows import Padded
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import flops_per_token
from scaling.llama.decoding.decoder import make_decoder
from scaling.llama.model import Llama
from scaling.posttrain.flops import (
    Lengths,
    StageFlops,
    forward_flops,
    generation_flops,
    score_flops,
    stage_flops,
    step_flops,
)
from scaling.posttrain.rewards.reward import PairBatch, make_objective
from scaling.posttrain.settings import BestOfNSettings, DpoSettings, PpoSettings, RewardSettings, SftSettings
from scaling.posttrain.training.logprob import make_logprobs, make_scores
from scaling.posttrain.training.update import make_gradient

WIDE = LlamaConfig(512, 512, 2, 8, 4, 1024, 256)
SMALL = LlamaConfig(256, 24, 2, 2, 2, 64, 96)
LARGE = LlamaConfig(256, 48, 2, 2, 2, 128, 96)
BATCH, SEQ = 2, 128


@pytest.fixture(autouse=True)
def plain_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU our attention skips part of what is masked, so that the count would lie between full and causal."""

    def plain(query: jax.Array, key: jax.Array, value: jax.Array, *_: object) -> jax.Array:
        return jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="xla")

    monkeypatch.setattr("scaling.llama.layers.attention.attention", plain)
    monkeypatch.setattr("scaling.llama.decoding.decoder.attention", plain)


def shapes(model: LlamaConfig) -> Any:
    return nnx.split(nnx.eval_shape(lambda: Llama(model, rngs=nnx.Rngs(0))))[1]


def ids(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, jnp.int32)


def xla_flops(function: Callable[..., Any], *arguments: Any) -> float:
    """What XLA counts in a compiled function; no array is made."""
    flops = jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]
    assert isinstance(flops, float)
    return flops


def reward_shapes() -> dict[str, Any]:
    return {"llama": shapes(WIDE), "score": jax.ShapeDtypeStruct((WIDE.width,), jnp.float32)}


def test_log_probabilities() -> None:
    ours = BATCH * forward_flops(WIDE, SEQ)
    assert ours < xla_flops(make_logprobs(WIDE, "float32"), shapes(WIDE), ids(BATCH, SEQ)) < 1.02 * ours
    assert 3 * forward_flops(WIDE, SEQ) == SEQ * flops_per_token(WIDE, SEQ)


def test_scores() -> None:
    ours = BATCH * score_flops(WIDE, SEQ)
    counted = xla_flops(make_scores(WIDE, "float32"), reward_shapes(), ids(BATCH, SEQ), ids(BATCH))
    assert ours < counted < 1.02 * ours


def test_generation() -> None:
    """The prompt, and one step over a cache of all slots, as the sampler compiles them."""
    prompt, steps = 64, 64
    decoder = make_decoder(WIDE, prompt, steps)
    weights = jax.eval_shape(decoder.weights, shapes(WIDE))
    whole = Lengths(prompt, 1)
    first = BATCH * (generation_flops(WIDE, whole) - step_flops(WIDE, prompt + 1))
    counted = xla_flops(decoder.prefill, weights, ids(BATCH, prompt), ids(BATCH))
    assert first < counted < 1.03 * first

    cache = jax.eval_shape(decoder.prefill, weights, ids(BATCH, prompt), ids(BATCH))[1]

    def step(weights: Any, cache: Any, tokens: Any, positions: Any, number: Any) -> Any:
        hidden, cache = decoder.step(weights, cache, tokens, positions, number)
        return decoder.logits(weights, hidden), cache

    counted = xla_flops(step, weights, cache, ids(BATCH), ids(BATCH), ids())
    ours = BATCH * step_flops(WIDE, prompt + steps)
    assert ours < counted < 1.04 * ours


def test_an_answer_is_the_sum_of_its_steps() -> None:
    steps = sum(step_flops(SMALL, 32 + token) for token in range(1, 65))
    prompt = generation_flops(SMALL, Lengths(32, 1)) - step_flops(SMALL, 33)
    assert generation_flops(SMALL, Lengths(32, 64)) == pytest.approx(prompt + steps, rel=1e-12)


def test_an_update_of_a_reward_model() -> None:
    """A pair is two rows, forward and backward."""

    def side() -> Padded:
        return Padded(ids(BATCH, SEQ), jax.ShapeDtypeStruct((BATCH, SEQ), bool), ids(BATCH))

    numbers = jax.ShapeDtypeStruct((BATCH,), jnp.float32)
    batch = PairBatch(side(), side(), numbers, numbers)
    counted = xla_flops(make_gradient(make_objective(WIDE, 0.0, "float32")), reward_shapes(), batch)
    ours = stage_flops("reward", WIDE, RewardSettings(BATCH), {}, Lengths(SEQ - 50, 50), BATCH).total
    # Nothing is propagated back into the ids.
    assert 0.98 * ours < counted < 1.02 * ours


def test_an_update_on_answers() -> None:
    logprobs = make_logprobs(WIDE, "float32")
    counted = xla_flops(jax.grad(lambda p, t: logprobs(p, t).sum()), shapes(WIDE), ids(BATCH, SEQ))
    ours = stage_flops("sft", WIDE, SftSettings(1), {}, Lengths(SEQ - 50, 50), BATCH).total
    assert ours < counted < 1.02 * ours


LENGTHS = Lengths(32, 40)
WHOLE, READ = forward_flops(SMALL, 72), score_flops(LARGE, 72)
WRITTEN = generation_flops(SMALL, LENGTHS)


@pytest.mark.parametrize(
    ("stage", "settings", "sources", "rows", "expected"),
    [
        ("sft", SftSettings(100), {}, 300, StageFlops(update=300 * 3 * WHOLE)),
        ("reward", RewardSettings(100), {}, 300, StageFlops(update=600 * 3 * score_flops(SMALL, 72))),
        (
            "reward",
            RewardSettings(100),
            {"policy": SMALL},
            300,
            StageFlops(generation=200 * WRITTEN, update=600 * 3 * score_flops(SMALL, 72)),
        ),
        ("dpo", DpoSettings(100), {}, 300, StageFlops(reference=200 * WHOLE, update=600 * 3 * WHOLE)),
        (
            "best_of_n",
            BestOfNSettings(5, 20),
            {"reward": LARGE, "safety": SMALL},
            0,
            StageFlops(generation=100 * WRITTEN, scoring=100 * (READ + score_flops(SMALL, 72))),
        ),
        (
            "ppo",
            PpoSettings(iterations=2, answers=50, epochs=3),
            {"reward": LARGE},
            0,
            StageFlops(100 * WRITTEN, 100 * READ, 300 * WHOLE, 100 * (1 + 9) * READ, 900 * WHOLE),
        ),
    ],
    ids=["sft", "reward", "written pairs", "dpo", "best of n", "ppo"],
)
def test_stages_by_hand(
    stage: Any, settings: Any, sources: dict[str, LlamaConfig], rows: float, expected: StageFlops
) -> None:
    found = stage_flops(stage, SMALL, settings, sources, LENGTHS, rows)
    np.testing.assert_allclose(list(found.by_part().values()), list(expected.by_part().values()), rtol=1e-12)
    assert found.total == pytest.approx(sum(found.by_part().values()))


def test_bad_input() -> None:
    with pytest.raises(InputError, match="the stage ppo needs a reward model"):
        stage_flops("ppo", SMALL, PpoSettings(), {}, LENGTHS, 1)
    with pytest.raises(InputError, match=r"prompts of 32 tokens, answers of 0 and 1 rows; they must be positive"):
        stage_flops("sft", SMALL, SftSettings(1), {}, Lengths(32, 0), 1)

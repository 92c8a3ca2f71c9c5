"""Generation with a cache: prompts padded right and a step at a time are the model on whole rows."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.llama.config import LlamaConfig, RopeScaling
from scaling.llama.decoding import decoder as decoder_module
from scaling.llama.decoding.decoder import make_decoder
from scaling.llama.decoding.drawing import draw, kept
from scaling.llama.init import Init
from scaling.llama.model import Llama
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, YarnScaling

ROOT = Path(__file__).parents[3]
PLAIN = LlamaConfig(vocab=31, width=24, depth=2, heads=6, kv_heads=2, ffn=40, seq_len=24)
MODELS = {
    "grouped queries": PLAIN,
    "Llama 3.1's RoPE, one key head": dataclasses.replace(
        PLAIN, kv_heads=1, rope_scaling=RopeScaling(8.0, 1.0, 4.0, original_context=8)
    ),
    "normed queries and keys, biases of both, tied, linear RoPE": dataclasses.replace(
        PLAIN, qk_norm=True, attention_bias="qkv", tie_embeddings=True, rope_scaling=LinearScaling(2.0)
    ),
    "wide heads, all biases, dynamic RoPE": dataclasses.replace(
        PLAIN, head_size=8, attention_bias="all", rope_scaling=DynamicScaling(4.0)
    ),
    "three layers, YaRN": dataclasses.replace(
        PLAIN, depth=3, kv_heads=6, rope_scaling=YarnScaling(4.0, 8, attention_factor=1.2)
    ),
}
PROMPT_SLOTS, STEPS = 16, 8
LENGTHS = np.array([16, 1, 7, 12], np.int32)


def parameters_of(config: LlamaConfig) -> nnx.State:
    """Of a model whose every parameter matters: gains and biases are drawn too."""
    state = nnx.split(Llama(config, Init(matrix=1.0, embedding=0.5, head=0.3), rngs=nnx.Rngs(0)))[1]
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return jax.tree.unflatten(
        tree, [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    )


def rows(config: LlamaConfig) -> np.ndarray:
    return np.random.default_rng(0).integers(0, config.vocab, (len(LENGTHS), PROMPT_SLOTS + STEPS), np.int32)


def whole_logits(config: LlamaConfig, dtype: str = "float32") -> np.ndarray:
    """Of the model on whole rows, at each row's last prompt token and the tokens after."""
    graph = nnx.split(nnx.eval_shape(lambda: Llama(config, rngs=nnx.Rngs(0))))[0]
    llama = jax.jit(lambda parameters, tokens: nnx.merge(graph, parameters).logits(tokens, jnp.dtype(dtype)))
    logits = np.asarray(llama(parameters_of(config), rows(config)))
    at = LENGTHS[:, None] - 1 + np.arange(STEPS + 1)
    return logits[np.arange(len(LENGTHS))[:, None], np.minimum(at, logits.shape[1] - 1)]


def cached_logits(
    config: LlamaConfig, dtype: str = "float32", positions: np.ndarray = LENGTHS, padding: int = 0
) -> np.ndarray:
    """The same a step at a time; ``positions`` of each row's first token after its prompt."""
    decoder = make_decoder(config, PROMPT_SLOTS, STEPS, dtype)
    tokens, at = rows(config), np.arange(PROMPT_SLOTS)
    prompts = np.where(at < LENGTHS[:, None], tokens[:, :PROMPT_SLOTS], padding)
    weights = jax.jit(decoder.weights)(parameters_of(config))
    hidden, cache = jax.jit(decoder.prefill)(weights, prompts, LENGTHS)
    found, step = [decoder.logits(weights, hidden)], jax.jit(decoder.step)
    for number in range(STEPS):
        given = tokens[np.arange(len(LENGTHS)), LENGTHS + number]
        hidden, cache = step(weights, cache, given, positions + number, np.int32(number))
        found.append(decoder.logits(weights, hidden))
    return np.stack([np.asarray(logits) for logits in found], axis=1)


@pytest.mark.parametrize("name", list(MODELS))
def test_steps_with_a_cache_are_the_model_on_whole_rows(name: str) -> None:
    config = MODELS[name]
    np.testing.assert_allclose(cached_logits(config, padding=5), whole_logits(config), atol=2e-5)


def test_in_half_precision_too() -> None:
    apart = np.abs(cached_logits(PLAIN, "bfloat16") - whole_logits(PLAIN, "bfloat16"))
    assert 0 < apart.max() < 0.1
    cache = jax.eval_shape(
        lambda parameters: make_decoder(PLAIN, 4, 2, "bfloat16").prefill(
            make_decoder(PLAIN, 4, 2, "bfloat16").weights(parameters), jnp.ones((2, 4), int), jnp.ones(2, int)
        )[1],
        parameters_of(PLAIN),
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(cache)} == {jnp.dtype("bfloat16")}


def test_one_position_for_all_rows_is_noticed() -> None:
    """The fault of left-padded code: every row at the position of the longest prompt."""
    wrong = cached_logits(PLAIN, positions=np.full(len(LENGTHS), PROMPT_SLOTS, np.int32))
    apart = np.abs(wrong - whole_logits(PLAIN)).max(axis=(1, 2))
    assert apart[0] < 2e-5  # the longest
    assert (apart[1:] > 1e-2).all()


def test_attention_to_padding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_module, "_MASKED", 0.0)
    assert np.abs(cached_logits(PLAIN) - whole_logits(PLAIN)).max() > 1e-2


LOGITS = jnp.log(jnp.array([0.4, 0.05, 0.3, 0.2, 0.05]))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.4, 0.05, 0.3, 0.2, 0.05]),
        ({"temperature": 0.5}, [0.16, 0.0025, 0.09, 0.04, 0.0025]),
        ({"temperature": 2.0}, [0.4**0.5, 0.05**0.5, 0.3**0.5, 0.2**0.5, 0.05**0.5]),
        ({"top_k": 2}, [0.4, 0.0, 0.3, 0.0, 0.0]),
        ({"top_p": 0.8}, [0.4, 0.0, 0.3, 0.2, 0.0]),
        ({"top_p": 0.69}, [0.4, 0.0, 0.3, 0.0, 0.0]),
        ({"top_p": 0.01}, [1.0, 0.0, 0.0, 0.0, 0.0]),
        ({"top_k": 4, "top_p": 0.96}, [0.4, 0.05, 0.3, 0.2, 0.05]),  # tied with the fourth, the fifth stays
        ({"temperature": 2.0, "top_p": 0.7}, [0.4**0.5, 0.0, 0.3**0.5, 0.2**0.5, 0.0]),  # 2 have .59 then, 3 .80
    ],
    ids=str,
)
def test_tokens_are_drawn_by_their_probabilities(options: dict[str, float], expected: list[float]) -> None:
    count = 40_000
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(0), row))(jnp.arange(count))
    tokens, logprobs = draw(jnp.tile(LOGITS, (count, 1)), keys, jnp.int32(3), **options)
    shares = np.array(expected) / sum(expected)
    found = np.bincount(tokens, minlength=5) / count
    assert (np.abs(found - shares) <= 4 * np.sqrt(shares * (1 - shares) / count)).all()
    np.testing.assert_allclose(np.exp(logprobs), shares[tokens], rtol=1e-5)


def test_steps_and_rows_have_noise_of_their_own() -> None:
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(0), row))(jnp.arange(500))
    logits = jnp.zeros((500, 64))
    first, second = (np.asarray(draw(logits, keys, jnp.int32(number))[0]) for number in range(2))
    assert np.mean(first == second) < 0.05
    assert len(set(first.tolist())) == 64
    alone = draw(logits[:1], keys[7:8], jnp.int32(0))[0]
    assert int(alone[0]) == first[7]


def test_greedy_is_the_likeliest_with_the_models_own_probability() -> None:
    tokens, logprobs = draw(LOGITS[None], jax.random.split(jax.random.key(0), 1), jnp.int32(0), temperature=0.0)
    assert int(tokens[0]) == 0
    assert float(logprobs[0]) == pytest.approx(np.log(0.4), rel=1e-5)


def test_rare_tokens_of_a_large_vocabulary_are_drawn_as_often_as_they_should() -> None:
    """A noise of 23 bits has ties among 100,000 equal tokens, and the first would win them."""
    count, vocab = 200, 100_000
    keys = jax.vmap(lambda row: jax.random.fold_in(jax.random.key(1), row))(jnp.arange(count))
    tokens = np.asarray(draw(jnp.zeros((count, vocab)), keys, jnp.int32(0))[0])
    assert abs(tokens.mean() / vocab - 0.5) < 4 * np.sqrt(1 / 12 / count)
    assert len(set(tokens.tolist())) > count * 0.98


def test_no_truncation_leaves_the_logits_alone() -> None:
    np.testing.assert_array_equal(kept(LOGITS[None], 1.0, 0), LOGITS[None])
    np.testing.assert_array_equal(kept(LOGITS[None], 1.0, 5), LOGITS[None])


PROGRAM = """
import numpy as np, jax
from flax import nnx
from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.model import Llama
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.posttrain.training.placement import place_parameters
from scaling.posttrain.sampling import check_logprobs, learner_logprobs, sample
from scaling.train.placement import mesh_of_devices

model = LlamaConfig(vocab=40, width=32, depth=2, heads=4, kv_heads=2, ffn=96, seq_len=64, attention_bias="qkv")
parameters = nnx.split(Llama(model, Init(matrix=1.0, embedding=0.5, head=0.3), rngs=nnx.Rngs(0)))[1]
random = np.random.default_rng(0)
prompts = [random.integers(1, 40, 1 + 3 * row).astype(np.int32) for row in range(13)]
found = []
for sizes in (None, (8, 1, 1), (2, 2, 2), (1, 4, 2)):
    mesh = None if sizes is None else mesh_of_devices(Parallelism(*sizes))
    own = Execution(mesh=mesh)
    placed = place_parameters(parameters, mesh)
    answers = sample(model, placed, prompts, 5, most=12, end=0, execution=own, batch=5)
    check_logprobs(answers, learner_logprobs(model, placed, answers, execution=own, batch=16))
    found.append(answers)
for answers in found[1:]:
    np.testing.assert_array_equal(answers.tokens, found[0].tokens)
    np.testing.assert_array_equal(answers.stopped, found[0].stopped)
    np.testing.assert_allclose(answers.logprobs, found[0].logprobs, atol=1e-5)
print("equal", int(found[0].stopped.sum()))
"""


def test_eight_devices_are_one() -> None:
    flags = "--xla_force_host_platform_device_count=8 --xla_cpu_multi_thread_eigen=false"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("equal")

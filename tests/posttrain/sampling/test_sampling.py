"""Sampled answers: the same alone and in any batch, ended or cut off, refused where the learner is another model."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.model import Llama
from scaling.llama.rope_scaling import DynamicScaling
from scaling.posttrain.sampling import Answers, check_logprobs, learner_logprobs, logprobs_difference, sample
from scaling.posttrain.sampling import sampler as sampler_module

MODEL = LlamaConfig(vocab=40, width=16, depth=2, heads=2, kv_heads=1, ffn=24, seq_len=64, qk_norm=True)
END, MOST = 3, 12
# All but the last are padded to one length, so that most tests compile one program.
PROMPTS = [
    np.random.default_rng(row).integers(4, 40, length).astype(np.int32)
    for row, length in enumerate([1, 3, 30, 8, 17, 2, 25, 9, 32, 5, 12, 45])
]
SHORT = PROMPTS[:8]


def parameters_of(model: LlamaConfig = MODEL, head: float = 0.3) -> nnx.State:
    return nnx.split(Llama(model, Init(matrix=1.0, embedding=0.5, head=head), rngs=nnx.Rngs(0)))[1]


PARAMETERS = parameters_of()


def answered(prompts: list[np.ndarray] = PROMPTS, seed: int = 7, **options: Any) -> Answers:
    options = {"most": MOST, "end": END, "batch": 8, **options}
    return sample(MODEL, options.pop("parameters", PARAMETERS), prompts, seed, **options)


@pytest.fixture
def retraced() -> Iterator[None]:
    """For tests that change what programs are traced from."""
    sampler_module._program.cache_clear()
    yield
    sampler_module._program.cache_clear()


def row_of(answers: Answers, row: int) -> tuple[np.ndarray, np.ndarray]:
    of = answers.counted[row]
    return answers.tokens[row][of], answers.logprobs[row][of]


def test_rows_hold_prompt_and_answer_and_nothing_else() -> None:
    answers = answered()
    assert answers.tokens.shape == answers.logprobs.shape == (12, 64)
    for row, prompt in enumerate(PROMPTS):
        assert answers.prompt_lengths[row] == len(prompt)
        np.testing.assert_array_equal(answers.tokens[row, : len(prompt)], prompt)
        assert not answers.tokens[row, answers.lengths[row] :].any()
        tokens, logprobs = row_of(answers, row)
        assert 1 <= len(tokens) <= MOST
        assert (logprobs < 0).all()
        # The end is the last token and counted, or else the answer is as long as it may be.
        assert (tokens == END).sum() == int(answers.stopped[row]) == int(tokens[-1] == END)
        assert answers.stopped[row] or len(tokens) == MOST
        np.testing.assert_array_equal(answers.answer(row), tokens[:-1] if answers.stopped[row] else tokens)
    assert not answers.logprobs[~answers.counted].any()
    assert 0 < answers.stopped.sum() < 12


def same(answers: Answers, others: Answers, rows: list[int], exact: bool) -> bool:
    """Whether rows of some answers are the first rows of others."""
    for at, row in enumerate(rows):
        (tokens, logprobs), (other, others_logprobs) = row_of(answers, row), row_of(others, at)
        if not np.array_equal(tokens, other) or answers.stopped[row] != others.stopped[at]:
            return False
        if not np.allclose(logprobs, others_logprobs, rtol=0, atol=0 if exact else 1e-5):
            return False
    return True


def test_a_rows_answer_does_not_depend_on_the_batch_it_is_in() -> None:
    whole = answered()
    for count in (1, 5, 11):
        assert same(whole, answered(PROMPTS[:count]), list(range(count)), exact=True)
    reordered = [PROMPTS[0], *PROMPTS[:0:-1]]  # a row's index is part of its seed
    assert same(whole, answered(reordered), [0], exact=True)
    assert same(whole, answered(SHORT, batch=3), list(range(8)), exact=False)
    assert same(whole, answered(SHORT, batch=1), list(range(8)), exact=False)


def test_nor_on_how_far_its_prompt_is_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answered(SHORT)
    monkeypatch.setattr(sampler_module, "bucket", lambda _, most: most)
    assert same(whole, answered(SHORT), list(range(8)), exact=False)


@pytest.mark.usefixtures("retraced")
def test_noise_shared_by_a_batch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared(logits: Any, keys: Any, number: Any, *_: Any) -> Any:
        tokens = jax.random.categorical(jax.random.fold_in(keys[0], number), logits).astype(jnp.int32)
        return tokens, jnp.take_along_axis(jax.nn.log_softmax(logits), tokens[:, None], axis=1)[:, 0]

    monkeypatch.setattr(sampler_module, "draw", shared)
    assert not same(answered(SHORT), answered(SHORT, batch=3), list(range(8)), exact=False)


def test_seeds_and_indices_give_other_answers() -> None:
    same_prompt = [PROMPTS[2]] * 8
    first, second = answered(same_prompt), answered(same_prompt, seed=8)
    assert len({first.answer(row).tobytes() for row in range(8)}) > 3
    assert not np.array_equal(first.tokens, second.tokens)
    np.testing.assert_array_equal(first.tokens, answered(same_prompt).tokens)


def test_greedy_answers_take_the_likeliest_token() -> None:
    answers = answered(SHORT, temperature=0.0)
    graph = nnx.split(nnx.eval_shape(lambda: Llama(MODEL, rngs=nnx.Rngs(0))))[0]
    logits = np.asarray(nnx.merge(graph, PARAMETERS).logits(jnp.asarray(answers.tokens)))
    likeliest = np.roll(logits.argmax(axis=-1), 1, axis=1)
    np.testing.assert_array_equal(likeliest[answers.counted], answers.tokens[answers.counted])
    assert check_logprobs(answers, learner_logprobs(MODEL, PARAMETERS, answers)).greatest < 1e-5


def test_the_context_ends_an_answer() -> None:
    model = dataclasses.replace(MODEL, rope_scaling=DynamicScaling(4.0))
    prompts = [np.full(60, 9, np.int32), PROMPTS[11]]
    answers = sample(model, PARAMETERS, prompts, 0, most=20, end=39, batch=2)
    assert answers.tokens.shape[1] == 64
    assert answers.lengths[0] <= 64
    assert answers.stopped[0] or answers.lengths[0] == 64
    check_logprobs(answers, learner_logprobs(model, PARAMETERS, answers))


@pytest.mark.parametrize("temperature", [1.0, 0.6, 1.7])
def test_sampler_and_learner_agree(temperature: float) -> None:
    answers = answered(SHORT, temperature=temperature)
    learned = learner_logprobs(MODEL, PARAMETERS, answers, temperature=temperature, batch=5)
    difference = check_logprobs(answers, learned)
    assert 0 <= difference.mean <= difference.greatest < 1e-5
    assert not learned[~answers.counted].any()


def moved(parameters: nnx.State, by: float) -> nnx.State:
    return jax.tree.map(lambda x: x + by * jnp.sign(jnp.sin(37 * jnp.arange(x.size))).reshape(x.shape), parameters)


@pytest.mark.parametrize(
    ("sampled", "learned"),
    [
        ({"temperature": 0.7}, {}),
        ({}, {"temperature": 0.99}),
        ({"top_p": 0.9}, {}),
        ({"top_k": 20}, {}),
        ({}, {"parameters": moved(PARAMETERS, 1e-3)}),
        ({}, {"parameters": jax.tree.map(lambda x: x * float("nan"), PARAMETERS)}),
    ],
    ids=["temperature", "the learner's temperature", "top-p", "top-k", "stale parameters", "not a number"],
)
def test_another_distribution_than_the_learners_is_refused(sampled: dict[str, Any], learned: dict[str, Any]) -> None:
    answers = answered(SHORT, **sampled)
    learned = {"parameters": PARAMETERS, **learned}
    logprobs = learner_logprobs(MODEL, learned.pop("parameters"), answers, **learned)
    with pytest.raises(InputError, match=r"between sampler and learner, and 0\.0001 is the most"):
        check_logprobs(answers, logprobs)


def test_half_precision_is_held_to_its_mean() -> None:
    answers = answered(SHORT, dtype="bfloat16")
    logprobs = learner_logprobs(MODEL, PARAMETERS, answers, dtype="bfloat16")
    difference = check_logprobs(answers, logprobs, "bfloat16")
    assert difference.greatest > 1e-4
    with pytest.raises(InputError, match="nats between sampler and learner"):
        check_logprobs(answers, logprobs)
    with pytest.raises(InputError, match=r"differ in the mean by .* and 0\.05 is the most"):
        check_logprobs(answers, 0.9 * logprobs, "bfloat16")


def test_no_difference_without_a_token() -> None:
    empty = Answers(
        np.ones((1, 32), np.int32),
        np.array([4], np.int32),
        np.array([4], np.int32),
        np.zeros((1, 32), np.float32),
        np.array([False]),
    )
    assert logprobs_difference(empty, np.zeros((1, 32), np.float32)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("prompts", "options", "lines"),
    [
        ([np.zeros(0, np.int32)], {}, ["prompt 0 is empty"]),
        (
            [PROMPTS[1], np.ones(64, np.int32)],
            {},
            ["prompt 1 has 64 tokens; the model's context of 64 has no room for an answer"],
        ),
        ([np.array([40], np.int32)], {}, ["prompt 0 has the id 40; the model's vocabulary has 40"]),
        ([], {"most": 0}, ["`most` is 0; an answer has at least one token", "there is no prompt"]),
        (
            [np.zeros(0, np.int32)] * 7,
            {"temperature": -1.0, "top_p": 0.0, "top_k": -1},
            [
                "`temperature` is -1.0; it must be 0 or more",
                "`top_p` is 0.0; it must be above 0, and 1 at most",
                "`top_k` is -1; it must be 0, for all tokens, or more",
                *(f"prompt {row} is empty" for row in range(5)),
                "and 2 prompts more",
            ],
        ),
    ],
    ids=["empty", "long", "vocabulary", "none", "all"],
)
def test_bad_input(prompts: list[np.ndarray], options: dict[str, Any], lines: list[str]) -> None:
    with pytest.raises(InputError) as error:
        answered(prompts, **options)
    assert list(error.value.errors) == lines

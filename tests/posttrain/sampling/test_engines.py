"""Samplers of other programs: scored again by our model, weighted, and refused where they are of another one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from scaling.data.answers.rows import Ids
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.model import Llama
from scaling.posttrain.sampling import sample
from scaling.posttrain.sampling.answers import Answers
from scaling.posttrain.sampling.engines import Generated, Vllm, importance_weights, sample_with

MODEL = LlamaConfig(vocab=40, width=16, depth=2, heads=2, kv_heads=1, ffn=24, seq_len=64)
PARAMETERS = nnx.split(Llama(MODEL, Init(matrix=1.0, embedding=0.5, head=0.3), rngs=nnx.Rngs(0)))[1]
PROMPTS = [np.arange(4, 5 + row, dtype=np.int32) for row in range(6)]
END = 3


class Ours:
    """An engine that is our own sampler, with other parameters or log-probabilities if need be."""

    def __init__(self, parameters: nnx.State = PARAMETERS, off: float = 0.0, temperature: float | None = None) -> None:
        self.parameters, self.off, self.temperature = parameters, off, temperature

    def generate(
        self, prompts: Sequence[Ids], limits: Sequence[int], seed: int, end: int, temperature: float
    ) -> list[Generated]:
        assert set(limits) == {12}
        temperature = temperature if self.temperature is None else self.temperature
        answers = sample(MODEL, self.parameters, prompts, seed, most=12, end=end, temperature=temperature, batch=8)
        found = []
        for row in range(len(prompts)):
            of = answers.counted[row]
            logprobs = answers.logprobs[row][of] + np.float32(self.off)
            found.append(Generated(answers.tokens[row][of], logprobs, bool(answers.stopped[row])))
        return found


def test_an_engines_answers_are_scored_again() -> None:
    own = sample(MODEL, PARAMETERS, PROMPTS, 1, most=12, end=END, batch=8)
    made = sample_with(Ours(off=0.02), MODEL, PARAMETERS, PROMPTS, 1, most=12, end=END)
    np.testing.assert_array_equal(made.answers.tokens, own.tokens)
    np.testing.assert_array_equal(made.answers.stopped, own.stopped)
    np.testing.assert_array_equal(made.answers.lengths, own.lengths)
    np.testing.assert_allclose(made.logprobs, own.logprobs, atol=1e-5)
    assert made.difference.mean == pytest.approx(0.02, abs=1e-4)


STALE = jax.tree.map(lambda x: x * 1.5, PARAMETERS)


@pytest.mark.parametrize(
    "engine",
    [Ours(STALE), Ours(temperature=0.5), Ours(off=0.06)],
    ids=["parameters", "temperature", "log-probabilities"],
)
def test_an_engine_with_another_model_is_refused(engine: Ours) -> None:
    with pytest.raises(InputError, match=r"differ from the model's by .* nats in the mean, and 0\.05 is the most"):
        sample_with(engine, MODEL, PARAMETERS, PROMPTS, 1, most=12, end=END)


def test_a_prompt_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="a prompt has 64 tokens, and the model's context is 64"):
        sample_with(Ours(), MODEL, PARAMETERS, [np.ones(64, np.int32)], 1, most=12, end=END)


def test_importance_weights_are_truncated() -> None:
    logprobs = np.array([[0.0, 0.0, -1.0, -2.0, -1.0, 0.0]], np.float32)
    answers = Answers(
        np.ones((1, 6), np.int32), np.array([2], np.int32), np.array([5], np.int32), logprobs, np.array([True])
    )
    learned = np.array([[0.0, 0.0, -1.5, -0.5, -1.0, -9.0]], np.float32)
    expected = [[0.0, 0.0, np.exp(-0.5), 2.0, 1.0, 0.0]]
    np.testing.assert_allclose(importance_weights(answers, learned), expected, rtol=1e-6)
    np.testing.assert_allclose(importance_weights(answers, learned, 1.0)[0, 2:5], [np.exp(-0.5), 1.0, 1.0], rtol=1e-6)


def test_vllm_is_asked_as_it_wants_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By a stand-in with vLLM's names, as that needs a GPU."""
    asked: dict[str, Any] = {}

    class LLM:
        def __init__(self, **options: Any) -> None:
            asked["model"] = options

        def generate(self, prompts: Any, params: Any, use_tqdm: bool) -> Any:
            asked.update(prompts=prompts, params=params, use_tqdm=use_tqdm)
            outputs = [([7, END], "stop"), ([7, 8, 9], "length")]
            return [
                SimpleNamespace(
                    outputs=[
                        SimpleNamespace(
                            token_ids=tokens,
                            logprobs=[{token: SimpleNamespace(logprob=-0.25 * token)} for token in tokens],
                            finish_reason=reason,
                        )
                    ]
                )
                for tokens, reason in outputs
            ]

    module = ModuleType("vllm")
    module.LLM, module.SamplingParams = LLM, SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    found = Vllm(tmp_path, 64).generate(PROMPTS[:2], [2, 3], 5, END, 0.7)
    assert asked["model"]["logprobs_mode"] == "processed_logprobs"
    assert asked["prompts"] == [{"prompt_token_ids": [4]}, {"prompt_token_ids": [4, 5]}]
    assert [params.max_tokens for params in asked["params"]] == [2, 3]
    assert asked["params"][0].seed != asked["params"][1].seed
    assert {params.temperature for params in asked["params"]} == {0.7}
    assert [(one.tokens.tolist(), one.stopped) for one in found] == [([7, END], True), ([7, 8, 9], False)]
    assert found[0].logprobs.tolist() == [-1.75, -0.75]


def test_without_vllm_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(
        InputError, match=r"the sampler vllm needs a GPU and vLLM: pip install .scaling-law-toolkit.vllm."
    ):
        Vllm(tmp_path, 64)

"""Samplers of other programs, behind a protocol: vLLM, for GPUs. What they sample is scored again by our own model.

Their kernels round otherwise and their weights are copies, so log-probabilities are always recomputed here, and answers
whose own differ too much are refused (the mismatch of verl#6240 and open-instruct#1473).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from scaling.data.answers.rows import Ids, bucket
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.sampling.answers import Answers
from scaling.posttrain.sampling.mismatch import MOST_MEAN, Difference, learner_logprobs, logprobs_difference
from scaling.train.optimizer import Parameters

# Of a token's probability by the learner over that by the sampler (truncated importance sampling).
CAP = 2.0


class Generated(NamedTuple):
    """One answer of an engine.

    Attributes:
        tokens: its end included.
        logprobs: of each token at the temperature, nats.
        stopped: whether it has ended, rather than been cut off.
    """

    tokens: Ids
    logprobs: Float32[np.ndarray, " tokens"]
    stopped: bool


@runtime_checkable
class Engine(Protocol):
    """A sampler with weights of its own, from all tokens: no top-p or top-k, whose log-probabilities are others."""

    def generate(
        self, prompts: Sequence[Ids], limits: Sequence[int], seed: int, end: int, temperature: float
    ) -> list[Generated]:
        """An answer to every prompt, of as many tokens as its limit says at most."""
        ...


class EngineAnswers(NamedTuple):
    """An engine's answers.

    Attributes:
        answers: with the engine's log-probabilities.
        logprobs: our own of the same tokens, nats; 0 at prompts and padding.
        difference: of the two.
    """

    answers: Answers
    logprobs: Float32[np.ndarray, "rows seq"]
    difference: Difference


def sample_with(
    engine: Engine,
    model: LlamaConfig,
    parameters: Parameters,
    prompts: Sequence[Ids],
    seed: int,
    *,
    most: int,
    end: int,
    temperature: float = 1.0,
    dtype: str = "float32",
    execution: Execution = PLAIN,
) -> EngineAnswers:
    """An answer to every prompt by an engine; arguments as of ``sampler.sample``, the temperature above 0.

    Raises:
        InputError: a prompt has no room for an answer, or the log-probabilities differ by .05 nats or more in the mean.
    """
    limits = [min(most, model.seq_len - len(prompt)) for prompt in prompts]
    if min(limits) < 1:
        raise InputError(f"a prompt has {max(map(len, prompts))} tokens, and the model's context is {model.seq_len}")
    made = engine.generate(prompts, limits, seed, end, temperature)
    answers = _as_answers(prompts, made, bucket(max(map(len, prompts)) + most, model.seq_len))
    logprobs = learner_logprobs(model, parameters, answers, temperature=temperature, dtype=dtype, execution=execution)
    difference = logprobs_difference(answers, logprobs)
    if not difference.mean < MOST_MEAN:
        raise InputError(
            f"the sampler's log-probabilities differ from the model's by {difference.mean:.2g} nats in the mean, and "
            f"{MOST_MEAN:g} is the most: it has other parameters, or another temperature"
        )
    return EngineAnswers(answers, logprobs, difference)


def importance_weights(
    answers: Answers, logprobs: Float32[np.ndarray, "rows seq"], cap: float = CAP
) -> Float32[np.ndarray, "rows seq"]:
    """The learner's probability of each token over the sampler's, ``cap`` at most; 0 at prompts and padding.

    Weighted so, a loss over the sampler's answers is one over the learner's, but for what the cap takes off.
    """
    ratios = np.exp(np.minimum(logprobs.astype(np.float64) - answers.logprobs, np.log(cap)))
    return np.where(answers.counted, ratios, 0.0).astype(np.float32)


class Vllm:
    """vLLM (2309.06180), on a GPU; its weights are those of a Hugging Face folder.

    Args:
        folder: the model, as ``scaling export`` writes it.
        seq_len: the model's context.
        dtype: of activations and matrix products.

    Raises:
        InputError: vLLM is not installed.
    """

    def __init__(self, folder: Path, seq_len: int, dtype: str = "float32") -> None:
        try:
            import vllm
        except ImportError:
            raise InputError(
                'the sampler vllm needs a GPU and vLLM: pip install "scaling-law-toolkit[vllm]", without '
                "constraints.txt, as it pins other versions of torch"
            ) from None
        self._params = vllm.SamplingParams
        # Processed log-probabilities are those at the temperature; raw ones would differ at any but 1 (trl#4159).
        self._llm = vllm.LLM(
            model=str(folder),
            skip_tokenizer_init=True,
            dtype=dtype,
            max_model_len=seq_len,
            logprobs_mode="processed_logprobs",
        )

    def generate(
        self, prompts: Sequence[Ids], limits: Sequence[int], seed: int, end: int, temperature: float
    ) -> list[Generated]:
        """Answers; a row's noise is of the seed and its index."""
        params = [
            self._params(
                temperature=temperature,
                max_tokens=limit,
                seed=int(np.random.SeedSequence([seed, row]).generate_state(1)[0]),
                stop_token_ids=[end],
                ignore_eos=True,
                logprobs=0,
                detokenize=False,
            )
            for row, limit in enumerate(limits)
        ]
        asked = [{"prompt_token_ids": prompt.tolist()} for prompt in prompts]
        outputs = self._llm.generate(asked, params, use_tqdm=False)
        return [_generated(output.outputs[0], end) for output in outputs]


def _generated(output: Any, end: int) -> Generated:
    tokens = np.array(output.token_ids, np.int32)
    each = [found[token].logprob for token, found in zip(output.token_ids, output.logprobs, strict=True)]
    return Generated(tokens, np.array(each, np.float32), bool(len(tokens)) and int(tokens[-1]) == end)


def _as_answers(prompts: Sequence[Ids], made: Sequence[Generated], width: int) -> Answers:
    tokens, logprobs = np.zeros((len(prompts), width), np.int32), np.zeros((len(prompts), width), np.float32)
    prompt_lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    lengths = prompt_lengths + np.array([len(answer.tokens) for answer in made], np.int32)
    for row, (prompt, answer) in enumerate(zip(prompts, made, strict=True)):
        begin, last = int(prompt_lengths[row]), int(lengths[row])
        tokens[row, :begin], tokens[row, begin:last] = prompt, answer.tokens
        logprobs[row, begin:last] = answer.logprobs
    stopped = np.array([answer.stopped for answer in made], bool)
    return Answers(tokens, prompt_lengths, lengths.astype(np.int32), logprobs, stopped)

"""Gold rewards: what stands for people's judgement, by name."""

import zlib
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float64

from scaling.data.answers.rows import Ids
from scaling.data.tokenizer import BYTES, Tokenizer
from scaling.errors import InputError
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import SCORE
from scaling.posttrain.rewards.reader.reader import Reader, SafetyReader
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model, padded_rows
from scaling.posttrain.stage import Model
from scaling.posttrain.training.logprob import logprobs_program, policy_parameters

Rewards = Float64[np.ndarray, " rows"]
Stopped = Bool[np.ndarray, " rows"]
OF_MODEL = "run"
"""The gold that is another model, the run's source of the part ``gold``."""
_PART = "gold"
_BATCH = 64
_GOLDS: dict[str, Callable[[Tokenizer], "Gold"]] = {"reader": Reader, "safety": SafetyReader}
GOLDS = (*_GOLDS, OF_MODEL)
"""Names of gold rewards."""


@runtime_checkable
class Gold(Protocol):
    """A gold reward.

    Attributes:
        safety: whether it says which answer is safe, rather than helpful.
        step: a difference of rewards that a rater would call one step better.
    """

    @property
    def safety(self) -> bool: ...

    @property
    def step(self) -> float: ...

    def score(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Stopped) -> Rewards:
        """The reward of each answer.

        Args:
            prompts, answers: ids; answers without the end.
            stopped: whether the answer ended by itself.
        """
        ...

    def rate(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Stopped, seed: int) -> Rewards:
        """The same by one rater of each row, who errs; two answers of one row and seed have the same rater."""
        ...


def find_gold(
    name: str,
    tokenizer: Tokenizer = BYTES,
    source: Callable[[str], Model] | None = None,
    end: int | None = None,
) -> Gold:
    """The gold reward of a name.

    Args:
        name: one of ``GOLDS``.
        tokenizer: of the ids that it judges.
        source: reads the model of a part; for the gold ``run`` that of the part ``gold``, a reward model or, without a
            scalar head, a language model whose log-likelihood of the answer is the reward.
        end: the id that ends an answer; the tokenizer's if not given.

    Raises:
        InputError: there is no gold of that name, or no model for it, or one of another vocabulary.
    """
    if name in _GOLDS:
        return _GOLDS[name](tokenizer)
    if name != OF_MODEL:
        raise InputError(f"gold {name!r} is not one of {', '.join(GOLDS)}")
    if source is None:
        raise InputError("gold 'run' needs the folder of a run")
    return ModelGold(source(_PART), tokenizer, end=end)


class ModelGold:
    """Another model's reward, or its log-likelihood of an answer and its end, nats.

    A rater errs as Bradley and Terry have it: of two answers the better one is preferred with the probability
    sigmoid(difference of rewards).

    Args:
        model: a reward model, or a language model where it has no scalar head.
        tokenizer: of the ids.
        dtype: of its activations and matrix products.
        execution: remat, attention and the mesh.
        end: the id that ends an answer; the tokenizer's if not given.

    Raises:
        InputError: the model's vocabulary is smaller than the tokenizer's.
    """

    safety = False
    step = 1.0

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizer,
        dtype: str = "float32",
        execution: Execution = PLAIN,
        end: int | None = None,
    ) -> None:
        check_model(model, tokenizer, "gold")
        self._model, self._dtype, self._execution = model, dtype, execution
        self._end = tokenizer.end if end is None else end
        rewards = SCORE in model.parameters
        self._scorer = RewardScorer(model, dtype, execution) if rewards else None
        self._policy = None if rewards else policy_parameters(model)

    def score(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Stopped) -> Rewards:
        end = np.array([self._end], np.int32)
        rows = [
            np.concatenate([prompt, answer, end if finished else end[:0]]).astype(np.int32)
            for prompt, answer, finished in zip(prompts, answers, stopped, strict=True)
        ]
        if self._scorer is not None:
            return self._scorer.score_rows(rows).astype(np.float64)
        return self._likelihoods(rows, [len(prompt) for prompt in prompts])

    def rate(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Stopped, seed: int) -> Rewards:
        # The difference of two Gumbel draws is logistic. Each answer to a prompt has a draw of its own.
        draws = [
            np.random.default_rng([seed, row, zlib.crc32(answer.tobytes())]).gumbel()
            for row, answer in enumerate(answers)
        ]
        return self.score(prompts, answers, stopped) + np.array(draws, np.float64)

    def _likelihoods(self, rows: Sequence[Ids], prompts: Sequence[int]) -> Rewards:
        program = logprobs_program(self._model.config, self._dtype, self._execution)
        total = np.zeros(len(rows), np.float64)
        for batch, tokens, lengths in padded_rows(rows, self._model.config.seq_len, _BATCH):
            found = np.asarray(program(self._policy, tokens), np.float64)[: len(batch)]
            at = np.arange(tokens.shape[1])
            first = np.array([prompts[row] for row in batch])
            own = (at >= first[:, None]) & (at < lengths[: len(batch), None])
            total[batch] = np.where(own, found, 0.0).sum(axis=1)
        return total

"""Text from a trained model: answers with their log-probabilities, and of several the best by a reward model."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.data.answers.formats.messages import Message, Prompt
from scaling.data.answers.formats.values import text_of
from scaling.data.answers.rows import Ids
from scaling.data.answers.templates import LeftOut, Template
from scaling.errors import InputError
from scaling.hf.folder import export_model
from scaling.hf.trained import Trained, open_trained
from scaling.posttrain import sampling
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model
from scaling.posttrain.sampling.engines import Engine, Vllm, sample_with
from scaling.posttrain.training.logprob import policy_parameters

SAMPLERS = ("jax", "vllm")
_MOST = 256  # tokens of an answer, where nothing else is requested
_SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: without its end.
        tokens: the end included.
        logprob: of all its tokens together, nats, by the distribution it was drawn from.
        stopped: whether it has ended, rather than been cut off.
        reward: by the reward model; None without one.
    """

    text: str
    tokens: int
    logprob: float
    stopped: bool
    reward: float | None = None


@dataclass(frozen=True, eq=False)
class Sampled(Result):
    """Answers to one prompt.

    Attributes:
        run: who answers.
        prompt: the text.
        best_of: of how many each answer is the best.
        answers: in the order they were drawn.
        mean_reward: of all answers that were drawn; None without a reward model.
        difference: the mean difference of log-probabilities of another sampler from our own, nats; None for our own.
    """

    run: str
    prompt: str
    best_of: int
    answers: tuple[Answer, ...]
    mean_reward: float | None
    difference: float | None = None
    warnings: tuple[Diagnostic, ...] = field(default=())

    def __str__(self) -> str:
        parts = []
        for answer in self.answers:
            facts = [f"{answer.tokens} tokens{'' if answer.stopped else ', cut off'}", f"log p {answer.logprob:.2f}"]
            if answer.reward is not None:
                facts.append(f"reward {answer.reward:.3f}")
            parts.append(f"{answer.text}\n  [{'; '.join(facts)}]")
        if self.mean_reward is not None and self.best_of > 1:
            parts.append(f"each the best of {self.best_of}; the mean reward of all is {self.mean_reward:.3f}")
        return "\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling sample``."""
        return {
            "run": self.run,
            "prompt": self.prompt,
            "best_of": self.best_of,
            "answers": [vars(answer) for answer in self.answers],
            "mean_reward": self.mean_reward,
            "sampler_difference": self.difference,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """A row an answer."""
        return pd.DataFrame([vars(answer) for answer in self.answers])


class Speaker:
    """A model that answers, loaded once.

    Args:
        run: a run's folder, that of a sweep with one target, or an imported model's.
        reward: likewise, of a reward model; None without one.
        chat: whether prompts are messages; else text, as the model's own rows were written.
        template: how messages are written; None for the model's own.
        sampler: ``jax``, or ``vllm`` on a GPU.

    Raises:
        InputError: there is no such run, the reward model is none, or is of another tokenizer or a shorter context.
    """

    def __init__(
        self,
        run: str | Path,
        reward: str | Path | None = None,
        *,
        chat: bool = False,
        template: str | None = None,
        sampler: str = "jax",
    ) -> None:
        if sampler not in SAMPLERS:
            raise InputError(f"`sampler` is {sampler!r}; it must be one of {', '.join(SAMPLERS)}")
        self._trained = open_trained(Path(run))
        if self._trained.scores:
            raise InputError(f"{run}: is a reward model; it scores answers and writes none")
        self._template: Template = self._trained.writes(chat, template)
        self._scorer = None if reward is None else scorer_for(self._trained, open_trained(Path(reward)))
        self._parameters = policy_parameters(self._trained.model)
        self._engine = _vllm(self._trained) if sampler == "vllm" else None

    def answer(
        self,
        prompt: Prompt,
        *,
        count: int = 1,
        best_of: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int | None = None,
        seed: int = 0,
    ) -> Sampled:
        """Answers to a prompt, each the best of several by the reward model; arguments as of ``sample``."""
        if best_of > 1 and self._scorer is None:
            raise InputError("`best_of` needs a `reward`, the reward model that chooses")
        for name, value in (("count", count), ("best_of", best_of)):
            if value < 1:
                raise InputError(f"`{name}` is {value}; it must be 1 or more")
        ids = self._ids(prompt)
        room = self._trained.model.config.seq_len - len(ids)
        if room < 1:
            context = self._trained.model.config.seq_len
            what = "`prompt`" if isinstance(prompt, str) else "the dialogue"
            raise InputError(f"{what} has {len(ids)} tokens, and the model's context of {context} needs room for more")
        most = min(_MOST if max_tokens is None else max_tokens, room)
        made, difference = self._drawn([ids] * (count * best_of), seed, most, temperature, top_p)
        rewards = None if self._scorer is None else self._scorer.score(made.tokens, made.lengths)
        answers = [self._read(made, row, rewards) for row in range(count * best_of)]
        groups = [answers[at : at + best_of] for at in range(0, len(answers), best_of)]
        chosen = [max(group, key=lambda answer: answer.reward or 0.0) for group in groups]
        mean = None if rewards is None else float(rewards.mean())
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        return Sampled(str(self._trained.place), text, best_of, tuple(chosen), mean, difference)

    def _ids(self, prompt: Prompt) -> Ids:
        try:
            for text in [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]:
                text_of(text, "prompt")
            ids = self._template.prompt(prompt)
        except LeftOut as error:
            raise InputError(f"`prompt`: {error}") from None
        except ValueError as error:
            raise InputError(" ".join(str(error).split())) from None
        # Without a prompt a document begins: after the token that closes the one before.
        return ids if len(ids) else np.array([self._template.end], np.int32)

    def _drawn(
        self, prompts: list[Ids], seed: int, most: int, temperature: float, top_p: float
    ) -> tuple[sampling.Answers, float | None]:
        model, end = self._trained.model.config, self._template.end
        if self._engine is None:
            batch = min(len(prompts), 64)
            options: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "batch": batch}
            return sampling.sample(model, self._parameters, prompts, seed, most=most, end=end, **options), None
        if top_p < 1 or temperature <= 0:
            raise InputError("`sampler`: vllm draws from all tokens at a temperature above 0, as we score it again")
        made = sample_with(
            self._engine, model, self._parameters, prompts, seed, most=most, end=end, temperature=temperature
        )
        return made.answers._replace(logprobs=made.logprobs), made.difference.mean

    def _read(self, made: sampling.Answers, row: int, rewards: np.ndarray | None) -> Answer:
        return Answer(
            text=self._trained.tokenizer.decode(made.answer(row)),
            tokens=int(made.lengths[row] - made.prompt_lengths[row]),
            logprob=float(made.logprobs[row].sum(dtype=np.float64)),
            stopped=bool(made.stopped[row]),
            reward=None if rewards is None else float(rewards[row]),
        )


def sample(
    run: str | Path,
    prompt: str | Sequence[Message],
    *,
    count: int = 1,
    best_of: int = 1,
    reward: str | Path | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_tokens: int | None = None,
    seed: int = 0,
    template: str | None = None,
    sampler: str = "jax",
) -> Sampled:
    """Answers of a trained model to a prompt.

    Args:
        run: a run's folder, of pre-training or a stage after it; that of a sweep with one target; or an imported
            model's.
        prompt: text, or a dialogue's messages.
        count: answers.
        best_of: answers that each is the best of, by the reward model.
        reward: folder of a reward model's run, which scores the answers.
        temperature: that the logits are divided by; 0 takes the likeliest token.
        top_p: draws from the fewest tokens that together have this probability.
        max_tokens: of an answer; 256 by default, or what the model's context has room for.
        seed: of all that is drawn; the same seed gives the same answers.
        template: of messages; by default the model's own.
        sampler: ``jax``, or ``vllm`` on a GPU.

    Raises:
        InputError: one line per error.
    """
    chat = not isinstance(prompt, str)
    speaker = Speaker(run, reward, chat=chat, template=template, sampler=sampler)
    return speaker.answer(
        prompt if isinstance(prompt, str) else tuple(prompt),
        count=count,
        best_of=best_of,
        temperature=temperature,
        top_p=top_p,
        max_tokens=max_tokens,
        seed=seed,
    )


def scorer_for(policy: Trained, reward: Trained) -> RewardScorer:
    """A reward model that can score a policy's answers.

    Raises:
        InputError: it is none, or is of another tokenizer or a shorter context.
    """
    if not reward.scores:
        raise InputError(f"{reward.place}: is no reward model; it has no scalar head")
    check_model(reward.model, policy.tokenizer, "reward", reward.tokenizer)
    if reward.model.config.seq_len < policy.model.config.seq_len:
        raise InputError(
            f"{reward.place}: its context of {reward.model.config.seq_len} tokens is shorter than "
            f"{policy.model.config.seq_len}, that of {policy.place}"
        )
    return RewardScorer(reward.model)


def _vllm(trained: Trained) -> Engine:
    memory = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        export_model(trained.place, Path(folder))
        return Vllm(Path(folder), trained.model.config.seq_len)

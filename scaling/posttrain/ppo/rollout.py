"""An iteration's answers, checked against the learner, with the advantages and returns that the updates use."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int32, Int64

from scaling.data.answers.rows import Ids, bucket
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import whole
from scaling.llama.sharding import BATCH, PLAIN, Execution, axis_size
from scaling.posttrain.measure import ProxyReward
from scaling.posttrain.ppo.advantages import Live, Numbers, advantages_and_returns, final_scores, token_rewards, whiten
from scaling.posttrain.rewards.combine import whiten as whiten_scores
from scaling.posttrain.sampling import Answers, check_logprobs, learner_logprobs, sample
from scaling.posttrain.settings import PpoSettings
from scaling.posttrain.training.kl import divergences_program
from scaling.posttrain.training.logprob import make_values
from scaling.posttrain.training.placement import place_rows
from scaling.train.optimizer import Parameters

# Rows of a compiled call.
_ROWS = 256
# Purposes of random numbers, of which each has its own.
_PROMPTS, _ANSWERS, _ORDER = 0, 1, 2


class Experience(NamedTuple):
    """What the updates of an iteration use: a row an answer, each array with a token's number where the token is.

    Attributes:
        tokens: prompt, answer and padding.
        live: tokens of the answers, their ends included.
        old: the learner's log-probabilities before the updates.
        values: the critic's, before each token was chosen.
        advantages: with mean 0 and standard deviation 1 over the live tokens of the iteration.
        returns: that the critic is to foretell.
    """

    tokens: Int32[np.ndarray, "rows seq"]
    live: Bool[np.ndarray, "rows seq"]
    old: Float32[np.ndarray, "rows seq"]
    values: Float32[np.ndarray, "rows seq"]
    advantages: Float32[np.ndarray, "rows seq"]
    returns: Float32[np.ndarray, "rows seq"]

    def minibatches(self, seed: int, iteration: int, epochs: int, count: int) -> Iterator["Experience"]:
        """Parts of the answers, ``count`` of them in each epoch, in an order of (seed, iteration, epoch)."""
        for epoch in range(epochs):
            order = np.random.default_rng([seed, iteration, _ORDER, epoch]).permutation(len(self.tokens))
            for rows in np.split(order, count):
                yield Experience(*(array[rows] for array in self))


class Rollout(NamedTuple):
    """An iteration's answers and what is reported of them.

    Attributes:
        experience: None if the policy's probabilities are not numbers any more.
        columns: ``loss`` (minus the mean sum of an answer's rewards, KL penalty included), ``proxy`` (mean score),
            ``kl`` (exact, nats an answer), ``entropy`` (nats a token), ``length``, ``stopped``, ``sampler_difference``
            (the greatest of a token's log-probability between sampler and learner, nats).
    """

    experience: Experience | None
    columns: dict[str, float]


@dataclass(frozen=True)
class Roller:
    """Makes the rollouts of a run.

    Attributes:
        model, reference: the policy's shape, and the reference's parameters.
        critic: the critic's shape.
        proxy: scores the answers.
        prompts: to be answered.
        end: the token that ends an answer.
        settings: of the run.
        seed: of the run.
        whitened: whether the scores of an iteration are brought to mean 0 and standard deviation 1, before the
            penalties, as Llama 2 does with combined rewards.
        dtype, execution: as elsewhere.
    """

    model: LlamaConfig
    reference: Parameters
    critic: LlamaConfig
    proxy: ProxyReward
    prompts: Sequence[Ids]
    end: int
    settings: PpoSettings
    seed: int
    whitened: bool = False
    dtype: str = "float32"
    execution: Execution = PLAIN

    def rollout(self, policy: Parameters, critic: Parameters, iteration: int) -> Rollout:
        """Answers of the policy to the iteration's prompts.

        Raises:
            InputError: the sampler's log-probabilities are not the learner's.
        """
        prompts = prompts_of(self.prompts, self.seed, iteration, self.settings.answers)
        answers = trimmed(self._sample(policy, prompts, iteration), self.model.seq_len)
        options: Any = {"dtype": self.dtype, "execution": self.execution}
        old = learner_logprobs(self.model, policy, answers, temperature=self.settings.temperature, **options)
        if not np.isfinite(old).all():
            return Rollout(None, {"loss": float("nan")})
        difference = check_logprobs(answers, old, self.dtype)
        program = divergences_program(self.model, self.dtype, self.execution, self.settings.temperature)
        apart = by_parts(lambda tokens: program(policy, self.reference, tokens), answers.tokens, self.execution)
        kl, entropy, reference = (np.where(answers.counted, array, 0.0).astype(np.float32) for array in apart)
        read = values_program(self.critic, self.dtype, self.execution)
        (values,) = by_parts(lambda tokens: (read(critic, tokens),), answers.tokens, self.execution)
        scores = np.asarray(self.proxy.score(answers.tokens, answers.lengths), np.float32)
        rewards = whiten_scores(scores.astype(np.float64)).astype(np.float32) if self.whitened else scores
        total, advantages, returns = estimate(
            *(rewards, answers.stopped, old, reference, values, answers.counted),
            unfinished=self.settings.unfinished,
            kl=self.settings.kl,
            gamma=self.settings.gamma,
            lam=self.settings.lam,
        )
        experience = Experience(
            answers.tokens, answers.counted, old, values, np.asarray(advantages), np.asarray(returns)
        )
        columns = {
            "loss": -float(np.mean(total)),
            "proxy": float(scores.mean()),
            "kl": float(kl.sum(axis=1).mean()),
            "entropy": float(entropy.sum() / answers.counted.sum()),
            "length": float(np.mean(answers.lengths - answers.prompt_lengths - answers.stopped)),
            "stopped": float(answers.stopped.mean()),
            "sampler_difference": difference.greatest,
        }
        return Rollout(experience, columns)

    def _sample(self, policy: Parameters, prompts: Sequence[Ids], iteration: int) -> Answers:
        return sample(
            self.model,
            policy,
            prompts,
            int(np.random.SeedSequence([self.seed, iteration, _ANSWERS]).generate_state(1)[0]),
            most=self.model.seq_len - min(map(len, self.prompts)),
            end=self.end,
            temperature=self.settings.temperature,
            dtype=self.dtype,
            execution=self.execution,
        )


def prompts_of(prompts: Sequence[Ids], seed: int, iteration: int, count: int) -> list[Ids]:
    """The prompts of an iteration: pass after pass over all of them, each pass in an order of its own."""
    places = iteration * count + np.arange(count)
    orders: dict[int, Int64[np.ndarray, " prompts"]] = {
        turn: np.random.default_rng([seed, turn, _PROMPTS]).permutation(len(prompts))
        for turn in np.unique(places // len(prompts)).tolist()
    }
    return [prompts[orders[place // len(prompts)][place % len(prompts)]] for place in places.tolist()]


def trimmed(answers: Answers, most: int) -> Answers:
    """The answers without padding that none of them needs."""
    width = bucket(int(answers.lengths.max()), min(most, answers.tokens.shape[1]))
    return answers._replace(tokens=answers.tokens[:, :width], logprobs=answers.logprobs[:, :width])


def by_parts(program: Any, tokens: Int32[np.ndarray, "rows seq"], execution: Execution) -> list[np.ndarray]:
    """The arrays (rows, seq) that a compiled function makes of tokens, called with so many rows at a time.

    Args:
        program: tokens (rows, seq) -> a tuple of arrays (rows, seq).
        tokens: of all rows.
        execution: the mesh that the rows of a call are split over.
    """
    size = min(_ROWS, len(tokens))
    size += -size % axis_size(execution.mesh, BATCH)
    padded = np.zeros((len(tokens) + -len(tokens) % size, tokens.shape[1]), np.int32)
    padded[: len(tokens)] = tokens
    parts = [
        [whole(array) for array in program(place_rows(padded[first : first + size], execution.mesh))]
        for first in range(0, len(padded), size)
    ]
    return [np.concatenate(arrays)[: len(tokens)] for arrays in zip(*parts, strict=True)]


@functools.cache
def values_program(model: LlamaConfig, dtype: str, execution: Execution = PLAIN) -> Any:
    """(parameters of a critic, tokens) -> the reward foretold before each token was chosen; compiled and shared."""
    values = make_values(model, dtype, execution)
    return jax.jit(lambda parameters, tokens: before_token(values(parameters, tokens)))


def before_token(values: Float[Any, "batch seq"]) -> Float[Any, "batch seq"]:
    """The critic's values at the token before each, which is all that it knows when the token is chosen; 0 first."""
    return jnp.roll(values, 1, axis=1).at[:, 0].set(0.0)


@functools.partial(jax.jit, static_argnames=("unfinished", "kl", "gamma", "lam"))
def estimate(
    scores: Float[Array, "batch"],
    stopped: Bool[Array, "batch"],
    old: Numbers,
    reference: Numbers,
    values: Numbers,
    live: Live,
    *,
    unfinished: float,
    kl: float,
    gamma: float,
    lam: float,
) -> tuple[Float[Array, "batch"], Numbers, Numbers]:
    """Each answer's sum of rewards, then the advantages, whitened, and the returns.

    Args:
        scores, stopped: of the answers.
        old, reference: log-probabilities by the policy that sampled, and by the reference.
        values: foretold before each token was chosen.
        live: tokens of the answers.
        unfinished, kl, gamma, lam: as of ``PpoSettings``.
    """
    rewards = token_rewards(final_scores(scores, stopped, unfinished), old, reference, live, kl)
    advantages, returns = advantages_and_returns(rewards, values, live, gamma, lam)
    return rewards.sum(axis=1), whiten(advantages, live), returns

"""The stage ``reward``: a Llama with a scalar head learns which of two answers people prefer (2203.02155)."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32

from scaling.data.answers.padded import PaddedPairs, PairBatches
from scaling.data.answers.rows import Ids, Padded, Pair, PairSet
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import named_parameters, whole
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import SCORE, StageRecipe
from scaling.posttrain.measure import clustered_error, numbered
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model
from scaling.posttrain.settings import RewardSettings, settings_of
from scaling.posttrain.stage import Model, StageOutcome, StageRun
from scaling.posttrain.training.logprob import make_scores, reward_parameters
from scaling.posttrain.training.loop import restored, run_steps
from scaling.posttrain.training.losses import bradley_terry, margins
from scaling.posttrain.training.placement import check_shares, place_parameters, place_rows
from scaling.posttrain.training.update import Objective, Sums, Update, begin, hyper_of, make_update
from scaling.train.optimizer import Parameters
from scaling.train.step import TrainState

_SHOWN = 4
"""Held-out pairs whose answers are kept for people to read."""


class PairBatch(NamedTuple):
    """A batch of pairs as a step is given them.

    Attributes:
        chosen, rejected: prompts and answers.
        margins: by which the chosen answer is to lead.
        weights: 1 for a pair, 0 for a row that fills the batch.
    """

    chosen: Padded
    rejected: Padded
    margins: Any
    weights: Any


class Accuracy(NamedTuple):
    """How well a reward model tells the better answer of held-out pairs.

    Attributes:
        loss: nats per pair, without margins and centring, and its standard error.
        accuracy: share of pairs whose chosen answer has the higher score, of a tie half, and its standard error.
        mean, deviation: of the scores of all answers, by which they can be normalised.
    """

    loss: float
    loss_stderr: float
    accuracy: float
    accuracy_stderr: float
    mean: float
    deviation: float


def run_reward(run: StageRun) -> StageOutcome:
    """Trains a reward model from the start's Llama and a head of zeros, and measures it on held-out pairs.

    Of pairs about safety and about helpfulness, the setting ``kind`` says which are used, so that a safe and a helpful
    model are two runs on one set, as Llama 2's are (2307.09288, section 3.2).

    Raises:
        InputError: there are fewer pairs than requested, none to measure by, a pair does not fit the context, or the
            start has another vocabulary.
        Stopped: this process was requested to stop, and the state is saved.
    """
    config, execution = run.config, run.execution
    settings: RewardSettings = settings_of(config)
    train, held_out = chosen_pairs(run.data, settings, config.model)
    check_shares(config.recipe.batch, execution)
    start = run.source("start")
    check_model(start, run.data.tokenizer, "start")
    batches = PairBatches(train, config.recipe.batch, config.seed, config.model.seq_len)
    update = _update(config.model, settings.centring, config.dtype, config.recipe, execution)
    hyper = hyper_of(config)

    def take(state: TrainState, step: int) -> tuple[TrainState, dict[str, float]]:
        batch = place_rows(as_batch(batches.take(step), settings), execution.mesh)
        state, means = update(state, hyper, batch)
        return state, {name: float(value) for name, value in means.items()}

    def first() -> TrainState:
        parameters = place_parameters(reward_parameters(start), execution.mesh)
        return begin(parameters, config.model, config.recipe, execution.mesh)

    state, diverged = run_steps(run, restored(run, first), take, config.steps)
    row: dict[str, float] = {"pairs": len(train), "reward_params": config.params + config.model.width}
    row["answer_tokens"] = sum(len(pair.chosen) + len(pair.rejected) for pair in train)
    if diverged:
        return StageOutcome("diverged", {**row, "loss": math.nan, "loss_stderr": math.nan})
    model = Model(config.model, named_reward(state.parameters))
    scorer = RewardScorer(model, config.dtype, execution)
    chosen, rejected = score_pairs(scorer, held_out)
    found = measure(chosen, rejected, [pair.prompt for pair in held_out])
    row |= {"loss": found.loss, "loss_stderr": found.loss_stderr}
    row |= {"accuracy": found.accuracy, "accuracy_stderr": found.accuracy_stderr}
    row |= {"score_mean": found.mean, "score_deviation": found.deviation}
    curve = [{"step": float(config.steps), "accuracy": found.accuracy}]
    samples = _samples(run.data, held_out, chosen, rejected)
    return StageOutcome("done", row, curve, samples, dict(model.parameters))


@functools.cache
def _update(model: LlamaConfig, centring: float, dtype: str, recipe: StageRecipe, execution: Execution) -> Update:
    """The compiled step, shared by the runs of a process."""
    return make_update(make_objective(model, centring, dtype, execution), model, recipe, execution)


def make_objective(model: LlamaConfig, centring: float, dtype: str, execution: Execution = PLAIN) -> Objective:
    """(parameters of a reward model, ``PairBatch``) -> sums over its pairs: the loss, and ``accuracy``."""
    scores = make_scores(model, dtype, execution)

    def objective(parameters: Parameters, batch: PairBatch) -> Sums:
        # Side by side rather than one after the other, so that each device has both answers of its pairs.
        tokens, lengths = (
            jnp.stack([getattr(batch.chosen, name), getattr(batch.rejected, name)], axis=1)
            for name in ("tokens", "lengths")
        )
        both = scores(parameters, tokens.reshape(-1, tokens.shape[-1]), lengths.reshape(-1)).reshape(-1, 2)
        chosen, rejected = both[:, 0], both[:, 1]
        losses = bradley_terry(chosen, rejected, batch.margins, centring)
        right = (1 + jnp.sign(chosen - rejected)) / 2
        weights = batch.weights
        return Sums((losses * weights).sum(), weights.sum(), {"accuracy": (right * weights).sum()})

    return objective


def as_batch(pairs: PaddedPairs, settings: RewardSettings) -> PairBatch:
    """A batch of pairs with the margins of their ratings."""
    return PairBatch(pairs.chosen, pairs.rejected, margins(pairs.ratings, settings.margin), pairs.weights)


def chosen_pairs(data: PairSet, settings: RewardSettings, model: LlamaConfig) -> tuple[list[Pair], list[Pair]]:
    """The pairs that a run trains on, and those that it is measured by.

    Raises:
        InputError: there are too few, or one does not fit the model's context.
    """
    train, held_out = (_of_kind(pairs, settings) for pairs in (data.train, data.held_out))
    of_kind = "" if settings.kind == "all" else f" about {settings.kind}"
    if len(train) < settings.pairs:
        raise InputError(f"`pairs` is {settings.pairs:,}; the data have {len(train):,}{of_kind} to train on")
    if not held_out:
        raise InputError(f"the data have no held-out pairs{of_kind} to measure the reward model by")
    train, held_out = train[: settings.pairs], held_out[: settings.held_out]
    longest = max(len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) for pair in [*train, *held_out])
    if longest > model.seq_len:
        raise InputError(f"a pair has {longest:,} tokens; the model's context is {model.seq_len:,}")
    return train, held_out


def _of_kind(pairs: Sequence[Pair], settings: RewardSettings) -> list[Pair]:
    return [pair for pair in pairs if settings.kind == "all" or pair.safety == (settings.kind == "safety")]


def named_reward(parameters: Parameters) -> dict[str, np.ndarray]:
    """A reward model's parameters by name, its head ``score`` included, in this process's memory."""
    return {**named_parameters(parameters["llama"]), SCORE: whole(parameters[SCORE])}


Scored = Float32[np.ndarray, " pairs"]


def score_pairs(scorer: RewardScorer, pairs: Sequence[Pair]) -> tuple[Scored, Scored]:
    """The scores of the chosen and of the rejected answer of each pair."""
    sides = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    rows = [[_row(pair.prompt, own) for pair, own in zip(pairs, side, strict=True)] for side in sides]
    return scorer.score_rows(rows[0]), scorer.score_rows(rows[1])


def _row(prompt: Ids, answer: Ids) -> Ids:
    return np.concatenate([prompt, answer]).astype(np.int32)


def measure(chosen: Scored, rejected: Scored, prompts: Sequence[Ids]) -> Accuracy:
    """Accuracy and loss of scores; standard errors are over prompts, as answers to one may be alike.

    Args:
        chosen, rejected: scores of both answers of each pair.
        prompts: of the pairs.
    """
    groups = numbered([prompt.tobytes() for prompt in prompts])
    ones = np.ones(len(groups))
    lead = chosen.astype(np.float64) - rejected
    losses, right = np.logaddexp(0.0, -lead), (1 + np.sign(lead)) / 2
    scores = np.concatenate([chosen, rejected]).astype(np.float64)
    return Accuracy(
        *(float(losses.mean()), clustered_error(losses, ones, groups)),
        *(float(right.mean()), clustered_error(right, ones, groups)),
        *(float(scores.mean()), float(scores.std())),
    )


def _samples(data: PairSet, pairs: Sequence[Pair], chosen: Scored, rejected: Scored) -> list[dict[str, object]]:
    decode = data.tokenizer.decode
    return [
        {"prompt": decode(pair.prompt), "answer": decode(answer), "preferred": preferred, "proxy": float(score)}
        for pair, first, second in zip(pairs[:_SHOWN], chosen, rejected, strict=False)
        for answer, preferred, score in ((pair.chosen, 1.0, first), (pair.rejected, 0.0, second))
    ]

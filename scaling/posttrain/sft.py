"""The stage ``sft``: supervised fine-tuning, whose loss counts the tokens of answers alone."""

import functools
import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from scaling.data.answers.padded import PaddedBatches
from scaling.data.answers.rows import Example, ExampleSet, Padded
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import named_parameters
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import StageRecipe
from scaling.posttrain.measure import clustered_error
from scaling.posttrain.rewards.rewarding import check_model
from scaling.posttrain.settings import SftSettings, settings_of
from scaling.posttrain.stage import StageOutcome, StageRun
from scaling.posttrain.training.likelihood import likelihoods
from scaling.posttrain.training.logprob import make_logprobs, policy_parameters
from scaling.posttrain.training.loop import restored, run_steps
from scaling.posttrain.training.losses import nll_sum
from scaling.posttrain.training.placement import check_shares, place_parameters, place_rows
from scaling.posttrain.training.update import Objective, Sums, Update, begin, hyper_of, make_update
from scaling.train.optimizer import Parameters
from scaling.train.step import TrainState


def run_sft(run: StageRun) -> StageOutcome:
    """Fine-tunes the start on the first examples of ``run.data``, and measures it on the held-out ones.

    Columns of the row: ``loss`` and ``loss_stderr`` (nats per answer token, held out), ``start_loss`` (the same of the
    start), ``examples``, and ``answer_tokens`` of the examples, each once.

    Raises:
        InputError: there are fewer examples than requested, none to measure by, one does not fit the context, or the
            start has another vocabulary.
        Stopped: this process was requested to stop, and the state is saved.
    """
    config, execution = run.config, run.execution
    settings: SftSettings = settings_of(config)
    examples = chosen_examples(run.data, settings, config.model)
    check_shares(config.recipe.batch, execution)
    start = run.source("start")
    check_model(start, run.data.tokenizer, "start")
    batches = PaddedBatches(examples, config.recipe.batch, config.seed, config.model.seq_len)
    update, hyper = _update(config.model, config.dtype, config.recipe, execution), hyper_of(config)

    def take(state: TrainState, step: int) -> tuple[TrainState, dict[str, float]]:
        state, means = update(state, hyper, place_rows(batches.take(step), execution.mesh))
        return state, {name: float(value) for name, value in means.items()}

    def first() -> TrainState:
        parameters = place_parameters(policy_parameters(start), execution.mesh)
        return begin(parameters, config.model, config.recipe, execution.mesh)

    state, diverged = run_steps(run, restored(run, first), take, config.steps)
    row: dict[str, float] = {"examples": len(examples), "answer_tokens": answer_tokens(examples)}
    if diverged:
        return StageOutcome("diverged", {**row, "loss": math.nan, "loss_stderr": math.nan})
    held_out = run.data.held_out
    of_start = place_parameters(policy_parameters(start), execution.mesh)
    row["start_loss"], _ = held_out_loss(config.model, of_start, held_out, config.dtype, execution)
    row["loss"], row["loss_stderr"] = held_out_loss(config.model, state.parameters, held_out, config.dtype, execution)
    return StageOutcome("done", row, parameters=named_parameters(state.parameters))


@functools.cache
def _update(model: LlamaConfig, dtype: str, recipe: StageRecipe, execution: Execution) -> Update:
    """The compiled step, shared by the runs of a process."""
    return make_update(make_objective(model, dtype, execution), model, recipe, execution)


def make_objective(model: LlamaConfig, dtype: str, execution: Execution = PLAIN) -> Objective:
    """(parameters, ``Padded``) -> the negative log-likelihood of the tokens that count, and their number."""
    logprobs = make_logprobs(model, dtype, execution)

    def objective(parameters: Parameters, batch: Padded) -> Sums:
        tokens, counted = jnp.asarray(batch.tokens), jnp.asarray(batch.counted)
        return Sums(*nll_sum(logprobs(parameters, tokens), counted), {})

    return objective


def held_out_loss(
    model: LlamaConfig, parameters: Parameters, examples: Sequence[Example], dtype: str, execution: Execution = PLAIN
) -> tuple[float, float]:
    """The mean negative log-likelihood of a token that counts, nats, and its standard error clustered by example."""
    rows, counted = [example.ids for example in examples], [example.counted for example in examples]
    found = likelihoods(model, parameters, rows, counted, dtype, execution)
    error = clustered_error(-found.logprobs, found.tokens, np.arange(len(rows)))
    return float(-found.logprobs.sum() / found.tokens.sum()), error


def chosen_examples(data: ExampleSet, settings: SftSettings, model: LlamaConfig) -> Sequence[Example]:
    """The examples that a run trains on.

    Raises:
        InputError: there are too few, none is held out, or one does not fit the model's context.
    """
    if len(data.train) < settings.examples:
        raise InputError(f"`examples` is {settings.examples:,}; the data have {len(data.train):,} to train on")
    if not data.held_out:
        raise InputError("the data have no held-out examples to measure the model by")
    examples = data.train[: settings.examples]
    longest = max(len(example.ids) for example in (*examples, *data.held_out))
    if longest > model.seq_len:
        raise InputError(f"an example has {longest:,} tokens; the model's context is {model.seq_len:,}")
    return examples


def answer_tokens(examples: Sequence[Example]) -> int:
    """Tokens of examples that the loss counts."""
    return sum(int(example.counted.sum()) for example in examples)

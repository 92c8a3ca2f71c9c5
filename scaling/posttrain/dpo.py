"""The stage ``dpo``: direct preference optimisation of a policy by pairs, against the start as the reference."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float64, Int

from scaling.data.answers.padded import PaddedPairs, PairBatches
from scaling.data.answers.rows import Ids, Padded, Pair, PairSet
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import named_parameters
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import StageRecipe
from scaling.posttrain.measure import Measured, Probe, clustered_error, measure_policy, numbered, repeated, seed_of
from scaling.posttrain.record import Record, empty_record
from scaling.posttrain.rewards.gold import find_gold
from scaling.posttrain.rewards.rewarding import check_model
from scaling.posttrain.settings import DpoSettings, settings_of
from scaling.posttrain.stage import StageOutcome, StageRun
from scaling.posttrain.training.likelihood import Likelihoods, likelihoods
from scaling.posttrain.training.logprob import make_logprobs, policy_parameters
from scaling.posttrain.training.loop import restored, run_steps
from scaling.posttrain.training.losses import DpoKind, answer_sums, dpo_loss, dpo_loss_at_start
from scaling.posttrain.training.placement import check_shares, place_parameters, place_rows
from scaling.posttrain.training.update import Objective, Sums, Update, begin, hyper_of, make_update
from scaling.train.optimizer import Parameters
from scaling.train.placement import replicated
from scaling.train.step import TrainState

# How far the first loss may be from that of a policy that is its reference, over the larger of 1 and that loss.
_APART = {"float32": 1e-4, "bfloat16": 0.02}


class DpoBatch(NamedTuple):
    """A batch of pairs as a step is given them.

    Attributes:
        chosen, rejected: prompts and answers.
        reference: log-probability of both answers by the reference, (rows, 2).
        weights: 1 for a pair, 0 for a row that fills the batch.
    """

    chosen: Padded
    rejected: Padded
    reference: Any
    weights: Any


class DpoState(NamedTuple):
    """The state of a run between two steps, with what was measured of it."""

    train: TrainState
    record: Record
    start_gold: Float[Array, "answers"]

    @property
    def step(self) -> Int[Array, ""]:
        """Steps taken."""
        return self.train.step


class Sides(NamedTuple):
    """The likelihoods of both answers of pairs."""

    chosen: Likelihoods
    rejected: Likelihoods


def run_dpo(run: StageRun) -> StageOutcome:
    """Trains the start on the first pairs of ``run.data``, and measures it by pairs and answers held out.

    The reference is the start, and its log-probabilities are computed once. Columns of the row: ``loss`` (nats a pair,
    of the loss's kind, held out) and ``loss_stderr``, ``accuracy`` (share of held-out pairs whose chosen answer has the
    higher implied reward, of a tie half) and ``accuracy_stderr``, ``logp_chosen`` and ``logp_rejected`` (nats by which
    the log-probability of held-out answers has grown from the start's; that of the chosen ones may well fall),
    ``pairs``, ``answer_tokens``, and those of a policy's measurement; with a gold also ``peak_gold`` and ``peak_kl``.

    Raises:
        InputError: there are fewer pairs than requested, none to measure by, one does not fit the context, the start
            has another vocabulary, or the reference is not the start.
        Stopped: this process was requested to stop, and the state is saved.
    """
    trainer = _Trainer(run)
    state, diverged = run_steps(run, restored(run, trainer.first), trainer.take, run.config.steps)
    row: dict[str, float] = {"pairs": len(trainer.pairs), "answer_tokens": answer_tokens(trainer.pairs)}
    curve, samples = state.record.curve(), state.record.samples(run.data.tokenizer)
    if diverged:
        return StageOutcome("diverged", {**row, "loss": math.nan, "loss_stderr": math.nan}, curve, samples)
    row |= trainer.held_out(state.train.parameters)
    row |= {_COLUMNS.get(name, name): value for name, value in curve[-1].items() if name not in ("step", "accuracy")}
    if "gold" in curve[-1]:
        best = max(curve, key=lambda point: point["gold"])
        row |= {"peak_gold": best["gold"], "peak_kl": best["kl"]}
    return StageOutcome("done", row, curve, samples, named_parameters(state.train.parameters))


# Names of a measurement's columns in the table of runs, where they differ.
_COLUMNS = {"gold": "reward_gold", "gold_stderr": "reward_gold_stderr"}


class _Trainer:
    """What the steps of a run share: pairs, the reference, the compiled step and the measurements."""

    def __init__(self, run: StageRun) -> None:
        self.config, self.execution = run.config, run.execution
        self.settings: DpoSettings = settings_of(run.config)
        self.pairs, self._held_out = chosen_pairs(run.data, self.settings, self.config.model)
        check_shares(self.config.recipe.batch, self.execution)
        check_reference(run)
        self._start = run.source("start")
        check_model(self._start, run.data.tokenizer, "start")
        model, dtype = self.config.model, self.config.dtype
        self._batches = PairBatches(self.pairs, self.config.recipe.batch, self.config.seed, model.seq_len)
        self._reference = place_parameters(policy_parameters(self._start), self.execution.mesh)
        self._by_reference = pair_likelihoods(model, self._reference, self.pairs, dtype, self.execution)
        self._held_by_reference = pair_likelihoods(model, self._reference, self._held_out, dtype, self.execution)
        settings = self.settings
        self._update = _update(
            model, dtype, settings.beta, settings.loss, settings.nll, self.config.recipe, self.execution
        )
        self._hyper = hyper_of(self.config)
        self._points = measured_steps(self.config.steps, self.settings.measurements)
        gold = self.settings.gold
        self._probe = Probe(
            model=model,
            reference=self._reference,
            prompts=repeated(_different([pair.prompt for pair in self._held_out]), self.settings.measured),
            end=run.data.end,
            gold=None if gold is None else find_gold(gold, run.data.tokenizer, run.source, run.data.end),
            dtype=dtype,
            execution=self.execution,
        )

    def first(self) -> DpoState:
        """The state of step 0; its parameters are not the reference's arrays, as a step uses its state up."""
        mesh = self.execution.mesh
        parameters = place_parameters(policy_parameters(self._start), mesh)
        record = empty_record(len(self._points), self.config.model.seq_len)
        gold = jnp.full(self.settings.measured, jnp.nan, jnp.float32)
        train = begin(parameters, self.config.model, self.config.recipe, mesh)
        return DpoState(train, replicated(record, mesh), replicated(gold, mesh))

    def take(self, state: DpoState, step: int) -> tuple[DpoState, dict[str, float]]:
        """Takes a step; measures the policy after it where that is due, and the start before the first."""
        if step == 0:
            state = self._measured(state, 0)
        batch = place_rows(self._batch(step), self.execution.mesh)
        train, means = self._update(state.train, self._hyper, batch)
        found = {name: float(value) for name, value in means.items()}
        if step == 0:
            self._check_first(found["dpo"])
        state = state._replace(train=train)
        if step + 1 in self._points and math.isfinite(found["loss"]):
            state = self._measured(state, step + 1)
        return state, found

    def held_out(self, parameters: Parameters) -> dict[str, float]:
        """Columns by the held-out pairs."""
        model, config = self.config.model, self.config
        by_policy = pair_likelihoods(model, parameters, self._held_out, config.dtype, self.execution)
        return pair_columns(by_policy, self._held_by_reference, self._held_out, self.settings)

    def _batch(self, step: int) -> DpoBatch:
        padded, numbers = self._batches.take(step), self._batches.numbers(step)
        sides = [side.logprobs[numbers] for side in self._by_reference]
        reference = np.zeros((len(padded.weights), 2), np.float32)
        reference[: len(numbers)] = np.stack(sides, axis=1)
        return dpo_batch(padded, reference)

    def _measured(self, state: DpoState, step: int) -> DpoState:
        """The state with a measurement of its policy."""
        start_gold = None if step == 0 or self._probe.gold is None else np.asarray(state.start_gold)
        seed = seed_of(self.config.seed, step)
        measured = measure_policy(self._probe, state.train.parameters, seed, start_gold)
        more = {"accuracy": self.held_out(state.train.parameters)["accuracy"]}
        if step == 0:
            state, measured = self._with_start(state, measured)
        record = state.record.written(self._points.index(step), step, measured, more)
        return state._replace(record=replicated(record, self.execution.mesh))

    def _with_start(self, state: DpoState, measured: Measured) -> tuple[DpoState, Measured]:
        if measured.gold is None:
            return state, measured
        gold = replicated(jnp.asarray(measured.gold, jnp.float32), self.execution.mesh)
        columns = {**measured.columns, "win_rate": 0.5}
        return state._replace(start_gold=gold), measured._replace(columns=columns)

    def _check_first(self, loss: float) -> None:
        beta = self.settings.beta
        expected = dpo_loss_at_start(beta, self.settings.loss)
        # Of a beta above 1 the loss makes more of what rounding differs by, up to its square.
        allowed = _APART[self.config.dtype] * max(1.0, expected) * max(1.0, beta) ** 2
        if math.isfinite(loss) and abs(loss - expected) > allowed:
            raise InputError(
                f"the reference is not the start: the first loss is {loss:.6g}, and {expected:.6g} where it is"
            )


@functools.cache
def _update(
    model: LlamaConfig, dtype: str, beta: float, loss: DpoKind, nll: float, recipe: StageRecipe, execution: Execution
) -> Update:
    """The compiled step, shared by the runs of a process."""
    return make_update(make_objective(model, dtype, beta, loss, nll, execution), model, recipe, execution)


def make_objective(
    model: LlamaConfig, dtype: str, beta: float, loss: DpoKind, nll: float = 0.0, execution: Execution = PLAIN
) -> Objective:
    """(parameters, ``DpoBatch``) -> sums over its pairs.

    The loss is that of its kind, plus ``nll`` times the chosen answer's negative log-likelihood per token (2404.19733,
    as Llama 3 takes it). Metrics: ``dpo``, the loss without that term, ``accuracy``, ``logp_chosen`` and
    ``logp_rejected``, by which the answers' log-probabilities have grown.
    """
    logprobs = make_logprobs(model, dtype, execution)

    def objective(parameters: Parameters, batch: DpoBatch) -> Sums:
        # Side by side rather than one after the other, so that each device has both answers of its pairs.
        tokens, counted = (
            jnp.stack([getattr(batch.chosen, name), getattr(batch.rejected, name)], axis=1)
            for name in ("tokens", "counted")
        )
        seq, weights = tokens.shape[-1], batch.weights
        sums, counts = answer_sums(logprobs(parameters, tokens.reshape(-1, seq)), counted.reshape(-1, seq))
        sums, counts = sums.reshape(-1, 2), counts.reshape(-1, 2)
        ratios = sums - batch.reference
        lengths = counts[:, 0], counts[:, 1]
        dpo = dpo_loss(ratios[:, 0], ratios[:, 1], beta, loss, lengths)
        losses = dpo - nll * sums[:, 0] / jnp.maximum(counts[:, 0], 1.0)
        right = (1 + jnp.sign(ratios[:, 0] - ratios[:, 1])) / 2
        metrics = {"dpo": dpo, "accuracy": right, "logp_chosen": ratios[:, 0], "logp_rejected": ratios[:, 1]}
        summed = {name: (values * weights).sum() for name, values in metrics.items()}
        return Sums((losses * weights).sum(), weights.sum(), summed)

    return objective


def dpo_batch(pairs: PaddedPairs, reference: Float[np.ndarray, "rows 2"]) -> DpoBatch:
    """A batch of pairs with the reference's log-probabilities of both answers."""
    return DpoBatch(pairs.chosen, pairs.rejected, reference, pairs.weights)


def pair_likelihoods(
    model: LlamaConfig, parameters: Parameters, pairs: Sequence[Pair], dtype: str, execution: Execution = PLAIN
) -> Sides:
    """The likelihoods of both answers of every pair."""

    def of_side(answers: Sequence[Ids]) -> Likelihoods:
        rows = [np.concatenate([pair.prompt, answer]) for pair, answer in zip(pairs, answers, strict=True)]
        counted = [_of_answer(len(pair.prompt), len(row)) for pair, row in zip(pairs, rows, strict=True)]
        return likelihoods(model, parameters, rows, counted, dtype, execution)

    return Sides(of_side([pair.chosen for pair in pairs]), of_side([pair.rejected for pair in pairs]))


def pair_columns(policy: Sides, reference: Sides, pairs: Sequence[Pair], settings: DpoSettings) -> dict[str, float]:
    """Columns of a run's row by pairs; standard errors are clustered by prompt.

    Args:
        policy, reference: likelihoods of the pairs' answers.
        pairs: measured.
        settings: the loss and its beta.
    """
    chosen, rejected = (mine.logprobs - other.logprobs for mine, other in zip(policy, reference, strict=True))
    lengths = jnp.asarray(policy.chosen.tokens), jnp.asarray(policy.rejected.tokens)
    losses = dpo_loss(jnp.asarray(chosen), jnp.asarray(rejected), settings.beta, settings.loss, lengths)
    groups = numbered([pair.prompt.tobytes() for pair in pairs])
    right = (1 + np.sign(chosen - rejected)) / 2

    def mean(name: str, values: Float64[np.ndarray, " pairs"]) -> dict[str, float]:
        error = clustered_error(values, np.ones_like(values), groups)
        return {name: float(values.mean()), f"{name}_stderr": error}

    return {
        **mean("loss", np.asarray(losses, np.float64)),
        **mean("accuracy", right),
        "logp_chosen": float(chosen.mean()),
        "logp_rejected": float(rejected.mean()),
    }


def chosen_pairs(data: PairSet, settings: DpoSettings, model: LlamaConfig) -> tuple[Sequence[Pair], Sequence[Pair]]:
    """The pairs that a run trains on, and those that it is measured by.

    Raises:
        InputError: there are too few, or one does not fit the model's context.
    """
    if len(data.train) < settings.pairs:
        raise InputError(f"`pairs` is {settings.pairs:,}; the data have {len(data.train):,} to train on")
    if not data.held_out:
        raise InputError("the data have no held-out pairs to measure the policy by")
    train = data.train[: settings.pairs]
    longest = max(len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) for pair in (*train, *data.held_out))
    if longest > model.seq_len:
        raise InputError(f"a pair has {longest:,} tokens; the model's context is {model.seq_len:,}")
    return train, data.held_out


def check_reference(run: StageRun) -> None:
    """Refuses a run that names a reference which is not its start.

    Raises:
        InputError: it does.
    """
    sources = run.config.sources
    if "reference" in sources and sources["reference"].id != sources["start"].id:
        raise InputError(
            f"the reference {sources['reference'].folder} is not the start {sources['start'].folder}: DPO's implied "
            "reward is the policy's log-ratio to what it began as"
        )


def measured_steps(steps: int, measurements: int) -> list[int]:
    """The steps after which a policy is measured: 0, and so many more, evenly, the last one included."""
    return sorted({round(steps * at / measurements) for at in range(measurements + 1)})


def answer_tokens(pairs: Sequence[Pair]) -> int:
    """Tokens of both answers of the pairs."""
    return sum(len(pair.chosen) + len(pair.rejected) for pair in pairs)


def _of_answer(prompt: int, length: int) -> Bool[np.ndarray, " tokens"]:
    counted: Bool[np.ndarray, " tokens"] = np.arange(length) >= prompt
    return counted


def _different(prompts: Sequence[Ids]) -> list[Ids]:
    return list({prompt.tobytes(): prompt for prompt in prompts}.values())

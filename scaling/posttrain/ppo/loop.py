"""The stage ``ppo``: a policy that answers prompts is trained by the scores of a reward model."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from scaling.data.answers.rows import PromptSet
from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import named_parameters
from scaling.posttrain.measure import Probe, ProxyReward, measure_policy, repeated, seed_of
from scaling.posttrain.ppo.rollout import Roller
from scaling.posttrain.ppo.update import Learners, make_updates
from scaling.posttrain.record import Record, empty_record
from scaling.posttrain.rewards.combine import CombinedScorer
from scaling.posttrain.rewards.gold import find_gold
from scaling.posttrain.rewards.rewarding import RewardScorer, check_model
from scaling.posttrain.settings import PpoSettings, settings_of
from scaling.posttrain.stage import Model, StageOutcome, StageRun
from scaling.posttrain.training.logprob import policy_parameters, reward_parameters
from scaling.posttrain.training.loop import restored, run_steps
from scaling.posttrain.training.placement import check_shares, place_parameters
from scaling.posttrain.training.update import begin
from scaling.train.placement import replicated

# Names of a measurement's columns in the table of runs, where they differ.
_COLUMNS = {"gold": "reward_gold", "gold_stderr": "reward_gold_stderr", "proxy": "reward_proxy"}
# How far the ratio may be from 1 before the first update, in the mean over tokens.
_APART = {"float32": 1e-4, "bfloat16": 0.05}


class PpoState(NamedTuple):
    """The state of a run between two iterations, with what was measured of it.

    Attributes:
        learners: policy and critic.
        record: the measurements.
        start_gold: of the answers of the start.
        step: iterations done.
        answer_tokens: of all answers so far, their ends included.
    """

    learners: Learners
    record: Record
    start_gold: Float[Array, "answers"]
    step: Int[Array, ""]
    answer_tokens: Int[Array, ""]


def run_ppo(run: StageRun) -> StageOutcome:
    """Trains the start by the reward model's scores of its answers to the prompts of ``run.data``.

    The reference is the start; the critic begins as the reward model. With a second reward model for safety the score
    is Llama 2's combination of both, and what is trained for is whitened. Measured are the start, the policy of every
    ``every`` iterations, and the last one, by their answers to held-out prompts: the rows of the curve.

    Columns of the row: those of the last measurement, ``loss`` (minus the reward that is trained for, by that
    measurement: the score, less the penalties of the KL divergence and of answers without an end), ``policy_params``,
    ``reward_params``, ``answer_tokens``, and with a gold ``peak_gold`` and ``peak_kl``, see ``peak_of``.

    Raises:
        InputError: there are no prompts, one leaves no room for an answer, a model has another vocabulary or too short
            a context, the answers cannot be dealt out evenly, or sampler and learner disagree.
        Stopped: this process was requested to stop, and the state is saved.
    """
    trainer = _Trainer(run)
    state, diverged = run_steps(run, restored(run, trainer.first), trainer.take, run.config.steps)
    if not diverged:
        state = trainer.measured(state, run.config.steps)
    curve, samples = state.record.curve(), state.record.samples(run.data.tokenizer)
    row: dict[str, float] = {"policy_params": run.config.params, "reward_params": trainer.reward_params}
    row["answer_tokens"] = int(state.answer_tokens)
    if diverged or not math.isfinite(curve[-1].get("kl", math.nan)):
        return StageOutcome("diverged", {**row, "loss": math.nan}, curve, samples)
    last = curve[-1]
    row |= {_COLUMNS.get(name, name): value for name, value in last.items() if name != "step"}
    row["loss"] = loss_of(last, trainer.settings)
    shown = {0.0, last["step"]}
    if "gold" in last:
        peak = peak_of(curve)
        row |= {"peak_gold": peak["gold"], "peak_kl": peak["kl"]}
        shown.add(peak["step"])
    samples = [sample for sample in samples if sample["step"] in shown]
    return StageOutcome("done", row, curve, samples, named_parameters(state.learners.policy.parameters))


class _Trainer:
    """What the iterations of a run share: the models that are not trained, the compiled steps, the measurements."""

    def __init__(self, run: StageRun) -> None:
        self.settings: PpoSettings = settings_of(run.config)
        self._config, self._execution = run.config, run.execution
        check_prompts(run.data, run.config.model)
        check_minibatches(self.settings, run)
        self._start, self._reward = run.source("start"), run.source("reward")
        for name, source in (("start", self._start), ("reward", self._reward)):
            check_model(source, run.data.tokenizer, name)
        check_context(self._reward, run.config.model)
        execution, dtype, model = run.execution, run.config.dtype, run.config.model
        reference = place_parameters(policy_parameters(self._start), execution.mesh)
        reward = RewardScorer(self._reward, dtype, execution)
        proxy: ProxyReward = reward
        if combined := "safety" in run.config.sources:
            safety = run.source("safety")
            check_model(safety, run.data.tokenizer, "safety")
            check_context(safety, model)
            proxy = CombinedScorer(reward, RewardScorer(safety, dtype, execution))
        end, temperature, seed = run.data.end, self.settings.temperature, run.config.seed
        self._roller = Roller(
            *(model, reference, self._reward.config, proxy, run.data.train, end, self.settings, seed),
            whitened=combined,
            dtype=dtype,
            execution=execution,
        )
        name = self.settings.gold
        gold = None if name is None else find_gold(name, run.data.tokenizer, run.source, end)
        prompts = repeated(run.data.held_out, self.settings.measured)
        self._probe = Probe(model, reference, prompts, end, gold, proxy, temperature, dtype, execution)
        self._updates = make_updates(run.config, self.settings, self._reward.config, execution)
        self.reward_params = sum(array.size for array in self._reward.parameters.values())

    def first(self) -> PpoState:
        """The state of step 0; its parameters are not the reference's arrays, as an update uses its state up."""
        config, mesh = self._config, self._execution.mesh
        policy = place_parameters(policy_parameters(self._start), mesh)
        critic = place_parameters(reward_parameters(self._reward), mesh)
        learners = Learners(
            begin(policy, config.model, config.recipe, mesh), begin(critic, self._reward.config, config.recipe, mesh)
        )
        points = -(-config.steps // self.settings.every) + 1
        rest = (
            empty_record(points, config.model.seq_len),
            jnp.full(self.settings.measured, jnp.nan, jnp.float32),
            jnp.zeros((), jnp.int32),
            jnp.zeros((), jnp.int32),
        )
        return PpoState(learners, *replicated(rest, mesh))

    def take(self, state: PpoState, iteration: int) -> tuple[PpoState, dict[str, float]]:
        """Answers, their advantages, and the updates by them; before them a measurement where one is due."""
        if iteration % self.settings.every == 0:
            state = self.measured(state, iteration)
        policy, critic = state.learners
        rollout = self._roller.rollout(policy.parameters, critic.parameters, iteration)
        columns = rollout.columns
        if rollout.experience is not None:
            live = int(rollout.experience.live.sum())
            learners, means = self._updates(state.learners, rollout.experience, iteration)
            self._check_ratio(means["first_ratio"])
            # A loss that is no number has made the parameters such, and the run ends with it.
            sound = all(math.isfinite(value) for value in means.values())
            columns = {**columns, **means, "loss": columns["loss"] if sound else math.nan}
            state = state._replace(learners=learners, answer_tokens=state.answer_tokens + live)
        return state._replace(step=state.step + 1), columns

    def measured(self, state: PpoState, iteration: int) -> PpoState:
        """The state with a measurement of its policy after so many iterations."""
        mesh, start = self._execution.mesh, iteration == 0
        start_gold = None if start or self._probe.gold is None else np.asarray(state.start_gold)
        seed = seed_of(self._config.seed, iteration)
        found = measure_policy(self._probe, state.learners.policy.parameters, seed, start_gold)
        more = {}
        if start and found.gold is not None:
            more["win_rate"] = 0.5
            state = state._replace(start_gold=replicated(jnp.asarray(found.gold, jnp.float32), mesh))
        point = -(-iteration // self.settings.every)
        return state._replace(record=replicated(state.record.written(point, iteration, found, more), mesh))

    def _check_ratio(self, apart: float) -> None:
        if apart > _APART[self._config.dtype]:
            raise InputError(
                f"before the first update of an iteration the policy's probabilities are {apart:.2g} of themselves "
                "from those of its own answers: they are not computed alike"
            )


def loss_of(measured: dict[str, float], settings: PpoSettings) -> float:
    """Minus the reward that is trained for, by a row of the curve."""
    return settings.kl * measured["kl"] + settings.unfinished * (1 - measured["stopped"]) - measured["proxy"]


def peak_of(curve: list[dict[str, float]]) -> dict[str, float]:
    """The step, KL and gold of the peak: of the measurement whose gold is largest as a mean with its neighbours'.

    The gold and KL are such means too: one measurement is noisy, and the largest of many is too large.
    """
    found = []
    for at, row in enumerate(curve):
        near = curve[max(at - 1, 0) : at + 2]
        means = {name: sum(point[name] for point in near) / len(near) for name in ("gold", "kl")}
        found.append({"step": row["step"], **means})
    return max(found, key=lambda row: row["gold"])


def check_prompts(data: PromptSet, model: LlamaConfig) -> None:
    """Refuses prompts that cannot be answered.

    Raises:
        InputError: there are none to train on or to measure by, or one fills the context.
    """
    if not data.train or not data.held_out:
        raise InputError(f"the data have no prompts to {'measure by' if data.train else 'train on'}")
    longest = max(map(len, (*data.train, *data.held_out)))
    if longest >= model.seq_len:
        raise InputError(f"a prompt has {longest:,} tokens; the model's context of {model.seq_len:,} has no room left")


def check_minibatches(settings: PpoSettings, run: StageRun) -> None:
    """Refuses answers that cannot be dealt out evenly.

    Raises:
        InputError: they are no multiple of the minibatches, or a minibatch none of devices and microbatches.
    """
    if settings.answers % settings.minibatches:
        raise InputError(
            f"`answers` is {settings.answers}; it must be a multiple of `minibatches`, {settings.minibatches}"
        )
    check_shares(settings.answers // settings.minibatches, run.execution)


def check_context(reward: Model, policy: LlamaConfig) -> None:
    """Refuses a reward model that cannot read every answer.

    Raises:
        InputError: its context is shorter than the policy's.
    """
    if reward.config.seq_len < policy.seq_len:
        raise InputError(
            f"the reward model's context is {reward.config.seq_len:,} tokens, and the policy's answers reach "
            f"{policy.seq_len:,}"
        )

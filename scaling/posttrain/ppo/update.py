"""The updates of policy and critic by an iteration's answers."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import StageConfig, StageRecipe
from scaling.posttrain.ppo.losses import policy_loss, ratio_of, value_loss
from scaling.posttrain.ppo.rollout import Experience, before_token
from scaling.posttrain.settings import PpoSettings
from scaling.posttrain.training.logprob import make_logprobs, make_values
from scaling.posttrain.training.placement import place_rows
from scaling.posttrain.training.update import Objective, Sums, make_update
from scaling.train.optimizer import Parameters, make_hyper
from scaling.train.recipe import Rates
from scaling.train.step import TrainState


class Learners(NamedTuple):
    """The two models that are trained."""

    policy: TrainState
    critic: TrainState


# An iteration's updates: (learners, experience, iteration) -> learners and what is reported.
Updates = Callable[[Learners, Experience, int], tuple[Learners, dict[str, float]]]


def make_updates(
    config: StageConfig, settings: PpoSettings, critic: LlamaConfig, execution: Execution = PLAIN
) -> Updates:
    """The updates of an iteration: ``epochs`` passes over its answers, each in ``minibatches`` steps of both models.

    Reported, as means over the minibatches: ``policy_loss``, ``value_loss``, ``clip_fraction`` and
    ``value_clip_fraction`` (shares of live tokens), and of the first minibatch ``first_ratio``: the mean distance of
    the ratio from 1, before anything has been updated.

    Args:
        config: the run; its recipe is the policy's, and but for ``value_rate`` the critic's.
        settings: of the run.
        critic: the critic's shape.
        execution: remat, attention, microbatches and the mesh.
    """
    recipe, steps = config.recipe, config.steps * settings.epochs * settings.minibatches
    of_policy = make_policy_objective(config.model, settings, config.dtype, execution)
    of_critic = make_critic_objective(critic, settings, config.dtype, execution)
    update_policy = make_update(of_policy, config.model, recipe, execution)
    update_critic = make_update(of_critic, critic, recipe, execution)
    hypers = make_hyper(recipe, steps), make_hyper(_critic_recipe(recipe, settings.value_rate), steps)

    def updates(learners: Learners, experience: Experience, iteration: int) -> tuple[Learners, dict[str, float]]:
        policy, critic = learners
        found: list[dict[str, float]] = []
        for part in experience.minibatches(config.seed, iteration, settings.epochs, settings.minibatches):
            batch = place_rows(part, execution.mesh)
            policy, policy_means = update_policy(policy, hypers[0], batch)
            critic, critic_means = update_critic(critic, hypers[1], batch)
            losses = {"policy_loss": policy_means.pop("loss"), "value_loss": critic_means.pop("loss")}
            means = {**losses, **policy_means, **critic_means}
            found.append({name: float(value) for name, value in means.items()})
        names = ("policy_loss", "value_loss", "clip_fraction", "value_clip_fraction")
        columns = {name: sum(means[name] for means in found) / len(found) for name in names}
        return Learners(policy, critic), {**columns, "first_ratio": found[0]["ratio"]}

    return updates


def make_policy_objective(
    model: LlamaConfig, settings: PpoSettings, dtype: str, execution: Execution = PLAIN
) -> Objective:
    """(parameters, ``Experience``) -> sums over its live tokens: the clipped loss, ``clip_fraction``, ``ratio``."""
    logprobs = make_logprobs(model, dtype, execution, settings.temperature)

    def objective(parameters: Parameters, batch: Experience) -> Sums:
        live = jnp.asarray(batch.live)
        now, old = logprobs(parameters, jnp.asarray(batch.tokens)), jnp.asarray(batch.old)
        loss, clipped = policy_loss(now, old, jnp.asarray(batch.advantages), live, settings.clip)
        apart = jnp.abs(ratio_of(now, old, live) - 1).sum()
        weight = live.sum().astype(jnp.float32)
        return Sums(loss.sum(), weight, {"clip_fraction": clipped.sum().astype(jnp.float32), "ratio": apart})

    return objective


def make_critic_objective(
    critic: LlamaConfig, settings: PpoSettings, dtype: str, execution: Execution = PLAIN
) -> Objective:
    """(parameters of the critic, ``Experience``) -> sums over its live tokens: the loss, ``value_clip_fraction``."""
    values = make_values(critic, dtype, execution)
    clip = settings.clip if settings.clip_values else None

    def objective(parameters: Parameters, batch: Experience) -> Sums:
        live = jnp.asarray(batch.live)
        now = before_token(values(parameters, jnp.asarray(batch.tokens)))
        loss, clipped = value_loss(now, jnp.asarray(batch.values), jnp.asarray(batch.returns), live, clip)
        weight = live.sum().astype(jnp.float32)
        return Sums(loss.sum(), weight, {"value_clip_fraction": clipped.sum().astype(jnp.float32)})

    return objective


def _critic_recipe(recipe: StageRecipe, factor: float) -> StageRecipe:
    rates = {name: factor * rate for name, rate in dataclasses.asdict(recipe.rates).items()}
    return dataclasses.replace(recipe, rates=Rates(**rates))

"""AdamW and Muon as chains of gradient transformations, with a peak rate for each group of parameters.

A run's numbers enter as arrays, ``Hyper``, that every ``update`` is given, so runs that differ in numbers alone share
one compilation.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from scaling.llama.config import LlamaConfig
from scaling.llama.parameters import parameter_name
from scaling.llama.sharding import name_of
from scaling.train.muon.direction import scale_by_muon
from scaling.train.recipe import OptimizerName, Rates, Schedule
from scaling.train.schedule import factor

Parameters: TypeAlias = Any  # a pytree of arrays, as nnx.split makes it


@runtime_checkable
class Hyperparameters(Protocol):
    """What the optimizer reads of a recipe; see ``scaling.train.recipe.Recipe``."""

    @property
    def rates(self) -> Rates: ...

    @property
    def weight_decay(self) -> float: ...

    @property
    def clip(self) -> float: ...

    @property
    def schedule(self) -> Schedule: ...


class Hyper(NamedTuple):
    """A run's hyperparameters as scalar arrays.

    Attributes:
        rates: peak learning rate of each group, by its name in ``Rates``.
        weight_decay: decoupled, in units of 1 / rate.
        clip: largest global norm of the gradient.
        warmup, decay: steps of each.
        final: the schedule's factor at the end.
        steps: of the whole run.
    """

    rates: dict[str, Float[Array, ""]]
    weight_decay: Float[Array, ""]
    clip: Float[Array, ""]
    warmup: Float[Array, ""]
    decay: Float[Array, ""]
    final: Float[Array, ""]
    steps: Int[Array, ""]


# The group of each parameter. ``qkv`` makes queries, keys and values, so two groups share its columns: see ``_rate``.
GROUPS = {
    "embedding": "embedding",
    "attention_norm": "norm",
    "qkv": "matrix",
    "qkv_bias": "norm",
    "query_norm": "query_norm",
    "key_norm": "norm",
    "out": "residual",
    "out_bias": "norm",
    "ffn_norm": "norm",
    "gate_up": "matrix",
    "down": "residual",
    "norm": "final_norm",
    "output": "head",
    "score": "head",
}
DECAYED = ("matrix", "residual", "head")


def make_hyper(recipe: Hyperparameters, steps: int) -> Hyper:
    """A recipe's hyperparameters as arrays, for a run of ``steps`` steps."""
    schedule = recipe.schedule

    def scalar(value: float) -> Array:
        return jnp.asarray(value, jnp.float32)

    return Hyper(
        rates={group: scalar(rate) for group, rate in asdict(recipe.rates).items()},
        weight_decay=scalar(recipe.weight_decay),
        clip=scalar(recipe.clip),
        warmup=scalar(round(schedule.warmup * steps, 6)),  # the same for every branch of a trunk, to the bit
        decay=scalar(schedule.decay * steps),
        final=scalar(schedule.final),
        steps=jnp.asarray(steps, jnp.int32),
    )


def adamw(model: LlamaConfig, kind: str, beta1: float, beta2: float) -> optax.GradientTransformationExtraArgs:
    """AdamW (1711.05101), as ``make_optimizer`` makes it."""
    return make_optimizer("adamw", model, kind, beta1, beta2)


def make_optimizer(
    name: OptimizerName, model: LlamaConfig, kind: str, beta1: float, beta2: float
) -> optax.GradientTransformationExtraArgs:
    """Clip, Adam's or Muon's direction, a rate for each group, decoupled weight decay, and the schedule.

    Its ``update`` takes gradients, state, parameters, ``hyper`` and the number of steps taken, ``step``.
    Optax's own AdamW has one rate, and decays each parameter by its own rate; here all decay by the rate ``matrix``.

    Args:
        name: ``adamw`` (1711.05101) or ``muon``; see ``muon.direction``.
        model: the model's shape.
        kind: the schedule's kind; see ``schedule.factor``.
        beta1, beta2: decay of Adam's moments in a step.
    """
    direction = scale_by_muon(model, beta1, beta2) if name == "muon" else optax.scale_by_adam(beta1, beta2)
    return optax.chain(
        clip_by_global_norm(),
        direction,
        scale_by_group(model),
        add_decayed_weights(),
        scale_by_schedule(kind),
    )


def clip_by_global_norm() -> optax.GradientTransformationExtraArgs:
    """Scales all gradients by min(1, clip / (norm + 1e-6)), the form of PyTorch.

    The arithmetic is ours: optax divides by the norm and then multiplies, which rounds otherwise, and adds up the
    leaves in the order of the modules. In this form, and in the order of names, the losses of a run stay the same to
    the bit.
    """

    def clip(gradients: Parameters, _: Parameters, hyper: Hyper, __: Array) -> Parameters:
        leaves = jax.tree_util.tree_leaves_with_path(gradients)
        norm = optax.tree.norm({parameter_name(path): leaf for path, leaf in leaves})
        return jax.tree.map(lambda g: g * jnp.minimum(1.0, hyper.clip / (norm + 1e-6)), gradients)

    return _stateless(clip)


def scale_by_group(model: LlamaConfig) -> optax.GradientTransformationExtraArgs:
    """Scales each update by the peak rate of its parameter's group; no ``optax.partition``, as ``qkv`` has two."""

    def scale(updates: Parameters, _: Parameters, hyper: Hyper, __: Array) -> Parameters:
        return jax.tree_util.tree_map_with_path(lambda path, u: _rate(name_of(path), hyper.rates, model) * u, updates)

    return _stateless(scale)


def add_decayed_weights() -> optax.GradientTransformationExtraArgs:
    """Adds ``weight_decay`` times the rate ``matrix`` times the parameter, for matrices and an untied head."""

    def decay(updates: Parameters, parameters: Parameters, hyper: Hyper, _: Array) -> Parameters:
        strength = hyper.rates["matrix"] * hyper.weight_decay

        def add(path: tuple[Any, ...], update: Array, parameter: Array) -> Array:
            return update + strength * parameter if GROUPS[name_of(path)] in DECAYED else update

        return jax.tree_util.tree_map_with_path(add, updates, parameters)

    return _stateless(decay)


def scale_by_schedule(kind: str) -> optax.GradientTransformationExtraArgs:
    """Scales by minus the schedule's factor; the step is the run's own, so there is no second counter."""

    def scale(updates: Parameters, _: Parameters, hyper: Hyper, step: Array) -> Parameters:
        now = factor(kind, step, hyper.steps, hyper.warmup, hyper.decay, hyper.final)
        return jax.tree.map(lambda u: -now * u, updates)

    return _stateless(scale)


def _stateless(
    change: Callable[[Parameters, Parameters, Hyper, Int[Array, ""]], Parameters],
) -> optax.GradientTransformationExtraArgs:
    """A gradient transformation without state, from a function (updates, parameters, hyper, step) -> updates."""

    def init(_: Parameters) -> optax.EmptyState:
        return optax.EmptyState()

    def update(
        updates: Parameters,
        state: optax.EmptyState,
        parameters: Parameters,
        *,
        hyper: Hyper,
        step: Int[Array, ""],
        **_: Any,
    ) -> tuple[Parameters, optax.EmptyState]:
        return change(updates, parameters, hyper, step), state

    return optax.GradientTransformationExtraArgs(init, update)


def _rate(name: str, rates: dict[str, Float[Array, ""]], model: LlamaConfig) -> Float[Array, "*columns"]:
    """The peak rate of a parameter: a scalar, or for ``qkv`` one for each column."""
    if name != "qkv":
        return rates[GROUPS[name]]
    heads = jnp.arange(model.heads + 2 * model.kv_heads)
    by_head = jnp.where(heads < model.heads, rates["query"], rates["matrix"])
    return jnp.repeat(by_head, model.head_dim)

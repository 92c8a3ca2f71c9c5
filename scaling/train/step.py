"""The pure functions of training: initial state, a dispatch of several steps, evaluation."""

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, UInt32

from scaling.llama.config import LlamaConfig
from scaling.llama.init import Init
from scaling.llama.loss import cross_entropy
from scaling.llama.model import Llama
from scaling.llama.sharding import BATCH, PLAIN, Execution, as_stored, constrain, name_of, stored
from scaling.train.config import RunConfig
from scaling.train.recipe import Recipe
from scaling.train.schedule import factor

Parameters: TypeAlias = Any  # a pytree of arrays, as nnx.split makes it


class TrainState(NamedTuple):
    """What a run carries from step to step, all float32 but the counters."""

    parameters: Parameters
    optimizer: optax.OptState
    step: Int[Array, ""]


class Program(NamedTuple):
    """The compiled functions that all runs of one shape, batch and dtype share.

    Attributes:
        train: (state, hyper, batches (K, batch, seq + 1), count) -> (state, losses (K,)); takes ``count`` <= K steps;
            the state's buffers are donated.
        evaluate: (parameters, windows (n, seq + 1)) -> each token's loss, (n, seq) float32, nats.
    """

    train: Any
    evaluate: Any


class Hyper(NamedTuple):
    """A run's numbers as arrays, so that changing one compiles nothing anew; ``warmup`` and ``decay`` in steps."""

    rates: dict[str, Float[Array, ""]]
    weight_decay: Float[Array, ""]
    clip: Float[Array, ""]
    warmup: Float[Array, ""]
    decay: Float[Array, ""]
    final: Float[Array, ""]
    steps: Int[Array, ""]


# The matrix ``qkv`` makes queries, keys and values, so two groups share it; see ``_rate``.
_GROUPS = {
    "embedding": "embedding",
    "attention_norm": "norm",
    "qkv": "matrix",
    "query_norm": "query_norm",
    "key_norm": "norm",
    "out": "residual",
    "ffn_norm": "norm",
    "gate_up": "matrix",
    "down": "residual",
    "norm": "final_norm",
    "output": "head",
}
_DECAYED = ("matrix", "residual", "head")


def _rate(name: str, rates: dict[str, Float[Array, ""]], model: LlamaConfig) -> Float[Array, "*columns"]:
    if name != "qkv":
        return rates[_GROUPS[name]]
    heads = jnp.arange(model.heads + 2 * model.kv_heads)
    by_head = jnp.where(heads < model.heads, rates["query"], rates["matrix"])
    return jnp.repeat(by_head, model.head_dim)


def init_state(config: RunConfig, mesh: Mesh | None = None) -> TrainState:
    """Fresh parameters from the run's seed and recipe, zero moments, step 0; on a mesh each device makes its share."""
    recipe = config.recipe
    return _initializer(config.model, recipe.init, recipe.beta1, recipe.beta2, mesh)(np.uint32(config.stream))


@functools.cache
def _initializer(
    model: LlamaConfig, init: Init, beta1: float, beta2: float, mesh: Mesh | None
) -> Callable[[UInt32[Any, ""]], TrainState]:
    def initialize(seed: UInt32[Any, ""]) -> TrainState:
        parameters = nnx.split(Llama(model, init, rngs=nnx.Rngs(jax.random.key(seed))))[1]
        return TrainState(parameters, optax.scale_by_adam(beta1, beta2).init(parameters), jnp.zeros((), jnp.int32))

    return jax.jit(initialize, out_shardings=None if mesh is None else stored(abstract_state(model), mesh))


def abstract_state(model: LlamaConfig) -> TrainState:
    """Shapes and dtypes of a state, without its arrays."""
    return jax.eval_shape(_initializer(model, Init(), 0.9, 0.95, None), np.uint32(0))


def hyper_of(config: RunConfig) -> Hyper:
    """The run's numbers as arrays."""
    return make_hyper(config.recipe, config.steps)


def make_hyper(recipe: Recipe, steps: int) -> Hyper:
    """A recipe's numbers as arrays, for a run of so many steps."""
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


def program_for(config: RunConfig, execution: Execution = PLAIN) -> Program:
    """The compiled functions for a run; runs that differ in numbers only get the same ones.

    On a mesh their arguments lie as ``placement`` puts them, and losses are whole on every device.
    """
    recipe = config.recipe
    return _program(config.model, config.dtype, recipe.schedule.kind, recipe.beta1, recipe.beta2, execution)


@functools.cache
def _program(model: LlamaConfig, dtype: str, kind: str, beta1: float, beta2: float, execution: Execution) -> Program:
    step = make_step(model, dtype, kind, beta1, beta2, execution)
    losses = make_losses(model, dtype, execution)
    mesh = execution.mesh
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    after = None if mesh is None else (stored(abstract_state(model), mesh), everywhere)

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=after)
    def train(
        state: TrainState, hyper: Hyper, batches: Int[Array, "count batch window"], count: Int[Array, ""]
    ) -> tuple[TrainState, Float[Array, "count"]]:
        def body(i: Array, carry: tuple[TrainState, Array]) -> tuple[TrainState, Array]:
            state, history = carry
            state, loss = step(state, hyper, jax.lax.dynamic_index_in_dim(batches, i, keepdims=False))
            return state, history.at[i].set(loss)

        return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(batches.shape[0])))

    @functools.partial(jax.jit, out_shardings=everywhere)
    def evaluate(parameters: Parameters, windows: Int[Array, "batch window"]) -> Float[Array, "batch seq"]:
        return losses(parameters, windows)

    return Program(train, evaluate)


def make_losses(
    model: LlamaConfig, dtype: str, execution: Execution = PLAIN
) -> Callable[[Parameters, Int[Array, "batch window"]], Float[Array, "batch seq"]]:
    """The forward pass: (parameters, windows) -> each token's loss, nats, float32; to be traced."""
    graph = nnx.split(nnx.eval_shape(lambda: Llama(model, rngs=nnx.Rngs(0))))[0]

    def losses(parameters: Parameters, windows: Int[Array, "batch window"]) -> Float[Array, "batch seq"]:
        llama = nnx.merge(graph, parameters)
        hidden = llama(windows[:, :-1], jnp.dtype(dtype), execution)
        return cross_entropy(hidden, llama.head, windows[:, 1:], execution.mesh)

    return losses


def make_step(
    model: LlamaConfig, dtype: str, kind: str, beta1: float, beta2: float, execution: Execution = PLAIN
) -> Callable[[TrainState, Hyper, Int[Array, "batch window"]], tuple[TrainState, Float[Array, ""]]]:
    """One step of AdamW: (state, hyper, windows (batch, seq + 1)) -> (state, mean loss); to be traced.

    Args:
        model: its shape.
        dtype: of activations and matrix products.
        kind: of the schedule.
        beta1, beta2: of Adam's moments.
        execution: remat, attention, microbatches, and the mesh, on which the state lies as ``sharding.stored`` says.
    """
    adam = optax.scale_by_adam(beta1, beta2)
    losses = make_losses(model, dtype, execution)

    def loss_of_part(
        parameters: Parameters, windows: Int[Array, "batch window"]
    ) -> tuple[Float[Array, ""], Parameters]:
        loss, gradients = jax.value_and_grad(lambda p: losses(p, windows).mean())(parameters)
        return loss, as_stored(gradients, execution.mesh)

    def loss_of_batch(
        parameters: Parameters, windows: Int[Array, "batch window"]
    ) -> tuple[Float[Array, ""], Parameters]:
        count = execution.microbatches
        if count == 1:
            return loss_of_part(parameters, windows)
        # Every part has sequences of every device.
        parts = windows.reshape(-1, count, windows.shape[1]).swapaxes(0, 1)

        def add(total: tuple[Array, Parameters], part: Array) -> tuple[tuple[Array, Parameters], None]:
            return jax.tree.map(jnp.add, total, loss_of_part(parameters, part)), None

        zero = jnp.zeros(()), as_stored(jax.tree.map(jnp.zeros_like, parameters), execution.mesh)
        total, _ = jax.lax.scan(add, zero, constrain(parts, execution.mesh, None, BATCH))
        return jax.tree.map(lambda x: x / count, total)

    def step(
        state: TrainState, hyper: Hyper, windows: Int[Array, "batch window"]
    ) -> tuple[TrainState, Float[Array, ""]]:
        loss, gradients = loss_of_batch(state.parameters, windows)
        norm = optax.tree.norm(gradients)
        gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, hyper.clip / (norm + 1e-6)), gradients)
        updates, optimizer = adam.update(gradients, state.optimizer)
        now = factor(kind, state.step, hyper.steps, hyper.warmup, hyper.decay, hyper.final)

        decay = hyper.rates["matrix"] * hyper.weight_decay

        def apply(path: tuple[Any, ...], parameter: Array, update: Array) -> Array:
            name = name_of(path)
            change = _rate(name, hyper.rates, model) * update
            return parameter - now * (change + decay * parameter if _GROUPS[name] in _DECAYED else change)

        parameters = jax.tree_util.tree_map_with_path(apply, state.parameters, updates)
        return TrainState(parameters, optimizer, state.step + 1), loss

    return step

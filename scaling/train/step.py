"""The pure functions of training: initial state, a dispatch of several steps, evaluation."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

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
from scaling.llama.sharding import BATCH, PLAIN, Execution, as_stored, constrain, stored
from scaling.train.config import RunConfig
from scaling.train.optimizer import Hyper, Parameters, make_hyper, make_optimizer
from scaling.train.recipe import OptimizerName


class TrainState(NamedTuple):
    """The state of a run between two steps, all float32 but the counters."""

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


def init_state(config: RunConfig, mesh: Mesh | None = None) -> TrainState:
    """Initial state: parameters from seed and recipe, zero moments, step 0; on a mesh each device makes its shard."""
    recipe = config.recipe
    make = _initializer(config.model, recipe.init, recipe.optimizer, recipe.beta1, recipe.beta2, mesh)
    return make(np.uint32(config.stream))


@functools.cache
def _initializer(
    model: LlamaConfig, init: Init, name: OptimizerName, beta1: float, beta2: float, mesh: Mesh | None
) -> Callable[[UInt32[Any, ""]], TrainState]:
    optimizer = make_optimizer(name, model, "wsd", beta1, beta2)  # its state is the same under every schedule

    def initialize(seed: UInt32[Any, ""]) -> TrainState:
        parameters = nnx.split(Llama(model, init, rngs=nnx.Rngs(jax.random.key(seed))))[1]
        return TrainState(parameters, optimizer.init(parameters), jnp.zeros((), jnp.int32))

    return jax.jit(initialize, out_shardings=None if mesh is None else stored(abstract_state(model, name), mesh))


def abstract_state(model: LlamaConfig, optimizer: OptimizerName = "adamw") -> TrainState:
    """A state's shapes and dtypes, without arrays."""
    return jax.eval_shape(_initializer(model, Init(), optimizer, 0.9, 0.95, None), np.uint32(0))


def hyper_of(config: RunConfig) -> Hyper:
    """The run's hyperparameters as scalar arrays."""
    return make_hyper(config.recipe, config.steps)


def program_for(config: RunConfig, execution: Execution = PLAIN) -> Program:
    """The compiled functions for a run, shared by all runs that differ in numbers only.

    On a mesh their arguments lie as ``placement`` puts them, and losses are whole on every device.
    """
    recipe = config.recipe
    kind, betas = recipe.schedule.kind, (recipe.beta1, recipe.beta2)
    return _program(config.model, config.dtype, kind, *betas, recipe.optimizer, execution)


@functools.cache
def _program(
    model: LlamaConfig,
    dtype: str,
    kind: str,
    beta1: float,
    beta2: float,
    optimizer: OptimizerName,
    execution: Execution,
) -> Program:
    step = make_step(model, dtype, kind, beta1, beta2, execution, optimizer)
    losses = make_losses(model, dtype, execution)
    mesh = execution.mesh
    everywhere = None if mesh is None else NamedSharding(mesh, PartitionSpec())
    after = None if mesh is None else (stored(abstract_state(model, optimizer), mesh), everywhere)

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
    model: LlamaConfig,
    dtype: str,
    kind: str,
    beta1: float,
    beta2: float,
    execution: Execution = PLAIN,
    optimizer: OptimizerName = "adamw",
) -> Callable[[TrainState, Hyper, Int[Array, "batch window"]], tuple[TrainState, Float[Array, ""]]]:
    """One step of an optimizer: (state, hyper, windows (batch, seq + 1)) -> (state, mean loss); to be traced.

    Args:
        model: the model's shape.
        dtype: of activations and matrix products.
        kind: the schedule's kind.
        beta1, beta2: decay of Adam's moments in a step.
        execution: remat, attention, microbatches, and the mesh, on which the state lies as ``sharding.stored`` says.
        optimizer: its name.
    """
    gradient = make_gradient(model, dtype, execution)
    transformation = make_optimizer(optimizer, model, kind, beta1, beta2)

    def step(
        state: TrainState, hyper: Hyper, windows: Int[Array, "batch window"]
    ) -> tuple[TrainState, Float[Array, ""]]:
        loss, gradients = gradient(state.parameters, windows)
        updates, moments = transformation.update(
            gradients, state.optimizer, state.parameters, hyper=hyper, step=state.step
        )
        return TrainState(optax.apply_updates(state.parameters, updates), moments, state.step + 1), loss

    return step


def make_gradient(
    model: LlamaConfig, dtype: str, execution: Execution = PLAIN
) -> Callable[[Parameters, Int[Array, "batch window"]], tuple[Float[Array, ""], Parameters]]:
    """The mean loss of a batch and its gradient: (parameters, windows (batch, seq + 1)) -> both; to be traced.

    A batch of several microbatches is computed in parts, one after another, and the mean of their gradients returned.
    """
    losses, mesh, count = make_losses(model, dtype, execution), execution.mesh, execution.microbatches

    def of_part(parameters: Parameters, windows: Int[Array, "part window"]) -> tuple[Float[Array, ""], Parameters]:
        loss, gradients = jax.value_and_grad(lambda p: losses(p, windows).mean())(parameters)
        return loss, as_stored(gradients, mesh)

    def of_batch(parameters: Parameters, windows: Int[Array, "batch window"]) -> tuple[Float[Array, ""], Parameters]:
        # Every part has sequences of every device.
        parts = windows.reshape(-1, count, windows.shape[1]).swapaxes(0, 1)

        def add(total: tuple[Array, Parameters], part: Array) -> tuple[tuple[Array, Parameters], None]:
            return jax.tree.map(jnp.add, total, of_part(parameters, part)), None

        zero = jnp.zeros(()), as_stored(jax.tree.map(jnp.zeros_like, parameters), mesh)
        total, _ = jax.lax.scan(add, zero, constrain(parts, mesh, None, BATCH))
        return jax.tree.map(lambda x: x / count, total)

    return of_part if count == 1 else of_batch

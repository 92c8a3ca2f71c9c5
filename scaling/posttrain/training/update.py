"""A step of AdamW on a sum over rows: whatever the parts a batch is computed in, the sum is divided once."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float

from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import BATCH, PLAIN, Execution, as_stored, constrain, stored
from scaling.posttrain.config import StageConfig, StageRecipe
from scaling.train.optimizer import Hyper, Parameters, adamw, make_hyper
from scaling.train.step import TrainState

Batch: TypeAlias = Any  # a pytree of arrays, each with a first axis of rows


class Sums(NamedTuple):
    """Sums over the rows of a batch, or of a part of it.

    Attributes:
        loss: to be divided by ``weight`` of the whole batch.
        weight: answer tokens, pairs or answers: what the loss is a mean over.
        metrics: further sums by name, divided by the weight as well.
    """

    loss: Float[Array, ""]
    weight: Float[Array, ""]
    metrics: dict[str, Float[Array, ""]]


Objective = Callable[[Parameters, Batch], Sums]
Update = Callable[[TrainState, Hyper, Batch], tuple[TrainState, dict[str, Array]]]


def begin(parameters: Parameters, model: LlamaConfig, recipe: StageRecipe, mesh: Mesh | None = None) -> TrainState:
    """The state of step 0 for given parameters; on a mesh laid out as ``stored`` says."""
    state = TrainState(
        parameters, adamw(model, "wsd", recipe.beta1, recipe.beta2).init(parameters), jnp.zeros((), jnp.int32)
    )
    return state if mesh is None else jax.device_put(state, stored(state, mesh))


def hyper_of(config: StageConfig, steps: int | None = None) -> Hyper:
    """The run's hyperparameters as scalar arrays; ``steps`` of the optimizer where they are not the run's own."""
    return make_hyper(config.recipe, config.steps if steps is None else steps)


def make_update(objective: Objective, model: LlamaConfig, recipe: StageRecipe, execution: Execution = PLAIN) -> Update:
    """One compiled step: (state, hyper, batch) -> (state, means of the loss and the metrics by name); state is donated.

    With microbatches the batch is computed in parts, one after another; every part has rows of every device.
    """
    optimizer = adamw(model, recipe.schedule.kind, recipe.beta1, recipe.beta2)
    gradient = make_gradient(objective, execution)

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state: TrainState, hyper: Hyper, batch: Batch) -> tuple[TrainState, dict[str, Array]]:
        means, gradients = gradient(state.parameters, batch)
        updates, moments = optimizer.update(gradients, state.optimizer, state.parameters, hyper=hyper, step=state.step)
        return TrainState(optax.apply_updates(state.parameters, updates), moments, state.step + 1), means

    return update


def make_gradient(
    objective: Objective, execution: Execution = PLAIN
) -> Callable[[Parameters, Batch], tuple[dict[str, Array], Parameters]]:
    """(parameters, batch) -> the means, ``loss`` among them, and the gradient of the loss; to be traced."""
    mesh, count = execution.mesh, execution.microbatches

    def of_part(parameters: Parameters, part: Batch) -> tuple[Sums, Parameters]:
        def summed(parameters: Parameters) -> tuple[Array, Sums]:
            sums = objective(parameters, part)
            return sums.loss, sums

        gradients, sums = jax.grad(summed, has_aux=True)(parameters)
        return sums, as_stored(gradients, mesh)

    def of_batch(parameters: Parameters, batch: Batch) -> tuple[dict[str, Array], Parameters]:
        if count == 1:
            total, gradients = of_part(parameters, batch)
        else:
            parts = jax.tree.map(lambda x: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1), batch)
            parts = jax.tree.map(lambda x: constrain(x, mesh, None, BATCH), parts)
            zero = jax.tree.map(
                lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
                jax.eval_shape(of_part, parameters, jax.tree.map(lambda x: x[0], parts)),
            )

            def add(total: tuple[Sums, Parameters], part: Batch) -> tuple[tuple[Sums, Parameters], None]:
                return jax.tree.map(jnp.add, total, of_part(parameters, part)), None

            (total, gradients), _ = jax.lax.scan(add, zero, parts)
        weight = jnp.maximum(total.weight, 1.0)
        means = {name: value / weight for name, value in {"loss": total.loss, **total.metrics}.items()}
        return means, jax.tree.map(lambda g: g / weight, gradients)

    return of_batch

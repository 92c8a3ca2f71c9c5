"""Placement of a stage's batches and parameters: on one device, or on a mesh of devices of one or several processes."""

from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scaling.errors import InputError
from scaling.llama.sharding import BATCH, Execution, axis_size, stored
from scaling.train.optimizer import Parameters

Rows = TypeVar("Rows")


def place_rows(batch: Rows, mesh: Mesh | None) -> Rows:
    """A pytree of arrays with a first axis of rows, split over the devices that split a batch; as it is without a mesh.

    Every process has the whole batch, and gives its devices their rows.
    """
    if mesh is None:
        return batch
    sharding = NamedSharding(mesh, PartitionSpec(BATCH))

    def place(array: Any) -> jax.Array:
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    placed: Rows = jax.tree.map(place, batch)
    return placed


def place_parameters(parameters: Parameters, mesh: Mesh | None) -> Parameters:
    """Parameters, laid out as ``sharding.stored`` says; as they are without a mesh."""
    return parameters if mesh is None else jax.device_put(parameters, stored(parameters, mesh))


def shares(execution: Execution) -> int:
    """Parts that a batch's rows are dealt out in: devices that split it, times microbatches."""
    return axis_size(execution.mesh, BATCH) * execution.microbatches


def check_shares(batch: int, execution: Execution) -> None:
    """Refuses a batch that devices and microbatches cannot share evenly.

    Raises:
        InputError: the batch's rows are no multiple of the parts.
    """
    parts = shares(execution)
    if batch % parts:
        raise InputError(f"a batch of {batch} rows cannot be dealt out evenly to {parts} devices and microbatches")

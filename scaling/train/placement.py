"""Placement of a run's arrays: on one device, or on a mesh of devices of one or several processes.

Where there are several, all of them call these functions, and the compiled programs, in the same order.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Int32

from scaling.data.batches import TrainingBatches
from scaling.errors import InputError
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import BATCH, make_mesh

_Tree = TypeVar("_Tree")


def mesh_of_devices(parallelism: Parallelism) -> Mesh:
    """A mesh of all devices of JAX; neighbours along ``tensor`` are nearest to one another.

    Raises:
        InputError: they are too few; or, where several processes share them, more than the mesh has.
    """
    devices, wanted = jax.devices(), parallelism.devices
    message = f"the mesh (data {parallelism.data}, fsdp {parallelism.fsdp}, tensor {parallelism.tensor}) has {wanted}"
    found = f"{len(devices)} {devices[0].platform} device{'s' * (len(devices) > 1)}"
    if wanted > len(devices):
        raise InputError(f"{message} devices; JAX finds {found} here")
    if wanted < len(devices) and jax.process_count() > 1:
        raise InputError(f"{message} devices; {jax.process_count()} processes have {found}, and all must be used")
    sizes = (parallelism.data, parallelism.fsdp, parallelism.tensor)
    return make_mesh(mesh_utils.create_device_mesh(sizes, devices[:wanted]), sizes)


def replicated(tree: _Tree, mesh: Mesh | None) -> _Tree:
    """Arrays replicated over the devices of the mesh."""
    if mesh is None:
        return tree
    place = NamedSharding(mesh, PartitionSpec())
    placed: _Tree = jax.tree.map(lambda x: _placed(np.asarray(x), place), tree)
    return placed


def take_batches(batches: TrainingBatches, step: int, count: int, mesh: Mesh | None) -> Int[Any, "count batch window"]:
    """Batches of ``count`` steps from ``step`` on; on a mesh each process makes its own rows only."""
    if mesh is None:
        return batches.take(step, count)
    return jax.make_array_from_callback(
        (count, batches.batch_size, batches.seq_len + 1),
        NamedSharding(mesh, PartitionSpec(None, BATCH)),
        lambda index: batches.take(step, count, rows=index[1]),  # type: ignore[index]  # never None
    )


def split_rows(windows: Int32[np.ndarray, "rows window"], mesh: Mesh | None) -> Int[Any, "rows window"]:
    """Windows sharded over the devices that split a batch."""
    return windows if mesh is None else _placed(windows, NamedSharding(mesh, PartitionSpec(BATCH)))


def _placed(array: np.ndarray, sharding: NamedSharding) -> Array:
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def decided(request: int) -> Callable[[], int]:
    """The greatest request of all processes, so that all of them do the same.

    The answer comes when what was dispatched before is done: call this before a dispatch and what it returns after it,
    and no device waits.
    """
    if jax.process_count() == 1:
        return lambda: request
    mesh = Mesh(np.array(jax.devices()), ("devices",))
    mine = np.array([request], np.int32)
    requests = jax.make_array_from_callback((mesh.size,), NamedSharding(mesh, PartitionSpec("devices")), lambda _: mine)
    answer = _greatest(mesh)(requests)
    return lambda: int(answer)


@functools.cache
def _greatest(mesh: Mesh) -> Callable[[Array], Array]:
    return jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))

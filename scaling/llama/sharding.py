"""Execution of a training step on a mesh of devices: where arrays are stored, and what a layer gathers.

The axes of the mesh are those of ``Parallelism``. Stated here are the partition of every parameter, and what the
layers' matrix products communicate; for the embedding, the head and the optimizer the compiler finds that itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar, cast

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Shaped

from scaling.llama.layers.primitives import matmul
from scaling.llama.parallelism import AXES, Remat

Layer = TypeVar("Layer", bound=Callable[..., Any])
Attention: TypeAlias = Literal["chunked", "cudnn", "splash", "xla"]

# Axes of the mesh that split a batch, and those that split the state.
BATCH = ("data", "fsdp")
STATE = ("fsdp", "tensor")
TENSOR = "tensor"

# How each parameter is stored; the layers' have a first axis of layers, which is whole. ``qkv`` and ``gate_up`` hold
# several matrices side by side, so their columns stay together until ``project`` deals them out.
PARTITIONS: dict[str, tuple[str | tuple[str, ...] | None, ...]] = {
    "embedding": (TENSOR, "fsdp"),
    "attention_norm": (None, STATE),
    "qkv": (None, STATE, None),
    "qkv_bias": (None, None),
    "query_norm": (None, None),
    "key_norm": (None, None),
    "out": (None, TENSOR, "fsdp"),
    "out_bias": (None, None),
    "ffn_norm": (None, STATE),
    "gate_up": (None, STATE, None),
    "down": (None, TENSOR, "fsdp"),
    "norm": (STATE,),
    "output": (TENSOR, "fsdp"),
    "score": (None,),
}


@dataclass(frozen=True)
class Execution:
    """Options of the execution of a step, which change its results by rounding alone.

    Attributes:
        attention: its implementation; None for the platform's own, see ``scaling.llama.attention.dispatch``.
        remat: what of each layer is computed again in the backward pass.
        mesh: of devices, with the axes of ``Parallelism``; None for one device.
        microbatches: parts that a batch is computed in, one after another, their gradients added up.
        stacked: whether the step is vmapped over models.
    """

    attention: Attention | None = None
    remat: Remat = "none"
    mesh: Mesh | None = None
    microbatches: int = 1
    stacked: bool = False


PLAIN = Execution()
# The name under which ``selective`` remat keeps what ``project`` and ``join`` return; by name, as under a vmap every
# product has a batch dimension, and policies that ask for products without one keep nothing.
PRODUCT = "product"


def axis_size(mesh: Mesh | None, axes: str | Sequence[str]) -> int:
    """Number of devices along an axis of the mesh, or along several; 1 without a mesh."""
    if mesh is None:
        return 1
    return math.prod(mesh.shape[axis] for axis in ((axes,) if isinstance(axes, str) else axes))


def constrain(x: Shaped[Array, "*axes"], mesh: Mesh | None, *axes: Any) -> Shaped[Array, "*axes"]:
    """The array, laid out on the mesh: each of its axes is split over those named in ``axes``, or whole for None."""
    return x if mesh is None else jax.lax.with_sharding_constraint(x, NamedSharding(mesh, PartitionSpec(*axes)))


def project(
    x: Float[Array, "batch seq width"], matrix: Float[Array, "width columns"], parts: Sequence[int], mesh: Mesh | None
) -> list[Float[Array, "batch seq _"]]:
    """The products of x with each of several matrices that lie side by side: what a block reads (column-parallel).

    Args:
        x: a share of the positions on each tensor device.
        matrix: the matrices, as stored.
        parts: columns of each matrix; multiples of the tensor axis.
        mesh: or None for one device.

    Returns:
        For each matrix all positions, and on each tensor device a share of the columns.
    """
    ends = [sum(parts[: i + 1]) for i in range(len(parts) - 1)]
    if mesh is None:
        return _saveable(jnp.split(matmul(x, matrix), ends, axis=-1))
    tensor = axis_size(mesh, TENSOR)

    def local(x: Array, matrix: Array) -> list[Array]:
        matrix = jax.lax.pcast(matrix, "data", to="varying")  # see ``join``
        shares = [part.reshape(len(matrix), tensor, -1) for part in jnp.split(matrix, ends, axis=1)]
        # To each tensor device its columns, for their rows; then the rows of all.
        dealt = jax.lax.all_to_all(jnp.concatenate(shares, axis=2), TENSOR, split_axis=1, concat_axis=0, tiled=True)
        whole = jax.lax.all_gather(dealt[:, 0], "fsdp", axis=0, tiled=True)
        products = jax.lax.all_gather(x, TENSOR, axis=1, tiled=True) @ whole
        return jnp.split(products, [end // tensor for end in ends], axis=-1)

    rows, columns = PartitionSpec(BATCH, TENSOR), PartitionSpec(BATCH, None, TENSOR)
    spread = jax.shard_map(local, mesh=mesh, in_specs=(rows, PartitionSpec(STATE)), out_specs=[columns] * len(parts))
    return _saveable(spread(x, matrix))


def join(
    x: Float[Array, "batch seq inner"], matrix: Float[Array, "inner width"], mesh: Mesh | None
) -> Float[Array, "batch seq width"]:
    """The product of x and the matrix: what a block writes (row-parallel); from the layout of ``project`` and back."""
    if mesh is None:
        return _saveable([matmul(x, matrix)])[0]

    def local(x: Array, matrix: Array) -> Array:
        # Gradients are averaged over replicas where this is transposed: after they were scattered, a shard each.
        matrix = jax.lax.pcast(matrix, "data", to="varying")
        part = x @ jax.lax.all_gather(matrix, "fsdp", axis=1, tiled=True)
        return jax.lax.psum_scatter(part, TENSOR, scatter_dimension=1, tiled=True)

    columns, rows = PartitionSpec(BATCH, None, TENSOR), PartitionSpec(BATCH, TENSOR)
    spread = jax.shard_map(local, mesh=mesh, in_specs=(columns, PartitionSpec(TENSOR, "fsdp")), out_specs=rows)
    return _saveable([spread(x, matrix)])[0]


def _saveable(products: list[Array]) -> list[Array]:
    return [checkpoint_name(product, PRODUCT) for product in products]


def rematerialised(layer: Layer, remat: Remat, unrolled: bool) -> Layer:
    """The function of a layer, with the rematerialisation in its backward pass that ``remat`` names.

    Where layers are unrolled, the compiler must be kept from finding that it computes a thing twice, and keeping it.
    """
    if remat == "none":
        return layer
    policy = jax.checkpoint_policies.save_only_these_names(PRODUCT) if remat == "selective" else None
    return cast(Layer, jax.checkpoint(layer, prevent_cse=unrolled, policy=policy))


def stored(state: Any, mesh: Mesh) -> Any:
    """The sharding of every array of a train state, as a pytree of the same structure; scalars are whole everywhere."""

    def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, PartitionSpec(*PARTITIONS[name_of(path)]) if leaf.ndim else PartitionSpec())

    return jax.tree_util.tree_map_with_path(of, state)


def as_stored(gradients: Any, mesh: Mesh | None) -> Any:
    """Gradients, laid out as their parameters are stored."""
    return gradients if mesh is None else jax.lax.with_sharding_constraint(gradients, stored(gradients, mesh))


def name_of(path: tuple[Any, ...]) -> str:
    """A parameter's own name, from its path in the model."""
    return [str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey)][-1]


def make_mesh(devices: Any, sizes: tuple[int, int, int]) -> Mesh:
    """A mesh of an array of devices, of shape ``sizes`` along data, fsdp and tensor."""
    automatic = (jax.sharding.AxisType.Auto,) * len(AXES)
    return Mesh(devices.reshape(sizes), AXES, axis_types=automatic)

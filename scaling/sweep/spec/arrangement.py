"""The arrangement of a sweep's runs on devices and in time, on which their results do not depend.

So none of it is part of a run's config or id, and a folder that was begun one way may be gone on with another.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scaling.errors import InputError
from scaling.llama.config import LlamaConfig
from scaling.llama.parallelism import Parallelism, Remat
from scaling.sweep.spec.fields import Count, Strict


class MeshChoice(Strict):
    """A mesh of devices: how many replicas, shards of the state, and shares of each layer's products.

    Attributes:
        data: replicas, each with its own sequences.
        fsdp: devices that also have their own sequences, but keep a shard of the state each.
        tensor: devices that share their sequences, and each compute a part of every layer.
    """

    data: Count = 1
    fsdp: Count = 1
    tensor: Count = 1

    @property
    def parallelism(self) -> Parallelism:
        return Parallelism(self.data, self.fsdp, self.tensor)


class Arrangement(Strict):
    """The keys of a sweep file on the execution of its runs.

    Attributes:
        mesh: of devices, on which the runs are trained one after another; None for one device each.
        microbatches: parts that a batch is computed in, one after another, their gradients added up.
        remat: what is computed again in the backward pass: ``none``; ``selective``: all of a layer but its
            projections; ``full``: all of it.
    """

    mesh: MeshChoice | None = None
    microbatches: Count = 1
    remat: Remat = "none"

    @property
    def parallelism(self) -> Parallelism:
        return Parallelism() if self.mesh is None else self.mesh.parallelism

    @property
    def parts(self) -> int:
        """Number of parts that a batch is split into, over devices and in time."""
        return self.parallelism.batch_shards * self.microbatches

    def at_once(self, batch: int) -> int:
        """Sequences that a device computes at once, alone or together with those of its tensor group."""
        return batch // self.parts


ONE_DEVICE = Arrangement()


def arrangement_of(sweep: Mapping[str, Any]) -> Arrangement:
    """Arrangement of a validated sweep, a JSON object."""
    return Arrangement.model_validate({key: sweep[key] for key in Arrangement.model_fields if key in sweep})


def without_arrangement(sweep: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a validated sweep that decide its runs: all but the arrangement's."""
    return {key: value for key, value in sweep.items() if key not in Arrangement.model_fields}


def uneven(arrangement: Arrangement, batches: Sequence[tuple[LlamaConfig, int]]) -> Iterator[tuple[LlamaConfig, str]]:
    """Shapes with batches (in sequences) that the arrangement cannot split evenly, and a line on each."""
    found: dict[LlamaConfig, set[int]] = {}
    for model, batch in batches:
        if batch % arrangement.parts:
            found.setdefault(model, set()).add(batch)
    for model, sizes in found.items():
        counts = ", ".join(map(str, sorted(sizes)))
        enough = arrangement.parts * model.seq_len
        yield (
            model,
            f"batches (of {counts} sequences) are not multiples of data * fsdp * microbatches {arrangement.parts}; "
            f"set recipe.batch_tokens to {enough} or a multiple of it",
        )


def refuse_workers(workers: int | None, mesh: bool) -> None:
    """Raises InputError where several workers are requested with a mesh."""
    if mesh and workers is not None and workers > 1:
        raise InputError(f"`workers` {workers}: a sweep with a mesh has one worker, which trains on all of the mesh")


def refuse_uneven(processes: int, devices: int) -> None:
    """Raises InputError where processes cannot have equal shares of a mesh's devices."""
    if devices % processes:
        raise InputError(f"`workers` {processes}: the mesh has {devices} devices, of which each needs an equal share")

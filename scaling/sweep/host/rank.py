"""The rank of this process, where every host runs the same command and all of them train on one mesh."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass

from scaling.errors import InputError
from scaling.sweep.host.machine import accelerator

_COORDINATOR, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
# As JAX recognises a step of Slurm: in a batch script itself, which is one process, there is no such step.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_PROBE = "import jax; print(jax.process_index(), jax.process_count())"
_PROBE_S = 300.0


@dataclass(frozen=True)
class Rank:
    """A process of a process group.

    Attributes:
        index: from 0.
        count: processes of the group.
    """

    index: int
    count: int

    def variables(self, coordinator: str) -> dict[str, str]:
        """Environment variables that give a process this rank; ``coordinator`` is the host and port of rank 0."""
        return {_COORDINATOR: coordinator, _COUNT: str(self.count), _INDEX: str(self.index)}


ALONE = Rank(0, 1)


def this_rank(mesh: bool) -> Rank:
    """The rank of this process among those that train a sweep: ``ALONE`` unless it has a mesh.

    JAX's environment variables give it, or else Slurm's, or a TPU.

    Raises:
        InputError: JAX_COORDINATOR_ADDRESS is set, but JAX_NUM_PROCESSES and JAX_PROCESS_ID give no rank, or there is
            no mesh that several processes could share.
    """
    rank = rank_from_jax()
    if rank is None:
        return _detected() if mesh else ALONE
    if rank.count > 1 and not mesh:
        raise InputError(f"{_COUNT} is {rank.count}, but the sweep has no mesh for several processes to train on")
    return rank


def rank_from_jax() -> Rank | None:
    """The rank in JAX's environment variables; None where they name no coordinator.

    Raises:
        InputError: as ``this_rank``.
    """
    if _COORDINATOR not in os.environ:
        return None
    index, count = os.environ.get(_INDEX, ""), os.environ.get(_COUNT, "")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(
            f"{_COORDINATOR} is set, so {_COUNT} must be a number of processes and {_INDEX} one of 0 to that less 1; "
            f"they are {count!r} and {index!r}"
        )
    return Rank(int(index), int(count))


@functools.cache
def _detected() -> Rank:
    if all(name in os.environ for name in _SLURM):
        return Rank(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"]))
    if (accelerator() or "").startswith("TPU"):
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S)
        if probe.returncode == 0:
            index, count = probe.stdout.splitlines()[-1].split()
            return Rank(int(index), int(count))
    return ALONE

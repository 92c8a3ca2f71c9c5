"""Which of several processes this is, where every host runs the same command to train on one mesh."""

import functools
import os
import subprocess
import sys
from dataclasses import dataclass

from scaling.errors import InputError
from scaling.sweep.host.machine import accelerator

_COORDINATOR, _COUNT, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
# As JAX knows a step of Slurm: in a batch script itself, which is one process, there is no such step.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_ASK = "import jax; print(jax.process_index(), jax.process_count())"
_ASK_S = 300.0


@dataclass(frozen=True)
class Place:
    """A process among several: the first has index 0."""

    index: int
    count: int

    def variables(self, coordinator: str) -> dict[str, str]:
        """What tells a process its place; ``coordinator`` is the host and port of the first."""
        return {_COORDINATOR: coordinator, _COUNT: str(self.count), _INDEX: str(self.index)}


ALONE = Place(0, 1)


def place(mesh: bool) -> Place:
    """This process's place among those that train a sweep: alone, unless it has a mesh.

    It is what JAX's variables say, or else Slurm's, or a TPU.

    Raises:
        InputError: JAX_COORDINATOR_ADDRESS is set, but JAX_NUM_PROCESSES and JAX_PROCESS_ID do not say the place, or
            there is no mesh that several processes could share.
    """
    told = named()
    if told is None:
        return _detected() if mesh else ALONE
    if told.count > 1 and not mesh:
        raise InputError(f"{_COUNT} is {told.count}, but the sweep has no mesh for several processes to train on")
    return told


@functools.cache
def _detected() -> Place:
    if all(name in os.environ for name in _SLURM):
        return Place(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"]))
    if (accelerator() or "").startswith("TPU"):
        asked = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, timeout=_ASK_S)
        if asked.returncode == 0:
            index, count = asked.stdout.splitlines()[-1].split()
            return Place(int(index), int(count))
    return ALONE


def named() -> Place | None:
    """The place that JAX's variables say; None where no coordinator is named.

    Raises:
        InputError: as ``place``.
    """
    if _COORDINATOR not in os.environ:
        return None
    index, count = os.environ.get(_INDEX, ""), os.environ.get(_COUNT, "")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise InputError(
            f"{_COORDINATOR} is set, so {_COUNT} must be a number of processes and {_INDEX} one of 0 to that less 1; "
            f"they are {count!r} and {index!r}"
        )
    return Place(int(index), int(count))

"""Executors by name: ``local``, ``ray``, ``slurm``."""

from collections.abc import Sequence

from scaling.errors import InputError
from scaling.sweep.workers.local import local
from scaling.sweep.workers.worker_pool import Executor


def find_executor(name: str, slurm: Sequence[str]) -> Executor:
    """Finds an executor by its name.

    Args:
        name: ``local``, ``ray`` or ``slurm``.
        slurm: parameters of Slurm's jobs, each ``KEY=VALUE``.

    Raises:
        InputError: a package that it needs is not installed, or it takes no such parameters.
    """
    if slurm and name != "slurm":
        raise InputError(f"`slurm` {slurm[0]}: only with `executor` slurm")
    try:
        if name == "ray":
            from scaling.sweep.executors.ray import ray_tasks

            return ray_tasks
        if name == "slurm":
            from scaling.sweep.executors.slurm import slurm_jobs

            return slurm_jobs(slurm)
    except ImportError as error:
        if error.name not in ("ray", "submitit"):
            raise
        raise InputError(f'`executor` {name} needs: pip install "scaling-law-toolkit[{name}]"') from None
    return local

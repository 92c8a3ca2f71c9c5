"""Executors by name: ``local``, ``ray``, ``slurm``."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from scaling.data.curate.engine.tasks import TaskRunner, local_tasks
from scaling.errors import InputError
from scaling.sweep.host.machine import cores
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
    with _naming_extra(name, slurm):
        if name == "ray":
            from scaling.sweep.executors.ray import ray_tasks

            return ray_tasks
        if name == "slurm":
            from scaling.sweep.executors.slurm import slurm_jobs

            return slurm_jobs(slurm)
    return local


def find_task_runner(
    name: str, slurm: Sequence[str], workers: int | None
) -> Callable[[], AbstractContextManager[TaskRunner]]:
    """Finds what does the tasks of a curation by the name of an executor.

    Args:
        name, slurm: as for ``find_executor``.
        workers: tasks at once; None for one a core, or as many as the cluster has.

    Raises:
        InputError: as of ``find_executor``.
    """
    with _naming_extra(name, slurm):
        if name == "ray":
            from scaling.sweep.executors.ray import ray_runner

            return partial(ray_runner, workers)
        if name == "slurm":
            from scaling.sweep.executors.slurm import slurm_runner

            return partial(slurm_runner, slurm, workers)
    return partial(local_tasks, workers or len(cores()))


@contextmanager
def _naming_extra(name: str, slurm: Sequence[str]) -> Iterator[None]:
    """Raises an InputError that names the extra of an executor whose package is missing, or parameters of another."""
    if slurm and name != "slurm":
        raise InputError(f"`slurm` {slurm[0]}: only with `executor` slurm")
    try:
        yield
    except ImportError as error:
        if error.name not in ("ray", "submitit"):
            raise
        raise InputError(f'`executor` {name} needs: pip install "scaling-law-toolkit[{name}]"') from None

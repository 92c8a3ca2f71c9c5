"""Workers in jobs of Slurm, submitted through submitit as arrays, queued again at a time limit or a preemption."""

import functools
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import submitit

from scaling.data.curate.engine.tasks import Task, TaskRunner, errors_of_task
from scaling.data.pool import one_thread
from scaling.errors import InputError
from scaling.files import write_text
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.rank import Rank
from scaling.sweep.spec.arrangement import refuse_uneven
from scaling.sweep.workers.local import stop_workers
from scaling.sweep.workers.process_group import root_cause
from scaling.sweep.workers.remote_worker import run_rank, run_worker
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.sweep.workers.worker_pool import Executor, WorkerPool

# Parameters that all executors of submitit share; those of Slurm alone are called slurm_NAME there.
_SHARED = ("name", "timeout_min", "mem_gb", "nodes", "cpus_per_task", "gpus_per_node", "tasks_per_node")
_TIMES = ("time", "timeout_min")
_TIMEOUT_MIN = 240
_MOST_TRIES = 3
# A job that trains goes on for as many time limits as it takes.
_TIMEOUTS = 10_000
# Slurm kills a process that has not ended half a minute after the request to end (its KillWait).
_GRACE_S, _POLL_S = 35.0, 0.5
# The last ones that are free for all, as JAX takes them.
_PORTS = range(2**16 - 2**12, 2**16)
_LOG = logging.getLogger(__name__)


def slurm_jobs(options: Sequence[str]) -> Executor:
    """The ``Executor`` of jobs of Slurm.

    Args:
        options: submitit's parameters of a job, each ``KEY=VALUE``, with or without ``slurm_`` before it.

    Raises:
        InputError: one is not like that.
    """
    return functools.partial(_slurm_jobs, _parameters(options))


@contextmanager
def _slurm_jobs(
    parameters: Mapping[str, int | str], sweep: SweepFolder, role: str, workers: int | None, devices: int | None
) -> Iterator[WorkerPool]:
    if devices is not None:
        size, tasks = 1, _tasks(parameters, workers, devices)
    elif workers is not None:
        size, tasks = workers, {}
    else:
        raise InputError("`executor` slurm needs `workers` N: how many jobs there are at once")
    outcomes = sweep.path.resolve() / "logs" / "slurm"
    outcomes.mkdir(parents=True, exist_ok=True)
    executor = _executor(outcomes, {"name": f"scaling-{role}", "timeout_min": _TIMEOUT_MIN, **parameters, **tasks})
    folder, directory = str(sweep.path.resolve()), str(Path.cwd())

    def start(empty: Sequence[int]) -> list[SlurmJob]:
        with executor.batch():
            jobs = [executor.submit(SweepTask(folder, role, index, directory, grouped=bool(tasks))) for index in empty]
        _LOG.warning("Slurm: submitted %s (see %s)", ", ".join(job.job_id for job in jobs), outcomes)
        return [SlurmJob(job, outcomes) for job in jobs]

    pool = WorkerPool(size, start)
    try:
        yield pool
    finally:
        pool.stop()


@contextmanager
def slurm_runner(options: Sequence[str], workers: int | None) -> Iterator[TaskRunner]:
    """A runner of tasks of data in jobs of Slurm, ``workers`` at once; a job that has died is submitted again.

    Raises:
        InputError: the options are invalid, there is no Slurm here, or the number of workers is not given.
    """
    if workers is None:
        raise InputError("`executor` slurm needs `workers` N: how many jobs there are at once")
    parameters = _parameters(options)

    def run(tasks: Sequence[Task]) -> Iterator[Task]:
        left = list(tasks)
        for attempt in range(_MOST_TRIES):
            if not left:
                return
            outcomes = left[0].folder.parents[2] / "slurm"
            for task in _in_jobs(left, outcomes, parameters, workers, last=attempt + 1 == _MOST_TRIES):
                left.remove(task)
                yield task

    with one_thread():
        yield run


def _in_jobs(
    tasks: Sequence[Task], outcomes: Path, parameters: Mapping[str, int | str], workers: int, last: bool
) -> Iterator[Task]:
    """Does tasks in jobs, and yields those that are done; without the others of a job that died, unless it is the last.

    Raises:
        InputError: of a task; or of a job that died at the last try.
    """
    outcomes.mkdir(parents=True, exist_ok=True)
    executor = _executor(outcomes, {"name": "scaling-data", "timeout_min": _TIMEOUT_MIN, **parameters})
    with executor.batch():
        shares = [tuple(tasks[first::workers]) for first in range(min(workers, len(tasks)))]
        jobs = [executor.submit(DataJob(share, str(Path.cwd()))) for share in shares]
    try:
        for job, own in zip(jobs, shares, strict=True):
            while not job.done(force_check=True):
                time.sleep(_POLL_S)
            path = _outcome(outcomes, job.job_id, 0)
            errors = json.loads(path.read_text()) if path.exists() else None
            if errors:
                raise InputError(errors)
            if last and not all(task.folder.exists() for task in own):
                raise InputError(f"Slurm job {job.job_id} has ended before its time (see {job.paths.stderr})")
            yield from [task for task in own if task.folder.exists()]
    finally:
        for job in jobs:
            job.cancel(check=False)


@dataclass(frozen=True)
class DataJob:
    """The function of a job of data: its tasks, one after another."""

    tasks: tuple[Task, ...]
    directory: str

    def __call__(self) -> None:
        here = submitit.JobEnvironment()
        errors: list[str] = []
        for task in self.tasks:
            errors = errors or errors_of_task(task, self.directory)
        write_text(_outcome(here.paths.folder, here.job_id, 0), json.dumps(errors))

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Requeues the job; what is done stays done."""
        return submitit.helpers.DelayedSubmission(self)


def _parameters(options: Sequence[str]) -> dict[str, int | str]:
    """Parameters of a job by submitit's names, numbers as numbers."""
    parameters: dict[str, int | str] = {}
    for option in options:
        key, _, value = option.partition("=")
        name = key.removeprefix("slurm_")
        if not (name and value):
            raise InputError(f"`slurm` {option}: must be KEY=VALUE")
        if name in _TIMES and not value.isdecimal():
            raise InputError(f"`slurm` {option}: must be a whole number of minutes")
        parameters[name if name in _SHARED else f"slurm_{name}"] = int(value) if value.isdecimal() else value
    return parameters


def _tasks(parameters: Mapping[str, int | str], workers: int | None, devices: int) -> dict[str, int]:
    """The nodes of the job that trains a mesh, and the processes on each: one, unless the user asks for more.

    Raises:
        InputError: neither the options nor ``workers`` say how many processes, or nodes cannot have equal shares.
    """
    each, nodes, gpus = (
        value if isinstance(value := parameters.get(name), int) else 0
        for name in ("tasks_per_node", "nodes", "gpus_per_node")
    )
    each = each or 1
    if not (workers or nodes or gpus):
        raise InputError("`executor` slurm: a mesh needs `workers` N, its processes, or `slurm` gpus_per_node=N")
    count = workers or (nodes or math.ceil(devices / gpus)) * each
    refuse_uneven(count, devices)
    nodes = nodes or math.ceil(count / each)
    if nodes * each != count:
        raise InputError(f"`workers` {count}: nodes times tasks_per_node are {nodes} times {each} processes")
    return {"nodes": nodes, "tasks_per_node": each}


def _executor(logs: Path, parameters: Mapping[str, int | str]) -> submitit.AutoExecutor:
    """A submitit executor: of Slurm, or of processes here where SCALING_SLURM is ``local``, as in tests.

    Raises:
        InputError: there is no Slurm here, or it has no such parameters.
    """
    cluster = os.environ.get("SCALING_SLURM", "slurm")
    try:
        executor = submitit.AutoExecutor(logs, cluster=cluster, **{f"{cluster}_max_num_timeout": _TIMEOUTS})
    except RuntimeError:
        raise InputError("`executor` slurm: there is no Slurm here (srun is not found)") from None
    errors = []
    for name, value in parameters.items():
        try:
            executor.update_parameters(**{name: value})
        except (NameError, AssertionError, TypeError, ValueError) as error:
            (first, *_) = str(error).splitlines()
            errors.append(f"`slurm` {name.removeprefix('slurm_')}={value}: {first}")
    if errors:
        raise InputError(errors)
    return executor


@dataclass(frozen=True)
class SweepTask:
    """The function of a job: ``run_worker``, or ``run_rank`` in each of its processes for a process group."""

    folder: str
    role: str
    index: int
    directory: str
    grouped: bool

    def __call__(self) -> None:
        here = submitit.JobEnvironment()
        outcome = _outcome(Path(self.folder, "logs", "slurm"), here.job_id, here.global_rank)
        outcome.unlink(missing_ok=True)  # of before the job was queued again
        if self.grouped:
            rank = Rank(here.global_rank, here.num_tasks)
            error = run_rank(self.folder, self.role, self.directory, rank, _coordinator(here))
        else:
            error = run_worker(self.folder, self.role, self.index, self.directory)
        # Not as a result, which would have to be unpickled.
        write_text(outcome, json.dumps(error and asdict(error)))

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Saves and requeues the job; submitit calls it before the job's time limit or at a preemption."""
        stop_workers()
        return submitit.helpers.DelayedSubmission(self)


def _outcome(folder: Path, job: str, process: int) -> Path:
    return folder / f"{job}-{process}.json"


def _coordinator(here: submitit.JobEnvironment) -> str:
    """Address (host:port) of rank 0: the job's first node, and a port that no other job on it is likely to use."""
    port = _PORTS.start + int(here.raw_job_id) % len(_PORTS)
    return f"{here.hostnames[0]}:{port}"


class SlurmJob:
    """A job that starts workers.

    Args:
        job: as submitit knows it.
        outcomes: the folder of its outcomes.
    """

    def __init__(self, job: "submitit.Job[Any]", outcomes: Path) -> None:
        self._job = job
        self._outcomes = [_outcome(outcomes, job.job_id, process) for process in range(job.num_tasks)]
        self._deadline = 0.0

    @property
    def ended(self) -> bool:
        """Whether the job has ended, for whatever reason."""
        return self._job.done()

    def error(self) -> WorkerError | None:
        """The error that ended the job before its work was done; None if it was done."""
        return root_cause(map(self._error, self._outcomes))

    def _error(self, outcome: Path) -> WorkerError | None:
        try:
            error = json.loads(outcome.read_text())
        except (OSError, ValueError):
            ended = f"Slurm job {self._job.job_id} has ended before its time: {self._job.state.lower()}"
            return WorkerError(f"{ended} (see {self._job.paths.stderr})", fatal=False)
        return error and WorkerError(**error)

    def note(self, error: WorkerError) -> None:
        """Warns that the job has ended and that another one continues."""
        _LOG.warning("%s; another one goes on", error.message)

    def terminate(self) -> None:
        """Cancels the job: Slurm requests its workers to save their states and end."""
        self._deadline = time.monotonic() + _GRACE_S
        self._job.cancel(check=False)

    def wait(self) -> None:
        """Waits until the job has ended, or until Slurm must have killed it."""
        while not self._job.done(force_check=True) and time.monotonic() < self._deadline:
            time.sleep(_POLL_S)

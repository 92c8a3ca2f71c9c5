"""The supervisor of a sweep's workers: starts them, by one executor or another, until all runs of a role have ended."""

import shutil
import time
from collections.abc import Callable, Sequence

from scaling.errors import InputError
from scaling.llama.counts import count_params
from scaling.sweep.folder.jobs import Job, jobs
from scaling.sweep.folder.progress import SweepProgress, progress_of
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.rank import this_rank
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.plan.shared_work import added_steps
from scaling.sweep.spec.arrangement import arrangement_of
from scaling.sweep.storage.origin import is_mirror
from scaling.sweep.workers.local import Slot, WorkerProcess, local
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.sweep.workers.worker_pool import Executor, WorkerPool
from scaling.train.stop import STOPPED_EXIT, Stopped, stop_requested

_POLL_S = 0.5
# A run's state: parameters and AdamW's two moments in fp32. Two checkpoints are kept while a third is written; of a
# run that is done the parameters.
_STATE_BYTES_PER_PARAM, _CHECKPOINTS, _LAST_BYTES_PER_PARAM = 12, 3, 4
# Logs, metrics, tables and the report.
_SPARE_BYTES = 64 * 2**20


def train_runs(
    sweep: SweepFolder,
    role: str,
    workers: int | None,
    report: Callable[[SweepProgress], None],
    executor: Executor = local,
) -> None:
    """Trains every unfinished run of a role; returns when all have ended, here or by the workers of others.

    Args:
        sweep: the prepared folder.
        role: ``fit`` or ``target``.
        workers: processes; None for one per core, or one per device if there is an accelerator, or as a mesh needs.
        report: called about twice a second.
        executor: where the workers run.

    Raises:
        InputError: runs have failed, each named with its reason; nothing can be trained; the disk has no room for the
            checkpoints; or the number of workers requested does not suit the mesh.
        Stopped: this process was requested to stop, and all its workers have saved their states.
    """
    arrangement = arrangement_of(sweep.sweep())
    devices = None if arrangement.mesh is None else arrangement.parallelism.devices
    rank = this_rank(mesh=devices is not None)
    if rank.index:
        raise InputError(
            f"this is process {rank.index} of {rank.count}: of all commands only run trains on several hosts"
        )
    configs = [sweep.run(run_id).config() for run_id in sweep.runs(role)]
    added = added_steps(configs)
    flops = {config.id: config.flops // config.steps * added[config.id] for config in configs}
    if rank.count > 1:
        join_group(sweep, role, lambda: report(progress_of(sweep, flops)))
        return
    work = jobs(sweep, configs)
    _try_failed_again(sweep, work)
    before = progress_of(sweep, flops)
    if before.runs_done == before.runs:
        return
    with executor(sweep, role, workers, devices) as pool:
        _need_room(sweep, configs, pool.size)
        supervise(pool, sweep, work, lambda: report(progress_of(sweep, flops)))
    failures = [
        f"run {config.id} has failed: {sweep.run(config.id).status()['reason']}"
        for config in configs
        if _state(sweep, config) == "failed"
    ]
    if failures:
        raise InputError([*failures, f"{sweep.path}: the other runs are trained; run again to go on with those"])


def supervise(
    pool: WorkerPool,
    sweep: SweepFolder,
    work: Sequence[Job],
    report: Callable[[], None] = lambda: None,
    wait: bool = True,
) -> None:
    """Keeps a pool at work until all jobs have ended.

    Args:
        pool: the workers.
        sweep: the folder.
        work: the jobs.
        report: called about twice a second.
        wait: whether to wait for jobs that other pools train too, which come free if their worker dies; otherwise it
            returns when no job is free.

    Raises:
        InputError: nothing can be trained.
        Stopped: this process was requested to stop.
    """
    while True:
        if stop_requested():
            raise Stopped
        left = [job for job in work if any(_state(sweep, config) not in (*ENDED, "failed") for config in job.runs)]
        free = sum(job.folder.free() for job in left)
        pool.tend(free, len(left) - free, [len(left), [job.folder.attempts() for job in left]])
        report()
        if pool.idle and not (left if wait else free):
            return
        time.sleep(_POLL_S)


def _state(sweep: SweepFolder, config: AnyConfig) -> str:
    state: str = sweep.run(config.id).status()["state"]
    return state


def _try_failed_again(sweep: SweepFolder, work: Sequence[Job]) -> None:
    """Schedules failed runs for training from their last checkpoint, with a new count of attempts."""
    for job in work:
        if not any(_state(sweep, config) == "failed" for config in job.runs):
            continue
        with job.folder.locked() as mine:
            for config in job.runs if mine else ():
                folder = sweep.run(config.id)
                if _state(sweep, config) == "failed":
                    job.folder.forget_attempts()
                    status = folder.status()
                    del status["reason"]
                    folder.write_status({**status, "state": "running"})


def _need_room(sweep: SweepFolder, configs: Sequence[AnyConfig], workers: int) -> None:
    """Raises InputError where the disk lacks room for all parameters and the checkpoints of the largest runs."""
    sizes = sorted((count_params(config.model).total for config in configs), reverse=True)
    last, states = _LAST_BYTES_PER_PARAM * sum(sizes), _STATE_BYTES_PER_PARAM * sum(sizes[:workers])
    need, free = last + _CHECKPOINTS * states + _SPARE_BYTES, shutil.disk_usage(sweep.path).free
    if free < need:
        raise InputError(
            f"{sweep.path}: checkpoints, parameters and results need about {need / 2**30:.2g} GiB, and the disk has "
            f"{free / 2**30:.2g} GiB free"
        )


def join_group(sweep: SweepFolder, role: str, report: Callable[[], None] = lambda: None) -> None:
    """Trains as a rank of a process group: every process of it runs this same command.

    Args:
        sweep: the folder.
        role: ``fit`` or ``target``.
        report: called about twice a second.

    Raises:
        InputError: this rank, or rank 0, ended before its work was done.
        Stopped: this process was requested to stop.
    """
    if error := train_as_rank(sweep, role, report):
        raise InputError(error.message)


def train_as_rank(sweep: SweepFolder, role: str, report: Callable[[], None] = lambda: None) -> WorkerError | None:
    """Trains as a rank of a process group, like ``join_group``; returns the error instead of raising it."""
    if is_mirror(sweep.path):
        raise InputError("several processes that train as one need an `out` on a disk that all of them see")
    worker = WorkerProcess(sweep, role, Slot(this_rank(mesh=True).index), grouped=True)
    try:
        while worker.code is None and not stop_requested():
            time.sleep(_POLL_S)
            report()
    finally:
        # One that was killed says so, though the others' errors, which it caused, have led to a stop meanwhile.
        by_itself = worker.code is not None
        if not by_itself:
            worker.terminate()
        worker.wait()
    if not by_itself or worker.code == STOPPED_EXIT:
        raise Stopped
    return worker.error()

"""Sees to it that all runs of a role are trained: starts workers, by one executor or another, until all have ended."""

import shutil
import time
from collections.abc import Callable, Sequence

from scaling.errors import InputError
from scaling.llama.counts import count_params
from scaling.sweep.folder.jobs import Job, jobs
from scaling.sweep.folder.progress import SweepProgress, progress_of
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.processes import place
from scaling.sweep.plan.shared_work import added_steps
from scaling.sweep.spec.arrangement import arrangement_of
from scaling.sweep.storage.origin import is_mirror
from scaling.sweep.workers.local import Seat, WorkerProcess, local
from scaling.sweep.workers.pool import Crew, Executor, Fault
from scaling.train.config import RunConfig
from scaling.train.stop import STOPPED_EXIT, Stopped, stop_requested

_POLL_S = 0.5
# A run's state: parameters and AdamW's two moments in fp32. Two checkpoints are kept while a third is written; of a
# run that is done the parameters.
_STATE_BYTES_PER_PARAM, _CHECKPOINTS, _KEPT_BYTES_PER_PARAM = 12, 3, 4
# Logs, metrics, tables and the report.
_SPARE_BYTES = 64 * 2**20


def execute(
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
        executor: where the workers are.

    Raises:
        InputError: runs have failed, each is named with its reason; nothing can be trained; the disk has no room for
            the checkpoints; or the workers asked for do not suit the mesh.
        Stopped: this process was asked to stop, and all its workers have saved their states.
    """
    arrangement = arrangement_of(sweep.sweep())
    devices = None if arrangement.mesh is None else arrangement.parallelism.devices
    here = place(mesh=devices is not None)
    if here.index:
        raise InputError(
            f"this is process {here.index} of {here.count}: of all commands only run trains on several hosts"
        )
    configs = [sweep.run(run_id).config() for run_id in sweep.runs(role)]
    added = added_steps(configs)
    flops = {config.id: config.flops // config.steps * added[config.id] for config in configs}
    if here.count > 1:
        join(sweep, role, lambda: report(progress_of(sweep, flops)))
        return
    work = jobs(sweep, configs)
    _try_failed_again(sweep, work)
    before = progress_of(sweep, flops)
    if before.runs_done == before.runs:
        return
    with executor(sweep, role, workers, devices) as crew:
        _need_room(sweep, configs, crew.size)
        keep_at_work(crew, sweep, work, lambda: report(progress_of(sweep, flops)))
    failures = [
        f"run {config.id} has failed: {sweep.run(config.id).status()['reason']}"
        for config in configs
        if _state(sweep, config) == "failed"
    ]
    if failures:
        raise InputError([*failures, f"{sweep.path}: the other runs are trained; run again to go on with those"])


def keep_at_work(
    crew: Crew, sweep: SweepFolder, work: Sequence[Job], report: Callable[[], None] = lambda: None, wait: bool = True
) -> None:
    """Tends a crew until all jobs have ended.

    Args:
        crew: whose hands train.
        sweep: the folder.
        work: the jobs.
        report: called about twice a second.
        wait: for the jobs of others too, which come free if they die; otherwise until no job is free.

    Raises:
        InputError: nothing can be trained.
        Stopped: this process was asked to stop.
    """
    while True:
        if stop_requested():
            raise Stopped
        left = [job for job in work if any(_state(sweep, config) not in (*ENDED, "failed") for config in job.runs)]
        free = sum(job.folder.free() for job in left)
        crew.tend(free, len(left) - free, [len(left), [job.folder.attempts() for job in left]])
        report()
        if crew.idle and not (left if wait else free):
            return
        time.sleep(_POLL_S)


def _state(sweep: SweepFolder, config: RunConfig) -> str:
    state: str = sweep.run(config.id).status()["state"]
    return state


def _try_failed_again(sweep: SweepFolder, work: Sequence[Job]) -> None:
    """What failed goes on from its last checkpoint, with as many attempts as any."""
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


def _need_room(sweep: SweepFolder, configs: Sequence[RunConfig], workers: int) -> None:
    """InputError where the disk has no room for all parameters, and checkpoints of the largest trained at once."""
    sizes = sorted((count_params(config.model).total for config in configs), reverse=True)
    kept, states = _KEPT_BYTES_PER_PARAM * sum(sizes), _STATE_BYTES_PER_PARAM * sum(sizes[:workers])
    need, free = kept + _CHECKPOINTS * states + _SPARE_BYTES, shutil.disk_usage(sweep.path).free
    if free < need:
        raise InputError(
            f"{sweep.path}: checkpoints, parameters and results need about {need / 2**30:.2g} GiB, and the disk has "
            f"{free / 2**30:.2g} GiB free"
        )


def join(sweep: SweepFolder, role: str, report: Callable[[], None] = lambda: None) -> None:
    """Trains as one of several processes, each of which was called like this one.

    Args:
        sweep: the folder.
        role: ``fit`` or ``target``.
        report: called about twice a second.

    Raises:
        InputError: it ended before its time, or the first did.
        Stopped: this process was asked to stop.
    """
    if fault := work_along(sweep, role, report):
        raise InputError(fault.told)


def work_along(sweep: SweepFolder, role: str, report: Callable[[], None] = lambda: None) -> Fault | None:
    """As ``join``, but returns why it ended before its time."""
    if is_mirror(sweep.path):
        raise InputError("several processes that train as one need an --out on a disk that all of them see")
    worker = WorkerProcess(sweep, role, Seat(place(mesh=True).index), team=True)
    try:
        while worker.code is None and not stop_requested():
            time.sleep(_POLL_S)
            report()
    finally:
        if worker.code is None:
            worker.terminate()
        worker.wait()
    if stop_requested() or worker.code == STOPPED_EXIT:
        raise Stopped
    return worker.fault()

"""A worker: trains runs of a sweep's folder that no other process trains.

Started by an executor as ``python -m scaling.sweep.workers.worker FOLDER ROLE [CORE]``; any number may share a folder.
It trains the free runs of one shape, those with the most FLOPs first, and ends when none of them is left; its parent
looks whether there is more to do. Exit status: 0; 1 if a run failed while others were trained; 2 if nothing can be
trained; 75 if a stop was requested and its state is saved. The last line of its output says why.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import jax

from scaling.errors import InputError
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.jobs import Job, jobs
from scaling.sweep.folder.run_folder import ATTEMPTS, ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import use_compile_cache
from scaling.sweep.host.stacking import members_at_once
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.plan.shared_work import Shape
from scaling.sweep.spec.arrangement import arrangement_of
from scaling.sweep.workers.job_training import execution_of
from scaling.sweep.workers.trainers import Trainer, trainer_for
from scaling.train.compile_ahead import AheadCompiler
from scaling.train.config import RunConfig
from scaling.train.stacked import stack_key
from scaling.train.stop import STOPPED_EXIT, Stopped, stop_requested, stopping_on_signals

WAIT_S = 1.0


def one_at_once(config: RunConfig, available: int) -> int:  # noqa: ARG001
    """Number of stackable runs to train at once: one."""
    return 1


def announce_nothing(runs: Sequence[str]) -> None:
    """Announces runs to nobody, for a worker without other ranks."""


class Worker:
    """A worker on the jobs of a sweep's folder.

    Args:
        sweep: the folder.
        trainer: of its jobs.
        members: given a run and the number of runs like it that could be stacked, how many to train at once.
        announce: called with the ids of the runs that are trained next, together.
        ahead: compiles the next shape while one trains; None if no core is idle then.
    """

    def __init__(
        self,
        sweep: SweepFolder,
        trainer: Trainer,
        members: Callable[[RunConfig, int], int] = one_at_once,
        announce: Callable[[Sequence[str]], None] = announce_nothing,
        ahead: AheadCompiler | None = None,
    ) -> None:
        self._sweep, self._members = sweep, members
        self._trainer = trainer
        self._announce, self._ahead = announce, ahead
        self._compiled: set[Shape] = set()

    def work(self, role: str, one_shape: bool = False) -> list[str]:
        """Trains runs of a role that no other process trains.

        Args:
            role: ``fit`` or ``target``.
            one_shape: whether to end with the last free run of the first shape, or at once if none is free;
                otherwise it ends when all runs have ended.

        Returns:
            A line on each run that has failed, with its reason.

        Raises:
            Stopped: this process was requested to stop; what it trained is saved.
        """
        failures: list[str] = []
        everything = jobs(self._sweep, (self._sweep.run(run_id).config() for run_id in self._sweep.runs(role)))
        pending = [job for job in everything if self._left(job)]
        while pending:
            if stop_requested():
                raise Stopped
            with self._next(pending) as job, ExitStack() as locks:
                if job is None:  # the rest is being trained by others: if one of them dies, its lock comes free
                    if one_shape:
                        break
                    time.sleep(WAIT_S)
                    continue
                taken = [job, *self._stackable(job, pending, locks)]
                if any(self._left(job) for job in taken):
                    failures += self._attempt(taken, everything)
                    if one_shape:
                        pending = [other for other in pending if other.shape == job.shape]
                for job in taken:
                    pending.remove(job)
        if self._ahead is not None:
            self._ahead.finish()
        return failures

    def _attempt(self, taken: Sequence[Job], everything: Sequence[Job]) -> list[str]:
        """Trains jobs together; returns a line on each run that has failed, as when the disk fails."""
        left: list[AnyConfig] = []
        try:
            for job in taken:
                of_job = self._left(job)
                if of_job and job.folder.attempt(ended=len(job.runs) - len(of_job)) > ATTEMPTS:
                    reason = f"{ATTEMPTS} attempts in a row have ended before a newer checkpoint was written"
                    return [self._fail(config, reason) for config in of_job]
                left += of_job
            self._announce([config.id for config in left])
            if self._ahead is not None:
                self._look_ahead(self._ahead, taken[0], everything)
            self._trainer.train(taken[0], left)
            self._compiled.add(taken[0].shape)
        except OSError as error:
            if jax.process_count() > 1:  # the others wait for this one's next step
                raise
            return [
                self._fail(config, f"{error.filename}: {error.strerror}") for config in left if self._unended(config)
            ]
        return []

    def _fail(self, config: AnyConfig, reason: str) -> str:
        folder = self._sweep.run(config.id)
        before = folder.status()
        failed = {"steps": config.steps, "step": 0, "loss": None, **before, "state": "failed", "reason": reason}
        with suppress(OSError):  # of the full disk that it failed for
            folder.write_status(failed)
        line = f"run {config.id} has failed: {reason}"
        with suppress(OSError):
            print(line, file=sys.stderr, flush=True)
        return line

    def _look_ahead(self, ahead: AheadCompiler, job: Job, pending: Sequence[Job]) -> None:
        """Starts to compile the shape after a job's, unless its runs are to be stacked."""
        known = {*self._compiled, job.shape}
        others = [other for other in pending if other.shape not in known and self._left(other)]
        if others:
            coming = max(others, key=lambda other: other.flops)
            alike, run = sum(other.shape == coming.shape for other in others), coming.runs[0]
            if isinstance(run, RunConfig) and self._members(run, alike) == 1:
                ahead.start(run)

    def _left(self, job: Job) -> list[AnyConfig]:
        return [config for config in job.runs if self._unended(config)]

    def _unended(self, config: AnyConfig) -> bool:
        return self._sweep.run(config.id).status()["state"] not in (*ENDED, "failed")

    def _stackable(self, job: Job, pending: Sequence[Job], locks: ExitStack) -> Iterator[Job]:
        """Jobs to stack with one, those with the most FLOPs first, their locks taken; none with a trunk."""
        run, alike = job.runs[0], []
        if not isinstance(run, RunConfig):
            return
        if run.trunk is None and self._left(job):
            key = stack_key(run)
            others = (other for other in pending if other is not job and self._left(other))
            alike = [other for other in others if _stacks(other.runs[0], key)]
        wanted = self._members(run, 1 + len(alike)) - 1 if alike else 0
        for other in sorted(alike, key=lambda other: other.flops, reverse=True):
            if wanted and locks.enter_context(other.folder.locked()):
                wanted -= 1
                yield other

    @contextmanager
    def _next(self, pending: Sequence[Job]) -> Iterator[Job | None]:
        """A job with its lock held: of a shape already compiled here, or else of one that nobody else compiles now, or
        else the one with the most FLOPs; None if all are held.
        """
        theirs: set[Shape] = set()
        later: list[Job] = []
        for job in sorted(pending, key=lambda job: (job.shape in self._compiled, job.flops), reverse=True):
            if job.shape in theirs and job.shape not in self._compiled:
                later.append(job)
                continue
            with job.folder.locked() as mine:
                if mine:
                    yield job
                    return
            theirs.add(job.shape)
        for job in later:
            with job.folder.locked() as mine:
                if mine:
                    yield job
                    return
        yield None


def _stacks(config: AnyConfig, key: tuple[Any, ...]) -> bool:
    return isinstance(config, RunConfig) and config.trunk is None and stack_key(config) == key


def main(folder: str, role: str, core: str | None = None) -> int:
    """Pins this process to a core, if one is given, and trains; returns the exit status."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.WARNING)
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    use_compile_cache()
    sweep = SweepFolder(Path(folder))
    runs = sweep.runs(role)
    failures: list[str] = []
    if runs:
        execution = execution_of(arrangement_of(sweep.sweep()))
        members = members_at_once if execution == PLAIN else one_at_once
        ahead = AheadCompiler() if core is None and execution == PLAIN else None
        trainer = trainer_for(sweep, sweep.run(runs[0]).config(), execution)
        failures = Worker(sweep, trainer, members, ahead=ahead).work(role, one_shape=True)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        with stopping_on_signals():
            sys.exit(main(*sys.argv[1:]))
    except InputError as error:
        print("\n".join(error.errors), file=sys.stderr)
        sys.exit(2)
    except Stopped:
        print("stopped on request; what was trained is saved", file=sys.stderr)
        sys.exit(STOPPED_EXIT)

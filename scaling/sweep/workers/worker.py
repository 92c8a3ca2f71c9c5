"""A worker: trains runs of a sweep's folder that nobody else is training.

Started by an executor as ``python -m scaling.sweep.workers.worker FOLDER ROLE [CORE]``; any number may share a folder.
It takes runs of one shape, the dearest that is free, and ends when none of them is left: then whoever started it
looks whether there is more to do. It exits with 0; 1 where a run failed, and others were still trained; 2 where
nothing can be trained; 75 where it was asked to stop, its state saved. The last line of its output says why.
"""

import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import jax

from scaling.data.corpus import CorpusSpec
from scaling.errors import InputError
from scaling.llama.sharding import PLAIN, Execution
from scaling.sweep.folder.jobs import Job, jobs
from scaling.sweep.folder.run_folder import ATTEMPTS, ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import CompileClock, use_compile_cache
from scaling.sweep.host.stacking import members_at_once
from scaling.sweep.plan.shared_work import Shape
from scaling.sweep.plan.text import SweepText, load_text
from scaling.sweep.spec.arrangement import Arrangement, arrangement_of
from scaling.sweep.workers.running import CHECKPOINT_S, Running, finite
from scaling.train.compile_ahead import AheadCompiler
from scaling.train.config import RunConfig
from scaling.train.loop import Outcome, Progress
from scaling.train.placement import mesh_of_devices
from scaling.train.stacked import Share, StackedRun, stack_key, train_stacked
from scaling.train.stop import STOPPED_EXIT, Stopped, stop_requested, stopping_on_signals
from scaling.train.trunk import Begin, train_trunk

WAIT_S = 1.0


def one_at_once(config: RunConfig, available: int) -> int:  # noqa: ARG001
    """Of so many runs that could be stacked, how many are: one."""
    return 1


def to_nobody(runs: Sequence[str]) -> None:
    """What a worker by itself says of the runs that it trains next."""


class Worker:
    """Trains jobs of a folder.

    Args:
        sweep: the folder.
        text: its corpus.
        members: how many of so many runs, each like the one given but for its numbers, are to be trained at once.
        execution: how runs are carried out.
        announce: called with the ids of the runs that are trained next, together.
        ahead: compiles the next shape while one trains; None where no core is idle then.
    """

    def __init__(
        self,
        sweep: SweepFolder,
        text: SweepText,
        members: Callable[[RunConfig, int], int] = one_at_once,
        execution: Execution = PLAIN,
        announce: Callable[[Sequence[str]], None] = to_nobody,
        ahead: AheadCompiler | None = None,
    ) -> None:
        self._sweep, self._text, self._members = sweep, text, members
        self._execution, self._announce, self._ahead = execution, announce, ahead
        self._compiled: set[Shape] = set()
        self._clock = CompileClock()

    def work(self, role: str, one_shape: bool = False) -> list[str]:
        """Trains runs of a role that nobody else trains.

        Args:
            role: ``fit`` or ``target``.
            one_shape: ends with the last free run of the shape that was taken up first, or at once if none is free;
                otherwise when all runs have ended.

        Returns:
            Why runs have failed, a line each.

        Raises:
            Stopped: this process was asked to stop; what it trained is saved.
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
                taken = [job, *self._company(job, pending, locks)]
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
        """Trains jobs together; why they have failed, if they have. What fails here is the disk."""
        left: list[RunConfig] = []
        try:
            for job in taken:
                of_job = self._left(job)
                if of_job and job.folder.attempt(ended=len(job.runs) - len(of_job)) > ATTEMPTS:
                    told = f"{ATTEMPTS} attempts in a row have ended before a newer checkpoint was written"
                    return [self._fail(config, told) for config in of_job]
                left += of_job
            self._announce([config.id for config in left])
            if self._ahead is not None:
                self._look_ahead(self._ahead, taken[0], everything)
            self._train(taken[0], left)
            self._compiled.add(taken[0].shape)
        except OSError as error:
            if jax.process_count() > 1:  # the others wait for this one's next step
                raise
            return [
                self._fail(config, f"{error.filename}: {error.strerror}") for config in left if self._unended(config)
            ]
        return []

    def _fail(self, config: RunConfig, reason: str) -> str:
        folder = self._sweep.run(config.id)
        before = folder.status()
        failed = {"steps": config.steps, "step": 0, "loss": None, **before, "state": "failed", "reason": reason}
        with suppress(OSError):  # of the full disk that it failed for
            folder.write_status(failed)
        told = f"run {config.id} has failed: {reason}"
        with suppress(OSError):
            print(told, file=sys.stderr, flush=True)
        return told

    def _look_ahead(self, ahead: AheadCompiler, job: Job, pending: Sequence[Job]) -> None:
        """Begins to compile the shape that comes after a job's, unless its runs are to be stacked."""
        known = {*self._compiled, job.shape}
        others = [other for other in pending if other.shape not in known and self._left(other)]
        if others:
            coming = max(others, key=lambda other: other.flops)
            alike = sum(other.shape == coming.shape for other in others)
            if self._members(coming.runs[0], alike) == 1:
                ahead.start(coming.runs[0])

    def _left(self, job: Job) -> list[RunConfig]:
        return [config for config in job.runs if self._unended(config)]

    def _unended(self, config: RunConfig) -> bool:
        return self._sweep.run(config.id).status()["state"] not in (*ENDED, "failed")

    def _company(self, job: Job, pending: Sequence[Job], locks: ExitStack) -> Iterator[Job]:
        """Jobs to be stacked with one, the dearest first, their locks taken; none beside a trunk."""
        run, alike = job.runs[0], []
        if run.trunk is None and self._left(job):
            key = stack_key(run)
            others = (other for other in pending if other is not job and other.runs[0].trunk is None)
            alike = [other for other in others if stack_key(other.runs[0]) == key and self._left(other)]
        wanted = self._members(run, 1 + len(alike)) - 1 if alike else 0
        for other in sorted(alike, key=lambda other: other.flops, reverse=True):
            if wanted and locks.enter_context(other.folder.locked()):
                wanted -= 1
                yield other

    @contextmanager
    def _next(self, pending: Sequence[Job]) -> Iterator[Job | None]:
        """A job and its lock: of a shape just compiled, else of one that nobody else compiles now, else the dearest."""
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

    def _train(self, job: Job, left: Sequence[RunConfig]) -> None:
        if job.runs[0].trunk is not None:
            self._train_trunk(job, left)
        elif len(left) > 1:
            self._train_together(left)
        else:
            self._run(left[0], self._shares(1)).train(self._execution)

    def _shares(self, members: int) -> tuple[Share, Share]:
        """What each of several runs has of this worker's seconds from now on, in all and compiling."""
        return Share(time.monotonic, members), Share(lambda: self._clock.seconds, members)

    def _run(self, config: RunConfig, shares: tuple[Share, Share]) -> Running:
        return Running(self._sweep.run(config.id), config, self._text, *shares)

    def _train_together(self, configs: Sequence[RunConfig]) -> None:
        shares = self._shares(len(configs))

        def member(config: RunConfig) -> StackedRun:
            run, text = self._run(config, shares), self._text.of_run(config)

            def end(outcome: Outcome) -> None:
                run.end(outcome, text)
                for share in shares:
                    share.leave()

            run.show(Progress(0, math.nan, 0.0))
            return StackedRun(config, text, run.folder.checkpoints, run.report, end)

        train_stacked([member(config) for config in configs], CHECKPOINT_S)

    def _train_trunk(self, job: Job, left: Sequence[RunConfig]) -> None:
        runs: dict[str, Running] = {}

        def run_of(config: RunConfig) -> Running:
            """From when the trunk is on its way to a branch, that run's time is counted."""
            if config.id not in runs:
                runs[config.id] = self._run(config, self._shares(1))
            return runs[config.id]

        def report(config: RunConfig, progress: Progress) -> None:
            run_of(config).show(progress)
            job.folder.log({"step": progress.step, "loss": finite(progress.loss)})

        def leave(config: RunConfig, begin: Begin) -> None:
            run = run_of(config)
            with run.folder.locked():
                run.train(self._execution, begin)

        run_of(min(left, key=lambda config: config.branch_step))
        checkpoints, execution = job.folder.checkpoints, self._execution
        train_trunk(left, self._text.of_run, checkpoints, CHECKPOINT_S, report, leave, execution)
        job.folder.drop_checkpoints()


def main(folder: str, role: str, core: str | None = None) -> int:
    """Pins itself to a core, if one is named, and works; returns its exit status."""
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
        text = text_of(sweep.run(runs[0]).config())
        failures = Worker(sweep, text, members, execution, ahead=ahead).work(role, one_shape=True)
    return 1 if failures else 0


def execution_of(arrangement: Arrangement) -> Execution:
    """An arrangement on the devices here.

    Raises:
        InputError: they are too few.
    """
    mesh = None if arrangement.mesh is None else mesh_of_devices(arrangement.parallelism)
    return Execution(remat=arrangement.remat, mesh=mesh, microbatches=arrangement.microbatches)


def text_of(config: RunConfig) -> SweepText:
    """The corpus of a run.

    Raises:
        InputError: it is not what it was when the run was planned.
    """
    text = load_text(CorpusSpec.model_validate(config.data.corpus))
    if asdict(text.fingerprint) != config.data.fingerprint:
        raise InputError(f"corpus {text.fingerprint.name}: its text has changed since the sweep was planned")
    return text


if __name__ == "__main__":
    try:
        with stopping_on_signals():
            sys.exit(main(*sys.argv[1:]))
    except InputError as error:
        print("\n".join(error.errors), file=sys.stderr)
        sys.exit(2)
    except Stopped:
        print("asked to stop; what was trained is saved", file=sys.stderr)
        sys.exit(STOPPED_EXIT)

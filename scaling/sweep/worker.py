"""A worker: trains the runs of a sweep's folder that nobody else is training, until none is left.

Started by ``execute`` as ``python -m scaling.sweep.worker FOLDER ROLE [CORE]``; any number may share a folder.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from scaling.data.corpus import CorpusSpec
from scaling.errors import InputError
from scaling.llama.sharding import PLAIN, Execution
from scaling.sweep.arrangement import Arrangement, arrangement_of
from scaling.sweep.jobs import Job, Shape, jobs
from scaling.sweep.machine import CompileClock, use_compile_cache
from scaling.sweep.running import CHECKPOINT_S, Running, finite
from scaling.sweep.stacking import members_at_once
from scaling.sweep.store import ENDED, SweepFolder
from scaling.sweep.text import SweepText, load_text
from scaling.train.ahead import Ahead
from scaling.train.config import RunConfig
from scaling.train.ensemble import Member, Share, stack_key, train_ensemble
from scaling.train.loop import Outcome, Progress
from scaling.train.placement import mesh_of_devices
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
        ahead: Ahead | None = None,
    ) -> None:
        self._sweep, self._text, self._members = sweep, text, members
        self._execution, self._announce, self._ahead = execution, announce, ahead
        self._compiled: set[Shape] = set()
        self._clock = CompileClock()

    def work(self, role: str) -> None:
        """Trains every run of a role that nobody else trains; returns when all have ended."""
        pending = jobs(self._sweep, (self._sweep.run(run_id).config() for run_id in self._sweep.runs(role)))
        while pending:
            with self._next(pending) as job, ExitStack() as locks:
                if job is None:  # the rest is being trained by others: if one of them dies, its lock comes free
                    time.sleep(WAIT_S)
                    continue
                taken = [job, *self._company(job, pending, locks)]
                left = [config for job in taken for config in self._left(job)]
                if left:
                    self._announce([config.id for config in left])
                    if self._ahead is not None:
                        self._look_ahead(self._ahead, job, pending)
                    self._train(job, left)
                    self._compiled.add(job.shape)
                for job in taken:
                    pending.remove(job)
        if self._ahead is not None:
            self._ahead.finish()

    def _look_ahead(self, ahead: Ahead, job: Job, pending: Sequence[Job]) -> None:
        """Begins to compile the shape that comes after a job's, unless its runs are to be stacked."""
        known = {*self._compiled, job.shape}
        others = [other for other in pending if other.shape not in known and self._left(other)]
        if others:
            coming = max(others, key=lambda other: other.flops)
            alike = sum(other.shape == coming.shape for other in others)
            if self._members(coming.runs[0], alike) == 1:
                ahead.start(coming.runs[0])

    def _left(self, job: Job) -> list[RunConfig]:
        return [config for config in job.runs if self._sweep.run(config.id).status()["state"] not in ENDED]

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

        def member(config: RunConfig) -> Member:
            run, text = self._run(config, shares), self._text.of_run(config)

            def end(outcome: Outcome) -> None:
                run.end(outcome, text)
                for share in shares:
                    share.leave()

            run.show(Progress(0, math.nan, 0.0))
            return Member(config, text, run.folder.checkpoints, run.report, end)

        train_ensemble([member(config) for config in configs], CHECKPOINT_S)

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


def main(folder: str, role: str, core: str | None = None) -> None:
    """Pins itself to a core, if one is named, and works."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    use_compile_cache()
    sweep = SweepFolder(Path(folder))
    runs = sweep.runs(role)
    if runs:
        execution = execution_of(arrangement_of(sweep.sweep()))
        members = members_at_once if execution == PLAIN else one_at_once
        ahead = Ahead() if core is None and execution == PLAIN else None
        Worker(sweep, text_of(sweep.run(runs[0]).config()), members, execution, ahead=ahead).work(role)


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
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit("\n".join(error.faults))

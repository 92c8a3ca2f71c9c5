"""A worker: trains the runs of a sweep's folder that nobody else is training, until none is left.

Started by ``execute`` as ``python -m scaling.sweep.worker FOLDER ROLE [CORE]``; any number may share a folder.
"""

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import jax

from scaling.data.corpus import CorpusSpec
from scaling.errors import InputError
from scaling.sweep.jobs import Job, Shape, jobs
from scaling.sweep.machine import CompileClock, use_compile_cache
from scaling.sweep.store import ENDED, RunFolder, SweepFolder
from scaling.sweep.text import SweepText, load_text
from scaling.train.config import RunConfig
from scaling.train.loop import Progress, train_run
from scaling.train.trunk import Begin, train_trunk

CHECKPOINT_S = (5.0, 30.0)
STATUS_S = 0.5
WAIT_S = 1.0
_PARENT = os.getppid()


class Worker:
    """Trains jobs of a folder.

    Args:
        sweep: the folder.
        text: its corpus.
    """

    def __init__(self, sweep: SweepFolder, text: SweepText) -> None:
        self._sweep, self._text = sweep, text
        self._compiled: set[Shape] = set()
        self._clock = CompileClock()

    def work(self, role: str) -> None:
        """Trains every run of a role that nobody else trains; returns when all have ended."""
        pending = jobs(self._sweep, (self._sweep.run(run_id).config() for run_id in self._sweep.runs(role)))
        while pending:
            with self._next(pending) as job:
                if job is None:  # the rest is being trained by others: if one of them dies, its lock comes free
                    time.sleep(WAIT_S)
                    continue
                left = [config for config in job.runs if self._sweep.run(config.id).status()["state"] not in ENDED]
                if left:
                    self._train(job, left)
                    self._compiled.add(job.shape)
                pending.remove(job)

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
        if job.runs[0].trunk is None:
            (config,) = left
            _Run(self._sweep.run(config.id), config, self._text, self._clock).train()
            return
        runs: dict[str, _Run] = {}

        def run_of(config: RunConfig) -> _Run:
            """From when the trunk is on its way to a branch, that run's time is counted."""
            if config.id not in runs:
                runs[config.id] = _Run(self._sweep.run(config.id), config, self._text, self._clock)
            return runs[config.id]

        def report(config: RunConfig, progress: Progress) -> None:
            run_of(config).show(progress)
            job.folder.log({"step": progress.step, "loss": _finite(progress.loss)})

        def leave(config: RunConfig, begin: Begin) -> None:
            run = run_of(config)
            with run.folder.locked():
                run.train(begin)

        run_of(min(left, key=lambda config: config.branch_step))
        train_trunk(left, self._text.of_run, job.folder.checkpoints, CHECKPOINT_S, report, leave)
        job.folder.drop_checkpoints()


class _Run:
    """A run that is being trained: its log and its status."""

    def __init__(self, folder: RunFolder, config: RunConfig, text: SweepText, clock: CompileClock) -> None:
        self.folder, self._config, self._text, self._clock = folder, config, text, clock
        before = folder.status()
        self._wall_s, self._compile_s = before.get("wall_s", 0.0), before.get("compile_s", 0.0)
        self._started, self._compiled, self._written = time.monotonic(), clock.seconds, 0.0

    def train(self, begin: Begin | None = None) -> None:
        """Trains it from its newest checkpoint, or from where ``begin`` says, and writes how it ended."""
        config = self._config
        text = self._text.of_run(config)
        self.show(Progress(0, math.nan, 0.0))

        def report(progress: Progress) -> None:
            self.folder.log(
                {"step": progress.step, "loss": _finite(progress.loss), "seconds": round(self._spent()["wall_s"], 3)}
            )
            self.show(progress)

        outcome = train_run(config, text, self.folder.checkpoints, CHECKPOINT_S, report, begin)
        self.folder.finish(
            {
                "state": outcome.status,
                "step": config.steps,
                "steps": config.steps,
                "loss": _finite(outcome.loss),
                "loss_stderr": _finite(outcome.loss_stderr),
                "loss_stderr_documents": _finite(outcome.loss_stderr_documents),
                "bits_per_byte": _finite(self._text.bits_per_byte(outcome.loss)),
                "tokens_per_epoch": text.batches.tokens_per_epoch,
                "device": jax.devices()[0].device_kind,
                **self._spent(),
                "eval_s": outcome.eval_s,
                "flops_per_s": _finite(outcome.flops_per_s),
            }
        )

    def show(self, progress: Progress) -> None:
        """Writes how far the run is, twice a second at most; ends with the process that started this worker."""
        if os.getppid() != _PARENT:
            sys.exit("the process that started this worker has gone")
        now = time.monotonic()
        if now - self._written >= STATUS_S:
            self._written = now
            self.folder.write_status(
                {
                    "state": "running",
                    "step": progress.step,
                    "steps": self._config.steps,
                    "loss": _finite(progress.loss),
                    **self._spent(),
                }
            )

    def _spent(self) -> dict[str, float]:
        """Seconds so far, in all and compiling; those before an interruption are counted."""
        return {
            "wall_s": self._wall_s + time.monotonic() - self._started,
            "compile_s": self._compile_s + self._clock.seconds - self._compiled,
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def main(folder: str, role: str, core: str | None = None) -> None:
    """Pins itself to a core, if one is named, and works."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    use_compile_cache()
    sweep = SweepFolder(Path(folder))
    runs = sweep.runs(role)
    if runs:
        Worker(sweep, _text(sweep.run(runs[0]).config())).work(role)


def _text(config: RunConfig) -> SweepText:
    text = load_text(CorpusSpec.model_validate(config.data.corpus))
    if asdict(text.fingerprint) != config.data.fingerprint:
        raise InputError(f"corpus {text.fingerprint.name}: its text has changed since the sweep was planned")
    return text


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InputError as error:
        sys.exit("\n".join(error.faults))

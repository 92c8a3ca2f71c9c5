"""Training of jobs: one run, several runs stacked into one program, or the branches of a trunk."""

import math
import time
from collections.abc import Sequence

from scaling.llama.sharding import Execution
from scaling.sweep.folder.jobs import Job
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.machine import CompileClock
from scaling.sweep.plan.configs import AnyConfig, pretraining
from scaling.sweep.plan.corpus_text import SweepText
from scaling.sweep.spec.arrangement import Arrangement
from scaling.sweep.workers.run_recorder import CHECKPOINT_S, RunRecorder, finite, stop_with_parent
from scaling.train.config import RunConfig
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, train_run
from scaling.train.placement import mesh_of_devices
from scaling.train.stacked import Share, StackedRun, train_stacked
from scaling.train.trunk import Begin, train_trunk


class JobTrainer:
    """The trainer of a sweep's jobs, which writes their metrics, statuses and parameters.

    Args:
        sweep: the folder.
        text: its corpus.
        execution: mesh, rematerialisation and microbatches.
    """

    def __init__(self, sweep: SweepFolder, text: SweepText, execution: Execution) -> None:
        self._sweep, self._text, self._execution = sweep, text, execution
        self._clock = CompileClock()

    def train(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """Trains the unfinished runs of one job, or of several stacked, to their ends."""
        runs = [pretraining(config, self._sweep.path) for config in left]
        if job.runs[0].trunk is not None:
            self._train_trunk(job, runs)
        elif len(runs) > 1:
            self._train_together(runs)
        else:
            self._run(runs[0], self._shares(1)).train(self._execution)

    def follow(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """Trains along with rank 0, which writes all but this rank's shards of checkpoints."""
        runs = [pretraining(config, self._sweep.path) for config in left]
        of_run, execution = self._text.of_run, self._execution

        def silent(_: Progress) -> None:
            stop_with_parent()

        def train(config: RunConfig, begin: Begin | None = None) -> None:
            folder = self._sweep.run(config.id).checkpoints
            train_run(config, of_run(config), folder, CHECKPOINT_S, silent, begin, execution)

        if runs[0].trunk is None:
            train(runs[0])
        else:
            checkpoints = job.folder.checkpoints
            train_trunk(runs, of_run, checkpoints, CHECKPOINT_S, lambda _, done: silent(done), train, execution)

    def _shares(self, members: int) -> tuple[Share, Share]:
        """Shares, for each of several runs, of this worker's seconds from now on: all, and compiling."""
        return Share(time.monotonic, members), Share(lambda: self._clock.seconds, members)

    def _run(self, config: RunConfig, shares: tuple[Share, Share]) -> RunRecorder:
        return RunRecorder(self._sweep.run(config.id), config, self._text, *shares)

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
        runs: dict[str, RunRecorder] = {}

        def run_of(config: RunConfig) -> RunRecorder:
            """The recorder of a branch, whose time counts from the end of the branch before."""
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


def execution_of(arrangement: Arrangement) -> Execution:
    """Execution of runs on the devices of this process.

    Raises:
        InputError: they are too few.
    """
    mesh = None if arrangement.mesh is None else mesh_of_devices(arrangement.parallelism)
    return Execution(remat=arrangement.remat, mesh=mesh, microbatches=arrangement.microbatches)

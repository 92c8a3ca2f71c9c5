"""The trainers of a sweep's jobs, of pre-training and of the stages after it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from scaling.llama.sharding import Execution
from scaling.posttrain.config import StageConfig
from scaling.sweep.folder.jobs import Job
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.plan.corpus_text import text_of
from scaling.sweep.workers.job_training import JobTrainer


@runtime_checkable
class Trainer(Protocol):
    """What a worker trains its jobs by."""

    def train(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """Trains the unfinished runs of one job, or of several stacked, to their ends."""
        ...

    def follow(self, job: Job, left: Sequence[AnyConfig]) -> None:
        """Trains along with rank 0, which writes all but this rank's shards of checkpoints."""
        ...


def trainer_for(sweep: SweepFolder, config: AnyConfig, execution: Execution) -> Trainer:
    """The trainer of a sweep's folder, whose runs are like ``config``.

    Raises:
        InputError: its data is not what it was when the sweep was planned.
    """
    if isinstance(config, StageConfig):
        from scaling.sweep.workers.stage_training import StageTrainer  # late: most sweeps never need it

        return StageTrainer(sweep, execution)
    return JobTrainer(sweep, text_of(config), execution)

"""Jobs, each trained by one worker in one go: a single run, or the branches of one trunk."""

from collections.abc import Iterable
from dataclasses import dataclass

from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.plan.shared_work import Shape, added_steps, by_trunk, shape_of


@dataclass(frozen=True)
class Job:
    """Runs that are trained together.

    Attributes:
        folder: of the run, or of the trunk: whoever holds its lock has the job.
        runs: one, or the branches of the trunk.
    """

    folder: RunFolder
    runs: tuple[AnyConfig, ...]

    @property
    def shape(self) -> Shape:
        return shape_of(self.runs[0])

    @property
    def flops(self) -> int:
        """FLOPs of training the job from the beginning."""
        each = self.runs[0].flops // self.runs[0].steps
        return each * sum(added_steps(self.runs).values())


def jobs(sweep: SweepFolder, configs: Iterable[AnyConfig]) -> list[Job]:
    """Groups runs of a sweep into jobs."""
    return [
        Job(sweep.run(runs[0].id) if runs[0].trunk is None else sweep.trunk(key), tuple(runs))
        for key, runs in by_trunk(configs).items()
    ]

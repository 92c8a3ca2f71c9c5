"""What a worker trains in one go: a run by itself, or the branches of one trunk."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from scaling.llama.config import LlamaConfig
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.train.config import RunConfig

# What is compiled for: runs of one shape and batch share their programs.
Shape: TypeAlias = tuple[LlamaConfig, int]


@dataclass(frozen=True)
class Job:
    """Runs that are trained together.

    Attributes:
        folder: of the run, or of the trunk: whoever holds its lock has the job.
        runs: one, or the branches of the trunk.
    """

    folder: RunFolder
    runs: tuple[RunConfig, ...]

    @property
    def shape(self) -> Shape:
        return shape_of(self.runs[0])

    @property
    def flops(self) -> int:
        """What training takes, from the beginning."""
        each = self.runs[0].flops // self.runs[0].steps
        return each * sum(added_steps(self.runs).values())


def shape_of(config: RunConfig) -> Shape:
    return config.model, config.batch


def jobs(sweep: SweepFolder, configs: Iterable[RunConfig]) -> list[Job]:
    """The jobs that some runs of a sweep come to."""
    return [
        Job(sweep.run(runs[0].id) if runs[0].trunk is None else sweep.trunk(key), tuple(runs))
        for key, runs in _by_trunk(configs).items()
    ]


def added_steps(configs: Sequence[RunConfig]) -> dict[str, int]:
    """The steps that each run adds, by its id, to those that shorter branches of its trunk have taken already."""
    return {config.id: steps for runs in _by_trunk(configs).values() for config, steps in _added(runs)}


def _added(branches: Sequence[RunConfig]) -> Iterator[tuple[RunConfig, int]]:
    trained = 0
    for branch in sorted(branches, key=lambda branch: branch.branch_step):
        yield branch, branch.steps - trained
        trained = branch.branch_step


def _by_trunk(configs: Iterable[RunConfig]) -> dict[str, list[RunConfig]]:
    trunks: dict[str, list[RunConfig]] = {}
    for config in configs:
        trunks.setdefault(config.trunk_id, []).append(config)
    return trunks

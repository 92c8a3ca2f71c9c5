"""Work that runs share: the steps of a trunk, and the programs compiled for one shape."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from scaling.llama.config import LlamaConfig
from scaling.sweep.plan.configs import AnyConfig

# What is compiled for: the model and the sequences of a batch.
Shape: TypeAlias = tuple[LlamaConfig, int]


def shape_of(config: AnyConfig) -> Shape:
    """Shape of a run; runs of one shape share their compiled programs."""
    return config.model, config.batch


def added_steps(configs: Sequence[AnyConfig]) -> dict[str, int]:
    """Steps by run id that each run adds to those of the shorter branches of its trunk."""
    return {config.id: steps for runs in by_trunk(configs).values() for config, steps in _added(runs)}


def _added(branches: Sequence[AnyConfig]) -> Iterator[tuple[AnyConfig, int]]:
    trained = 0
    for branch in sorted(branches, key=lambda branch: branch.branch_step):
        yield branch, branch.steps - trained
        trained = branch.branch_step


def by_trunk(configs: Iterable[AnyConfig]) -> dict[str, list[AnyConfig]]:
    """Runs grouped by the id of their trunk; a run without one is a group of its own."""
    trunks: dict[str, list[AnyConfig]] = {}
    for config in configs:
        trunks.setdefault(config.trunk_id, []).append(config)
    return trunks

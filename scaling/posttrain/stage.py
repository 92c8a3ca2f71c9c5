"""What a stage's run is given, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.config import StageConfig


@dataclass(frozen=True)
class Model:
    """A model in this process's memory.

    Attributes:
        config: its shape.
        parameters: arrays by name; a reward model also has ``score`` (width,).
    """

    config: LlamaConfig
    parameters: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class StageRun:
    """A run of a stage with the data, models, folders and callbacks that it uses.

    Attributes:
        config: the run.
        data: what the stage trains on and is measured by: an ``ExampleSet``, a ``PairSet`` or a ``PromptSet``.
        source: reads the model of a part, as ``StageConfig.sources`` names them.
        checkpoints: folder of its checkpoints; left behind for the caller to remove.
        checkpoint_s: seconds to the first checkpoint, and between later ones at least.
        report: called with every step's number and measurements in order, before a checkpoint of it is written:
            ``step``, ``loss``, and others by the name of their column.
        execution: how the steps are carried out; a run may go on in another way than it was begun.
    """

    config: StageConfig
    data: Any
    source: Callable[[str], Model]
    checkpoints: Path
    checkpoint_s: tuple[float, float]
    report: Callable[[dict[str, float]], None]
    execution: Execution = PLAIN


@dataclass(frozen=True)
class StageOutcome:
    """How a stage's run ended.

    Attributes:
        status: ``done`` or ``diverged``.
        row: its values in the table of runs, by column: ``loss``, ``loss_stderr``, ``accuracy``, ``kl``, ...
        curve: its rows in the table of rewards, by column: ``step`` or ``n``, ``kl``, ``proxy``, ``gold``, ...
        samples: some answers, for people to read: ``prompt``, ``answer``, and numbers by name.
        parameters: the last parameters by name; None if the run has diverged, or has trained none.
    """

    status: str
    row: dict[str, float]
    curve: list[dict[str, float]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    parameters: dict[str, np.ndarray] | None = field(default=None, compare=False, repr=False)

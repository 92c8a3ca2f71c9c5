"""Sweeps with mixtures: their plan, their runs, and what these come to."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.design.seeds import FEWEST_CELLS
from analysis.diagnostics.codes import Diagnostic
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.score import ChoiceScore
from analysis.result import Result
from scaling.api.running.plan_text import runs_text, totals_text
from scaling.mixture import MixturePipeline, MixturePlan, MixtureResult
from scaling.pipeline import ReportProgress
from scaling.sweep.folder.file_names import CHOICE, REPORT
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan.estimate import describe
from scaling.sweep.spec.mixtures import CHOSEN
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.tracking.trackers import tracking
from scaling.sweep.workers.worker_pool import Executor

# Of a sweep's name: yields what is called with the role that trains (fit or target) and its progress.
Progress = Callable[[str], AbstractContextManager[ReportProgress]]


@dataclass(frozen=True)
class FinishedMixture(Result):
    """A sweep with mixtures from its runs to its score, or to its choice where the targets are not trained.

    Attributes:
        result: the choice as frozen before the first step of any target, and its score.
        warnings: of the plan, the choice and the score.
    """

    result: MixtureResult
    warnings: tuple[Diagnostic, ...]

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.result.folder

    @property
    def choice(self) -> Choice:
        """The mixture that the fitted runs choose for the target."""
        return self.result.choice

    @property
    def score(self) -> ChoiceScore | None:
        """The choice against the targets' runs; None where these are not trained."""
        return self.result.score

    def __str__(self) -> str:
        if self.score is None:
            return f"{self.choice}\nnot frozen, and no target trained"
        return f"{self.choice}\n{self.score}\nreport      {self.folder / REPORT}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "choice": self.choice.to_dict(),
            "score": None if self.score is None else self.score.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """As the score's, or the choice's where there is none."""
        return self.choice.to_frame() if self.score is None else self.score.to_frame()


@dataclass(frozen=True)
class MixtureSweepPlan(Result):
    """What a sweep with mixtures would train, and what that takes.

    Attributes:
        content: every run, totals, seconds and cost, with the keys of a sweep's plan. A run also has ``mixture``, its
            share of every source, and ``mixture_name``: a name, ``design 3``, or ``chosen``. A run on the mixture that
            is not chosen yet has no ``id`` and no ``mixture``.
        warnings: in words and codes.
    """

    content: dict[str, Any]
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        runs = self.content["runs"]
        shown = [{**run, "id": run["id"] or CHOSEN} for run in runs]
        waiting = sum(run["id"] is None for run in runs)
        lines = [*runs_text(shown, ()), *totals_text(self.content)]
        if waiting:
            lines.append(f"{waiting} of the target's runs are on the mixture that the fitted runs choose")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {**self.content, "warnings": [warning.to_dict() for warning in self.warnings]}

    def to_frame(self) -> pd.DataFrame:
        """One row per run, by its id."""
        return pd.DataFrame(self.content["runs"]).set_index("id")


def plan_mixture(
    spec: SweepSpec, out: Path, workers: int | None, speed: Callable[[], MachineSpeed | None]
) -> MixtureSweepPlan:
    """Lists the runs of a sweep with mixtures with FLOPs, memory, time and cost; spends nothing.

    Args:
        spec: the sweep.
        out: its folder, whose choice is the target's if it is frozen.
        workers: processes that train at once.
        speed: gives this machine's speed, or None; called once the plan is known to be possible.

    Raises:
        InputError: as of ``MixturePlan``.
    """
    plan = MixturePlan.load(spec)
    choice = read_choice(out / CHOICE).shares if (out / CHOICE).exists() else None
    runs, chosen = plan.runs(choice), plan.on_chosen(choice)
    waiting = chosen if choice is None else []
    content = describe([*runs, *waiting], workers, speed(), FEWEST_CELLS, spec.arrangement)
    warnings = [Diagnostic(**each) for each in content.pop("warnings")]
    ids = set() if choice is None else {run.id for run in chosen}
    rows = content["runs"]
    for row, run in zip(rows, runs, strict=False):
        mixture = run.config.data.mixture or {}
        row |= {"mixture": mixture, "mixture_name": CHOSEN if run.id in ids else plan.mixtures.name_of(mixture)}
    for row in rows[len(runs) :]:
        row |= {"id": None, "mixture": None, "mixture_name": CHOSEN}
    return MixtureSweepPlan(content, tuple(dict.fromkeys((*warnings, *plan.warnings()))))


def run_mixture(
    spec: SweepSpec,
    source: str,
    folder: Path,
    workers: int | None,
    fit_only: bool,
    fork: bool,
    track: str | None,
    executor: Executor,
    progress: Progress,
) -> FinishedMixture:
    """Carries out a sweep with mixtures; arguments as of ``scaling.api.running.sweeps.run``."""
    with progress(spec.name) as show, tracking(folder, track, show) as report:
        pipeline = MixturePipeline(spec, source, folder, workers, report, fork, executor)
        result = pipeline.choose() if fit_only else pipeline.run()
    scored: Sequence[Diagnostic] = () if result.score is None else result.score.warnings
    found = (*result.choice.warnings, *scored)
    codes = {warning.code for warning in found}  # what the plan expected and the runs have confirmed is said once
    planned = [warning for warning in result.warnings if warning.code not in codes]
    return FinishedMixture(result, tuple(dict.fromkeys((*planned, *found))))

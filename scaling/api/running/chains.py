"""Chains of stages: their plan, their runs, and what these come to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.result import Result
from analysis.table_text import table_text
from scaling.api.running.sweep_results import forecast_lines
from scaling.chain import AnyForecast, AnyScore, ChainPipeline, StageResult, warnings_of
from scaling.pipeline import ReportProgress
from scaling.posttrain.config import StageConfig
from scaling.quantity import format_quantity
from scaling.sweep.folder.file_names import REPORT
from scaling.sweep.plan.configs import AnyConfig
from scaling.sweep.stages.chain_file import Chain, load_chain
from scaling.sweep.stages.expand import PlannedStageRun, expand_chain
from scaling.sweep.workers.worker_pool import Executor

# Of a chain's name: yields what is called with the stage and role that train, and their progress.
Progress = Callable[[str], AbstractContextManager[ReportProgress]]


@dataclass(frozen=True)
class FinishedChain(Result):
    """A chain from its runs to its scores.

    Attributes:
        folder: the chain's folder, with a folder of each stage.
        stages: what each stage came to, in order.
        warnings: of all forecasts and scores.
    """

    folder: Path
    stages: tuple[StageResult, ...]
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return "\n".join(line for stage in self.stages for line in _stage_text(stage))

    def to_dict(self) -> dict[str, Any]:
        stages = [
            {
                "stage": stage.name,
                "folder": str(stage.folder),
                "forecast": None if stage.forecast is None else stage.forecast.to_dict(),
                "score": None if stage.score is None else stage.score.to_dict(),
                "refused": stage.reason,
            }
            for stage in self.stages
        ]
        return {
            "folder": str(self.folder),
            "stages": stages,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a stage: its name, its folder, and whether its forecast was scored."""
        rows = [{"stage": s.name, "folder": str(s.folder), "scored": s.score is not None} for s in self.stages]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class ChainPlan(Result):
    """What a chain would train.

    Attributes:
        runs: of every stage in order: ``stage``, ``id``, ``role``, ``params``, ``flops``, ``steps``, ``seed``,
            ``learning_rate``, ``from`` (the ids of the models that it uses, by their part), ``settings``, and
            ``flops_by_part`` (generation, scoring, reference, critic and update) of stages after pre-training.
        warnings: none so far.
    """

    runs: tuple[dict[str, Any], ...]
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        columns = {
            "stage": [run["stage"] for run in self.runs],
            "run": [run["id"] for run in self.runs],
            "role": [run["role"] for run in self.runs],
            "params": [format_quantity(run["params"]) for run in self.runs],
            "what": [_what(run) for run in self.runs],
            "steps": [str(run["steps"]) for run in self.runs],
            "seed": [str(run["seed"]) for run in self.runs],
            "lr": [f"{run['learning_rate']:.3g}" for run in self.runs],
            "FLOPs": [f"{run['flops']:.2g}" for run in self.runs],
        }
        table = table_text("lllrlrrrr", list(columns), zip(*columns.values(), strict=True))
        total = sum(run["flops"] for run in self.runs)
        return f"{table}\n{len(self.runs)} runs of {len({run['stage'] for run in self.runs})} stages, {total:.3g} FLOPs"

    def to_dict(self) -> dict[str, Any]:
        return {"runs": list(self.runs), "total_flops": sum(run["flops"] for run in self.runs), "warnings": []}

    def to_frame(self) -> pd.DataFrame:
        """One row per run, by its id."""
        return pd.DataFrame(self.runs).set_index("id")


def plan_chain(chain: Chain) -> ChainPlan:
    """Lists the runs of a chain with their FLOPs; spends nothing.

    Raises:
        InputError: an impossible run, with file, line and column.
    """
    rows = []
    for name, runs in expand_chain(chain).items():
        for run in runs:
            config = run.config
            rows.append(
                {
                    "stage": name,
                    "id": run.id,
                    "role": run.role,
                    "params": config.params,
                    "flops": float(config.flops),
                    "steps": config.steps,
                    "seed": config.seed,
                    "learning_rate": config.recipe.rates.matrix,
                    **_described(config),
                    "flops_by_part": run.flops.by_part() if isinstance(run, PlannedStageRun) else {},
                }
            )
    return ChainPlan(tuple(rows))


def run_chain(
    sweep: str | Path,
    overrides: Sequence[str],
    source: str,
    out: str | Path | None,
    workers: int | None,
    only: Sequence[str],
    fork: bool,
    executor: Executor,
    progress: Progress,
) -> FinishedChain:
    """Carries out a chain; arguments as of ``scaling.api.running.sweeps.run``."""
    chain = load_chain(str(sweep), tuple(overrides))
    folder = Path("runs", chain.head.name) if out is None else Path(out)
    with progress(chain.head.name) as show:
        results = ChainPipeline(chain, source, folder, workers, show, tuple(only), fork, executor).run()
    return FinishedChain(folder, tuple(results), tuple(warnings_of(results)))


def _described(config: AnyConfig) -> dict[str, Any]:
    """The models that a run uses, and its settings."""
    if not isinstance(config, StageConfig):
        return {"from": {}, "settings": {"tokens": config.tokens}}
    pairs = {"pairs": config.data["pairs"]} if "pairs" in config.data else {}
    return {
        "from": {part: source.id for part, source in config.sources.items()},
        "settings": {**config.settings, **pairs},
    }


def _what(run: dict[str, Any]) -> str:
    """What a run differs by from others of its stage."""
    names = ("tokens", "examples", "pairs", "beta", "kl", "n")
    known = [f"{name} {format_quantity(run['settings'][name])}" for name in names if run["settings"].get(name)]
    return ", ".join(known)


def _stage_text(stage: StageResult) -> Iterator[str]:
    """Lines on what a stage came to."""
    yield f"{stage.name}"
    for line in (*_forecast_text(stage.forecast, stage.reason), *_score_text(stage.score)):
        yield f"  {line}"
    yield f"  report     {stage.folder / REPORT}"


def _forecast_text(forecast: AnyForecast | None, reason: str | None) -> list[str]:
    if reason is not None:
        return [f"no forecast: {reason}"]
    if forecast is None:
        return ["no target"]
    if isinstance(forecast, Forecast):
        return forecast_lines(forecast, f", frozen {forecast.created}")
    return str(forecast).splitlines()


def _score_text(score: AnyScore | None) -> list[str]:
    if isinstance(score, Score):
        inside = "inside" if score.covered else "OUTSIDE"
        return [f"actual     {score.actual:.4f}, error {score.error:+.2%}, {inside} the interval"]
    return [] if score is None else str(score).splitlines()

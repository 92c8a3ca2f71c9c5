"""Comparisons of contenders: their plan, their runs, and what these come to."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparing.comparison import Comparison
from analysis.comparing.score import ComparisonScore
from analysis.design.seeds import FEWEST_CELLS
from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.api.running.plan_text import runs_text, totals_text
from scaling.api.running.sweep_results import forecast_lines
from scaling.comparison import ComparisonPipeline, ComparisonResult, ContenderResult, by_contender, plan_contenders
from scaling.pipeline import ReportProgress
from scaling.quantity import format_duration
from scaling.sweep.contenders.contenders_file import Contenders
from scaling.sweep.folder.file_names import REPORT
from scaling.sweep.host.machine_speed import MachineSpeed
from scaling.sweep.plan.estimate import describe
from scaling.sweep.workers.worker_pool import Executor

# Of a comparison's name: yields what is called with the contender and role that train, and their progress.
Progress = Callable[[str], AbstractContextManager[ReportProgress]]
_SUMMED = ("total_flops", "target_flops", "saved_flops", "est_seconds", "est_usd")


@dataclass(frozen=True)
class FinishedComparison(Result):
    """A comparison from its runs to its score.

    Attributes:
        result: the contenders, the comparison as frozen before the first step of any target, and its score.
        warnings: of the plan, the comparison, the forecasts and the scores.
    """

    result: ComparisonResult
    warnings: tuple[Diagnostic, ...]

    @property
    def folder(self) -> Path:
        """The folder, with a folder of each contender."""
        return self.result.folder

    @property
    def comparison(self) -> Comparison:
        """The comparison as frozen."""
        return self.result.comparison

    @property
    def score(self) -> ComparisonScore:
        """The comparison against the targets' runs."""
        return self.result.score

    def __str__(self) -> str:
        lines = [line for each in self.result.contenders for line in _contender_text(each)]
        return "\n".join([*lines, str(self.comparison), str(self.score), f"report      {self.folder / REPORT}"])

    def to_dict(self) -> dict[str, Any]:
        contenders = [
            {
                "contender": each.name,
                "folder": str(each.folder),
                "forecast": None if each.forecast is None else each.forecast.to_dict(),
                "score": None if each.score is None else each.score.to_dict(),
                "refused": each.reason,
            }
            for each in self.result.contenders
        ]
        return {
            "folder": str(self.folder),
            "contenders": contenders,
            "comparison": self.comparison.to_dict(),
            "score": self.score.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """As the score's: one row a pair of contenders."""
        return self.score.to_frame()


@dataclass(frozen=True)
class ContendersPlan(Result):
    """What contenders would train, and what that takes.

    Attributes:
        contents: of each contender by name: every run, totals, seconds and cost, with the keys of a sweep's plan.
        warnings: in words and codes.
    """

    contents: dict[str, dict[str, Any]]
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        lines = [
            line
            for name, content in self.contents.items()
            for line in (name, *(f"  {row}" for row in (*runs_text(content["runs"], ()), *totals_text(content))))
        ]
        total = self._sums()
        runs = sum(len(content["runs"]) for content in self.contents.values())
        time = "" if total["est_seconds"] is None else f", {format_duration(total['est_seconds'])} one after another"
        lines.append(f"{runs} runs of {len(self.contents)} contenders, {total['total_flops']:.3g} FLOPs{time}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        contents = {
            name: {key: value for key, value in content.items() if key != "runs"}
            for name, content in self.contents.items()
        }
        return {
            "runs": self._runs(),
            "contenders": contents,
            **self._sums(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per run, by its id."""
        return pd.DataFrame(self._runs()).set_index("id")

    def _runs(self) -> list[dict[str, Any]]:
        return [{"contender": name, **run} for name, content in self.contents.items() for run in content["runs"]]

    def _sums(self) -> dict[str, Any]:
        """Totals over all contenders; None where one of them is unknown."""
        columns = {key: [content[key] for content in self.contents.values()] for key in _SUMMED}
        return {key: None if None in values else sum(values) for key, values in columns.items()}


def plan_comparison(
    contenders: Contenders, workers: int | None, speed: Callable[[], MachineSpeed | None]
) -> ContendersPlan:
    """Lists the runs of contenders with FLOPs, memory, time and cost; spends nothing.

    Args:
        contenders: the sweeps.
        workers: processes that train at once.
        speed: gives this machine's speed, or None; called once the plan is known to be possible.

    Raises:
        InputError: as of ``plan_contenders``.
    """
    plans, warnings = plan_contenders(contenders)
    known = speed()
    contents, found = {}, []
    for name, spec in contenders.contenders.items():
        content = describe(plans[name], workers, known, FEWEST_CELLS, spec.arrangement)
        found += [(name, Diagnostic(**each)) for each in content.pop("warnings")]
        contents[name] = content
    return ContendersPlan(contents, (*by_contender(found), *warnings))


def run_comparison(
    contenders: Contenders,
    source: str,
    out: str | Path | None,
    workers: int | None,
    fork: bool,
    executor: Executor,
    progress: Progress,
) -> FinishedComparison:
    """Carries out a comparison; arguments as of ``scaling.api.running.sweeps.run``."""
    folder = Path("runs", contenders.name) if out is None else Path(out)
    with progress(contenders.name) as show:
        result = ComparisonPipeline(contenders, source, folder, workers, show, fork, executor).run()
    return FinishedComparison(result, tuple(dict.fromkeys(_warnings(result))))


def _warnings(result: ComparisonResult) -> Iterator[Diagnostic]:
    yield from result.warnings
    yield from result.comparison.warnings
    yield from result.score.warnings
    parts = ((each.name, part) for each in result.contenders for part in (each.forecast, each.score))
    yield from by_contender([(name, warning) for name, part in parts if part is not None for warning in part.warnings])


def _contender_text(each: ContenderResult) -> Iterator[str]:
    """Lines on what a contender came to by itself."""
    yield each.name
    if each.forecast is None:
        yield f"  no forecast: {each.reason}"
    else:
        yield from (f"  {line}" for line in forecast_lines(each.forecast, f", frozen {each.forecast.created}"))
    if each.score is not None:
        inside = "inside" if each.score.covered else "OUTSIDE"
        yield f"  actual     {each.score.actual:.4f}, error {each.score.error:+.2%}, {inside} the interval"
    yield f"  report     {each.folder / REPORT}"

"""What a sweep comes to: its plan, its forecast, its score."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.result import Result
from scaling.api.running.plan_text import noise_text, prospect_text, runs_text, totals_text
from scaling.pipeline import SweepResult
from scaling.planning import Prospect
from scaling.sweep.folder.file_names import REPORT


@dataclass(frozen=True)
class SweepPlan(Result):
    """What a sweep would train, and what that takes.

    Attributes:
        content: every run, totals, seconds and cost: the keys of the JSON object.
        worth: what the forecast would be worth; None without a target.
        varied: what a grid varies; None without a grid.
        noise: the table that the noise was to be learnt from, or None.
        warnings: in words and codes.
    """

    content: dict[str, Any]
    worth: Prospect | None
    varied: Sequence[str] | None
    noise: str | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        lines = [*runs_text(self.content["runs"], self.varied or ()), *totals_text(self.content)]
        if self.worth is not None:
            lines += [*prospect_text(self.worth), *noise_text(self.worth.seeds, self.noise)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        worth = {"expected": None, "noise": None, "seeds": None} if self.worth is None else self.worth.to_dict()
        return {**self.content, "warnings": [warning.to_dict() for warning in self.warnings], **worth}

    def to_frame(self) -> pd.DataFrame:
        """One row per run, by its id."""
        return pd.DataFrame(self.content["runs"]).set_index("id")


@dataclass(frozen=True)
class FinishedSweep(Result):
    """A sweep from its runs to its score.

    Attributes:
        result: the folder, the forecast as frozen before the target's first step, and its score.
        warnings: of the plan, the forecast and the score.
    """

    result: SweepResult
    warnings: tuple[Diagnostic, ...]

    @property
    def folder(self) -> Path:
        """The sweep's folder."""
        return self.result.folder

    @property
    def forecast(self) -> Forecast:
        """The forecast as frozen."""
        return self.result.forecast

    @property
    def score(self) -> Score:
        """The forecast against the target's runs."""
        return self.result.score

    def __str__(self) -> str:
        return sweep_text(self.result)

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "forecast": self.forecast.to_dict(),
            "score": self.score.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """As the score's: one row per run at the target."""
        return self.score.to_frame()


@dataclass(frozen=True)
class ForecastSweep(Result):
    """A sweep whose fitted runs are trained; its forecast is not frozen.

    Attributes:
        folder: the sweep's folder.
        forecast: of the target, which is not trained.
        warnings: of the plan and the forecast.
    """

    folder: Path
    forecast: Forecast
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return "\n".join(forecast_lines(self.forecast))

    def to_dict(self) -> dict[str, Any]:
        warnings = [warning.to_dict() for warning in self.warnings]
        return {"folder": str(self.folder), "forecast": self.forecast.to_dict(), "warnings": warnings}

    def to_frame(self) -> pd.DataFrame:
        """As the forecast's: one row."""
        return self.forecast.to_frame()


@dataclass(frozen=True)
class TrainedSweep(Result):
    """A sweep that was trained and forecasts nothing here: one with a grid, or another process's share.

    Attributes:
        folder: the sweep's folder.
        runs: trained runs of a grid; None of another process's share.
        process: the process that trained along; None for a grid.
        warnings: of the plan.
    """

    folder: Path
    runs: int | None
    process: int | None
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        if self.process is not None:
            return f"process {self.process} has trained along; process 0 reports the results in {self.folder}"
        return f"{self.runs} runs trained in {self.folder}; now: scaling recipe fit {self.folder}"

    def to_dict(self) -> dict[str, Any]:
        share = {"runs": self.runs} if self.process is None else {"process": self.process}
        return {"folder": str(self.folder), **share, "warnings": [warning.to_dict() for warning in self.warnings]}

    def to_frame(self) -> pd.DataFrame:
        """One row: the folder, and how many runs it has."""
        return pd.DataFrame([{"folder": str(self.folder), "runs": self.runs, "process": self.process}])


def sweep_text(result: SweepResult) -> str:
    forecast, score = result.forecast, result.score
    seeds = ", ".join(f"seed {run.seed}: {run.loss:.4f}" for run in score.actuals)
    noise = ", ".join(f"{b['flops']:.1e} FLOPs: {b['std']:.2%}" for b in forecast.noise["by_budget"])
    lines = [
        *forecast_lines(forecast, f", frozen {forecast.created}"),
        f"actual     {score.actual:.4f} ({'mean of ' * (len(score.actuals) > 1)}{seeds})",
        f"error      {score.error:+.2%}, {'inside' if score.covered else 'OUTSIDE'} the interval",
        *(f"naive      {b.predicted:.4f}, error {b.error:+.2%} ({name})" for name, b in score.baselines.items()),
        f"seed noise {noise or 'unknown: no run has a replicate'}",
        f"report     {result.folder / REPORT}",
    ]
    return "\n".join(lines)


def forecast_lines(forecast: Forecast, frozen: str = "; not frozen, and the target not trained") -> list[str]:
    low, high = forecast.interval
    return [
        f"{forecast.n_runs} runs fitted; the target is {forecast.extrapolation:.3g}x the FLOPs of the largest",
        f"forecast   {forecast.loss:.4f} {forecast.unit}, {100 * forecast.level:.4g}% interval [{low:.4f}, {high:.4f}] "
        f"(+-{(high - low) / 2 / forecast.loss:.1%}){frozen}",
    ]

"""Recipes: the laws of the best learning rate and batch, and the check of a sweep's recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.tuning.rate_laws import Tuning, fit_tuning
from analysis.tuning.recipe_check import RecipeCheck
from analysis.tuning.text import check_text
from scaling.api.running.sweeps import Progress, silent, source_of
from scaling.api.tables import Runs, read_runs
from scaling.pipeline import SweepPipeline
from scaling.sweep.spec.sweep_file import load_sweep


def fit_recipe(runs: Runs, *, where: str | None = None, columns: Mapping[str, str] | None = None) -> Tuning:
    """Fits laws of the best learning rate and batch to the runs of a grid.

    Args:
        runs, where, columns: as for :func:`read_runs`; with ``lr``, ``batch_tokens`` or both, at three values or more
            for each of several sizes and lengths.

    Raises:
        InputError: for a table that holds no grid.
    """
    return fit_tuning(read_runs(runs, where=where, columns=columns))


@dataclass(frozen=True)
class CheckedSweep(Result):
    """The check of a sweep's recipe.

    Attributes:
        verdict: by its runs.
        share: the check's FLOPs as a share of the sweep's.
        folder: where its runs are.
        warnings: of the verdict and of the plan.
    """

    verdict: RecipeCheck
    share: float
    folder: Path
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return check_text(self.verdict, self.share)

    def to_dict(self) -> dict[str, Any]:
        warnings = [warning.to_dict() for warning in self.warnings]
        return {**self.verdict.to_dict(), "share": self.share, "folder": str(self.folder), "warnings": warnings}

    def to_frame(self) -> pd.DataFrame:
        """One row per size that was checked."""
        return self.verdict.to_frame()


def check_recipe(
    sweep: str | Path,
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> CheckedSweep:
    """Trains a few runs around a sweep's recipe and judges it by them, before the sweep itself is run.

    Args:
        sweep, overrides, workers, progress: as for :func:`run`.
        out: the folder of the check's runs; by default ``runs/<sweep name>-check``.

    Raises:
        InputError: as :func:`run` does.
    """
    spec = load_sweep(str(sweep), tuple(overrides))
    folder = Path("runs", f"{spec.name}-check") if out is None else Path(out)
    with progress(spec.name) as report:
        pipeline = SweepPipeline(spec, source_of(sweep, overrides), folder, workers, report)
        verdict, share, warnings = pipeline.check_recipe()
    return CheckedSweep(verdict, share, folder, (*verdict.warnings, *warnings))

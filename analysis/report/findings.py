"""Findings: what the figures and the report show of a table of runs and the files beside it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.allocation.envelope import Envelope, envelope
from analysis.allocation.isoflop import IsoFlop, isoflop
from analysis.diagnostics.codes import Diagnostic
from analysis.diagnostics.collapse import Collapse, collapse
from analysis.errors import InputError
from analysis.files import readable
from analysis.forecasting.backtest import Backtest, backtest
from analysis.forecasting.ensemble import AUTO
from analysis.forecasting.forecast import Forecast, read_forecast
from analysis.forecasting.score import Score, read_score, refuse_other_table, score
from analysis.runs.table import RunTable, read_table
from analysis.tuning.recipe_check import RecipeCheck, check_recipe

FORECAST, SCORE, CURVES, RUNS = "forecast.json", "score.json", "curves.parquet", "runs.parquet"
# What `scaling recipe check` calls the folder of its runs, after the sweep's.
CHECK = "-check"
_QUICK = "chinchilla"
_SAME_RATE = 0.01
_RESAMPLES = 100  # of each fit of the backtest: its intervals are drawn, not printed


@dataclass(frozen=True, eq=False)
class Findings:
    """A table of runs with its forecast, score and curves; whatever is derived of them is derived once, on first use.

    Attributes:
        table: the runs.
        forecast: the forecast frozen from them, or None.
        score: the score of the forecast, or None.
        curves: rows of ``run_id tokens loss`` logged in training, or None.
        check: the table of ``scaling recipe check``, or None.
    """

    table: RunTable
    forecast: Forecast | None = None
    score: Score | None = None
    curves: pd.DataFrame | None = None
    check: RunTable | None = None

    @cached_property
    def parabolas(self) -> IsoFlop:
        """The isoFLOP parabolas (approach 2)."""
        return isoflop(self.table.arrays)

    @cached_property
    def lowest(self) -> Envelope:
        """The envelope of the runs (approach 1)."""
        return envelope(self.table.arrays)

    @cached_property
    def made_elsewhere(self) -> bool:
        """Whether the forecast was made from other rows than the fitted ones here."""
        return self.forecast is not None and (
            self.table.unfit is not None or self.table.hash() != self.forecast.table_hash
        )

    @property
    def law(self) -> str:
        """The law that the backtest tests: the forecast's own; without a forecast, one that is fitted quickly."""
        if self.forecast is None:
            return _QUICK
        return AUTO if len(self.forecast.weights) > 1 else self.forecast.law

    @cached_property
    def backtest(self) -> Backtest:
        """The backtest of ``law``.

        Raises:
            InputError: for a table too small to split.
        """
        return backtest(self.table, (self.law,), bootstrap=_RESAMPLES)

    @cached_property
    def collapse(self) -> Collapse | str:
        """The collapsed loss curves, or why they cannot be compared."""
        if self.curves is None:
            return "no loss curves were read with the table"
        try:
            with np.errstate(invalid="ignore", divide="ignore"):  # of a common curve that there is not
                return collapse(self.table, self.curves)
        except InputError as error:
            return "; ".join(error.errors)

    @cached_property
    def recipe(self) -> RecipeCheck | None:
        """The verdict of the recipe's check; None without a check, or where it checked another recipe."""
        if self.check is None or "lr" not in self.check.frame or "lr" not in self.table.frame:
            return None
        cells = self.table.fit.groupby(["params", "tokens"])["lr"].agg(["min", "max"])
        usual = cells["min"][cells["min"] == cells["max"]].rename("usual_lr")
        tuned = self.check.frame
        filled: dict[str, Any] = {"status": "done", "seed": 0.0, "flops": 6 * tuned["params"] * tuned["tokens"]}
        tuned = tuned.assign(**{name: value for name, value in filled.items() if name not in tuned})
        rows = tuned.join(usual, on=["params", "tokens"], how="inner")
        tried = (rows["lr"] / rows["usual_lr"] - 1).abs() < _SAME_RATE
        if not tried.groupby([rows["params"], rows["tokens"]]).any().all():
            return None
        try:
            return check_recipe(rows, None if self.forecast is None else self.forecast.flops)
        except InputError:
            return None


def read_findings(place: Path, table: RunTable | None = None, forecast: Forecast | Path | None = None) -> Findings:
    """Reads a table of runs and the files beside it.

    Args:
        place: a sweep's folder, or a table's file, beside which nothing is looked for.
        table: the runs, if they are read already; by default those that the forecast was made from.
        forecast: a forecast, or the file that it is frozen in, scored where its target's runs are in the table; by
            default the folder's, if it has one, with the folder's score.

    Raises:
        InputError: if a file is not what its name says, or the given forecast was made from other runs.
    """
    folder = place if place.is_dir() else None
    given = forecast is not None
    frozen = forecast or _there(folder, FORECAST)
    made = read_forecast(frozen) if isinstance(frozen, Path) else frozen
    if table is None:
        table = read_table(place) if made is None else read_table(place, made.columns, made.where, best=made.best)
    if made is not None:
        table = table.with_target(made.params, made.tokens)
    if isinstance(forecast, Path) and made is not None and table.hash() != made.table_hash:
        raise InputError(f"{table.source}: not the table that the forecast {forecast} was made from")
    if isinstance(forecast, Forecast):
        refuse_other_table(table, forecast)
    scored, curves = _there(folder, SCORE), _there(folder, CURVES)
    beside = None if folder is None else folder.resolve().with_name(folder.resolve().name + CHECK)
    checked = _there(beside, RUNS)
    return Findings(
        table,
        made,
        None if made is None else _score_of(made, table, scored, given),
        _read_curves(curves) if curves is not None else None,
        read_table(checked) if checked is not None else None,
    )


def _score_of(made: Forecast, table: RunTable, path: Path | None, given: bool) -> Score | None:
    """The score of a forecast: that in a file if it is this forecast's; that of a given forecast from its table."""
    kept = None if path is None else read_score(path)
    if kept is not None and kept.forecast_sha256 == made.sha256:
        return kept
    if given and table.near(table.targets, made.params, made.tokens).any():
        return score(made, table)
    return None


def off_curve(place: Path, table: RunTable) -> tuple[Diagnostic, ...]:
    """Warnings of the runs that leave the common loss curve; none where no curves lie beside the table.

    Raises:
        InputError: the table of curves cannot be read.
    """
    curves = _there(place if place.is_dir() else None, CURVES)
    found = Findings(table, curves=None if curves is None else _read_curves(curves)).collapse
    return () if isinstance(found, str) else found.warnings


def _there(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).exists() else None


def _read_curves(path: Path) -> pd.DataFrame:
    with readable(path, "table of curves"):
        return pd.read_parquet(path, columns=["run_id", "tokens", "loss"])

"""The score of a frozen forecast: its error against the runs made after it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable, save_text
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.text import score_text
from analysis.formatting import listed
from analysis.result import Result
from analysis.runs.schema import NATS
from analysis.runs.table import RunTable, diverged_runs


@dataclass(frozen=True)
class Actual:
    """A finished run at the target; loss in nats per token, seed None where the table has none."""

    run_id: str
    seed: int | None
    loss: float


@dataclass(frozen=True)
class Baseline:
    """A naive forecast of the same target, for comparison; error = predicted / actual - 1."""

    predicted: float
    error: float


@dataclass(frozen=True)
class Score(Result):
    """The score of a forecast against the actual runs.

    Attributes:
        predicted: forecast loss, in ``unit``.
        actual: mean loss of the target's runs.
        error: predicted / actual - 1.
        interval: as forecast.
        level: of the interval.
        covered: whether the interval holds the actual.
        extrapolation: target FLOPs / largest fitted FLOPs.
        forecast_sha256: of the frozen file.
        actuals: each run at the target.
        seed_std: standard deviation of the actual log losses; None for one run.
        baselines: the naive forecasts.
        warnings: in words and codes.
        unit: of the losses.
    """

    predicted: float
    actual: float
    error: float
    interval: tuple[float, float]
    level: float
    covered: bool
    extrapolation: float
    forecast_sha256: str
    actuals: tuple[Actual, ...]
    seed_std: float | None
    baselines: Mapping[str, Baseline]
    warnings: tuple[Diagnostic, ...]
    unit: str = NATS

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling score``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def __str__(self) -> str:
        return score_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row per run at the target: its loss, the forecast's, and predicted / actual - 1."""
        return pd.DataFrame(
            {
                "run_id": run.run_id,
                "seed": run.seed,
                "actual": run.loss,
                "predicted": self.predicted,
                "error": self.predicted / run.loss - 1,
            }
            for run in self.actuals
        )

    def write(self, path: str | Path) -> None:
        """Writes ``score.json`` atomically."""
        save_text(Path(path), json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def refuse_other_table(table: RunTable, forecast: Forecast) -> None:
    """Refuses a table that a forecast was not made from.

    Raises:
        InputError: if its fitted rows hash to another value than the forecast's.
    """
    if table.hash() != forecast.table_hash:
        raise InputError(
            f"{table.source}: not the table that the forecast was made from: its fitted rows hash to "
            f"{table.hash()[:12]}, the forecast's to {forecast.table_hash[:12]}"
        )


def score(forecast: Forecast, table: RunTable) -> Score:
    """Compares a forecast with the finished runs at its target.

    In a table with roles the actual runs are those with role ``target``; in one without, those at the
    target's parameters and tokens (within 1 %), and the forecast must have been made from the other rows.

    Raises:
        InputError: if the forecast was made from another table, or its target has not been run.
    """
    table = table.with_target(forecast.params, forecast.tokens)
    refuse_other_table(table, forecast)
    rows = table.targets
    near = table.near(rows, forecast.params, forecast.tokens)
    if not near.any():
        raise InputError(
            f"{table.source}: no finished run at the forecast's {forecast.params:.4g} parameters and "
            f"{forecast.tokens:.4g} tokens"
        )
    rows = rows[near]
    losses = rows["loss"].to_numpy()
    actual = float(losses.mean())
    low, high = forecast.interval
    return Score(
        predicted=forecast.loss,
        actual=actual,
        error=forecast.loss / actual - 1,
        interval=forecast.interval,
        level=forecast.level,
        covered=low <= actual <= high,
        extrapolation=forecast.extrapolation,
        forecast_sha256=forecast.sha256,
        actuals=tuple(
            Actual(str(row["run_id"]), _seed(row.get("seed")), float(row["loss"])) for _, row in rows.iterrows()
        ),
        seed_std=float(np.std(np.log(losses), ddof=1)) if len(losses) > 1 else None,
        baselines={name: Baseline(loss, loss / actual - 1) for name, loss in forecast.baselines.items()},
        warnings=tuple(_warnings(table)),
        unit=forecast.unit,
    )


def read_score(path: str | Path) -> Score:
    """Reads a ``score.json``.

    Raises:
        InputError: if it is none.
    """
    with readable(path, "score"):
        content = json.loads(Path(path).read_text())
        content["interval"] = tuple(content["interval"])
        content["actuals"] = tuple(Actual(**run) for run in content["actuals"])
        content["baselines"] = {name: Baseline(**each) for name, each in content["baselines"].items()}
        content["warnings"] = tuple(Diagnostic(**warning) for warning in content["warnings"])
        return Score(**content)


def _seed(value: object) -> int | None:
    return int(value) if isinstance(value, float) and np.isfinite(value) else None


def _warnings(table: RunTable) -> list[Diagnostic]:
    frame = table.frame
    if "role" not in frame:
        return []
    lost = diverged_runs(frame, (frame["role"] == "target").to_numpy(bool))
    message = f"{len(lost)} target runs that diverged or have no finite loss are not scored: {listed(lost)}"
    return [Diagnostic("diverged-rows", message)] if lost else []

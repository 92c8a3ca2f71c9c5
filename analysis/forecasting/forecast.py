"""A forecast: made from small runs, frozen before the large one starts, and scored by it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis import __version__
from analysis.diagnostics import fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable
from analysis.forecasting.baselines import baselines
from analysis.forecasting.ensemble import AUTO, Ensemble, ensemble
from analysis.forecasting.pooling import interquartile_mean
from analysis.forecasting.request import ForecastRequest
from analysis.forecasting.text import forecast_text
from analysis.frozen import digest, freeze_once
from analysis.laws import LAWS, Inputs
from analysis.result import Result
from analysis.runs.arrays import inputs_at, usual_flops
from analysis.runs.seed_noise import seed_noise
from analysis.runs.stages import STAGE, fine_tuning_stage, unit_of
from analysis.runs.table import RunTable


@dataclass(frozen=True)
class Forecast(Result):
    """A forecast of a run's loss, with everything needed to score it later.

    Attributes:
        law: the law, or the one with the largest weight.
        loss: forecast of the mean loss of the target's runs, in ``unit``.
        interval: of the mean of ``target_seeds`` runs, in ``unit``.
        level: the probability that the interval holds it.
        extrapolation: target FLOPs / largest fitted FLOPs.
        weights: of each law, together 1.
        warnings: in words and codes.
        params: of the target, counted as in the table.
        tokens: of the target.
        flops: of the target, counted as in the table.
        target_seeds: runs whose mean is forecast.
        fits: each law's fit, as ``scaling fit`` prints it, with its members under ``foci``.
        baselines: naive forecasts of the same loss.
        noise: seed standard deviation of the log loss: of one run, and by budget where there are replicates.
        calibration: what set the interval's width: ``splits`` (rolling-origin folds), over up to ``tested`` times the
            FLOPs fitted; ``scale`` and ``form`` of ``analysis.forecasting.calibration``.
        n_runs: runs fitted.
        source: the table's file.
        where: the filter that chose the fitted rows, or None.
        best: whether only the best run of each size and length was fitted.
        columns: the user's mapping of columns, or None.
        convention: how parameters and FLOPs are counted.
        table_hash: of the fitted rows.
        version: of this package.
        created: UTC, ISO 8601.
        stage: after pre-training that the runs are of, or None; a file without one was frozen for pre-training.
    """

    law: str
    loss: float
    interval: tuple[float, float]
    level: float
    extrapolation: float
    weights: Mapping[str, float]
    warnings: tuple[Diagnostic, ...]
    params: float
    tokens: float
    flops: float
    target_seeds: int
    fits: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, float]
    noise: Mapping[str, Any]
    calibration: Mapping[str, float]
    n_runs: int
    source: str
    where: str | None
    best: bool
    columns: Mapping[str, str] | None
    convention: str
    table_hash: str
    version: str
    created: str
    stage: str | None = None

    def curve(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """Losses, nats per token, of the forecast's laws at any points, pooled by their weights."""
        values, weights = [], []
        for name, fit in self.fits.items():
            for member in fit.get("foci", [{"weight": self.weights[name], "params": fit["params"]}]):
                values.append(np.log(LAWS[name].predict(member["params"], inputs)))
                weights.append(member["weight"])
        return np.exp(interquartile_mean(np.stack(values), np.array(weights)))

    @property
    def unit(self) -> str:
        """The unit of the loss, as of the table's."""
        return unit_of(self.stage, self.columns)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling predict``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        if self.stage is None:
            del plain[STAGE]
        return plain

    def __str__(self) -> str:
        return forecast_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row: the target, its loss and interval."""
        return pd.DataFrame(
            {
                "params": [self.params],
                "tokens": [self.tokens],
                "flops": [self.flops],
                "loss": [self.loss],
                "low": [self.interval[0]],
                "high": [self.interval[1]],
                "level": [self.level],
                "extrapolation": [self.extrapolation],
                "law": [self.law],
            }
        )

    def to_json(self) -> str:
        """Text of a frozen forecast, with a digest over its other keys."""
        content = self.to_dict()
        return json.dumps({**content, "digest": digest(content)}, indent=2, allow_nan=False) + "\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of the frozen file."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def freeze(self, path: str | Path) -> "Forecast":
        """Writes the forecast once and for all, atomically.

        Returns:
            The frozen forecast: the one already in the file if it differs by its time alone.

        Raises:
            InputError: if the file holds another forecast.
        """
        path = Path(path)
        if freeze_once(path, self.to_json()):
            return self
        frozen = read_forecast(path)
        if {**frozen.to_dict(), "created": ""} != {**self.to_dict(), "created": ""}:
            raise InputError(f"{path}: holds another frozen forecast; choose another file, or remove it first")
        return frozen


def read_forecast(path: str | Path) -> Forecast:
    """Reads a frozen forecast and verifies its digest.

    Raises:
        InputError: if it is none, or was changed after it was frozen.
    """
    path = Path(path)
    with readable(path, "forecast"):
        content = json.loads(path.read_text())
    names = {f.name for f in fields(Forecast)} | {"digest"}
    if not isinstance(content, dict) or set(content) | {STAGE} != names:
        raise InputError(f"{path}: not a forecast written by predict --freeze")
    if content.pop("digest") != digest(content):
        raise InputError(f"{path}: was changed after it was frozen: its digest does not match")
    content["interval"] = tuple(content["interval"])
    content["warnings"] = tuple(Diagnostic(**warning) for warning in content["warnings"])
    return Forecast(**content)


def forecast(
    table: RunTable,
    params: float,
    tokens: float,
    flops: float | None = None,
    law: str = AUTO,
    level: float = 0.9,
    bootstrap: int = 1000,
    target_seeds: int = 1,
    vocab: int | None = None,
) -> Forecast:
    """Forecasts the mean loss of runs that have not been trained.

    Args:
        table: the runs to learn from.
        params: of the target; this and the rest as in :class:`ForecastRequest`.
        tokens: of the target.
        flops: of the target.
        law: a name in ``LAWS``, or ``auto``.
        level: of the interval.
        bootstrap: resamples of whole trunks.
        target_seeds: how many runs will be averaged at the target.
        vocab: the target's vocabulary, where it is known.

    Raises:
        InputError: for impossible values, an unknown law, too few runs, or a target absurdly far away.
    """
    request = ForecastRequest(params, tokens, flops, law, level, bootstrap, target_seeds, vocab)
    flops = usual_flops(table.arrays.inputs, params, tokens) if request.flops is None else request.flops
    if (refusal := fit_checks.out_of_reach(table.arrays.inputs, float(np.log(flops)))) is not None:
        raise InputError(f"{table.source}: {refusal}")
    return _forecast(table, request, float(flops), ensemble(table, law, bootstrap))


def _forecast(table: RunTable, request: ForecastRequest, flops: float, fitted: Ensemble) -> Forecast:
    """The ensemble's forecast of a target of some FLOPs, with the table's warnings about it."""
    target = inputs_at(request.params, request.tokens, flops)
    runs, calibration = table.arrays, fitted.calibration
    loss, low, high = (float(value[0]) for value in fitted.predict(target, request.level, request.target_seeds))
    noise = seed_noise(runs)
    return Forecast(
        law=fitted.leader.law,
        loss=loss,
        interval=(low, high),
        level=request.level,
        extrapolation=float(np.exp(target.c[0] - runs.inputs.c.max())),
        weights=fitted.weights,
        warnings=(
            *fitted.warnings,
            *fit_checks.check_target(runs, target, fitted.tested),
            *(fit_checks.check_vocabulary(table.fit, request.vocab) if request.vocab is not None else ()),
        ),
        params=float(request.params),
        tokens=float(request.tokens),
        flops=flops,
        target_seeds=request.target_seeds,
        fits=fitted.to_dict(),
        baselines=baselines(runs, flops),
        noise={
            "run": calibration.noise,
            "replicates": noise.freedom,
            "by_budget": [asdict(budget) for budget in noise.by_budget],
        },
        calibration={
            "splits": fitted.folds,
            "tested": float(np.exp(fitted.tested)),
            "scale": calibration.scale,
            "form": calibration.form,
        },
        n_runs=len(runs),
        source=table.source,
        where=table.where,
        best=table.best_only,
        columns=dict(table.columns) if table.columns else None,
        convention=table.convention,
        table_hash=table.hash(),
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        stage=fine_tuning_stage(table.fit),
    )


def refuse_known(table: RunTable, params: float, tokens: float) -> None:
    """Raises InputError where a forecast's target is among the runs it is made from.

    Raises:
        InputError: naming the first of them.
    """
    near = RunTable.near(table.fit, params, tokens)
    if near.any():
        raise InputError(
            f"{table.source}:{table.fit.index[near][0]}: the target's size and length are among the fitted runs' "
            f"({near.sum()} of them); leave them out with `where` before you freeze"
        )

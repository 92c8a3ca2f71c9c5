"""The forecast of a proxy's reward curve, and the file that it is frozen in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable
from analysis.frozen import digest, freeze_once
from analysis.result import Result
from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.forecasting.text import reward_forecast_text


@dataclass(frozen=True)
class Curve:
    """One way's forecast: gains at the forecast's points, and the peak up to the last of them.

    Attributes:
        gain: at each point.
        peak_gain: the highest up to the last point.
        peak_at: the n or KL where it lies.
        backtest_error: root mean square error on held-out proxies; None where no fold tested it.
        weight: in the forecast; 0 of the naive ones, unless the law was refused.
    """

    gain: tuple[float, ...]
    peak_gain: float
    peak_at: float
    backtest_error: float | None
    weight: float


@dataclass(frozen=True)
class RewardForecast(Result):
    """A forecast of the reward that a policy gains by a proxy, as it moves from the policy it began at.

    Gains are in units of the table's reward, over the start's. A forecast that is ``refused`` is that of the naive way
    that missed least on fitted proxies of more pairs, or of the best fitted run where nothing could be tested.

    Attributes:
        law: its name.
        reward: the column that is forecast: ``gold``, or ``proxy`` where nobody measured it.
        axis: ``n`` of best-of-n, or ``kl`` in nats of a trained policy.
        points: the n, or KL, at which the gain is forecast.
        gain: there.
        low: lower end of the interval of one run's gain; empty where nothing could be tested, as for ``high``.
        high: upper end.
        peak_gain: the highest gain up to the last point.
        peak_interval: of it, or None.
        peak_at: n, or KL, where it lies.
        peak_at_interval: of that, or None.
        level: the probability that each interval holds what it is of.
        ways: every way's own forecast, by name, with its backtest error and weight; the naive ones too.
        refused: why the law's forecast is not given, or None.
        backtest_error: root mean square error of the law's forms, weighted, on held-out proxies; None without folds.
        naive_error: the same of the naive way that missed least.
        extrapolation: target pairs / most pairs fitted.
        pairs: of the target.
        reward_params: of the target; None where the table has no sizes.
        loss: of the target's proxy, as forecast; None where the table has no losses.
        n_runs: runs fitted.
        warnings: in words and codes.
        source: the table's file.
        where: the filter that chose the fitted rows, or None.
        columns: the user's mapping of columns, or None.
        table_hash: of the fitted rows.
        version: of this package.
        created: UTC, ISO 8601.
    """

    law: str
    reward: str
    axis: str
    points: tuple[float, ...]
    gain: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    peak_gain: float
    peak_interval: tuple[float, float] | None
    peak_at: float
    peak_at_interval: tuple[float, float] | None
    level: float
    ways: Mapping[str, Curve]
    refused: str | None
    backtest_error: float | None
    naive_error: float | None
    extrapolation: float
    pairs: float
    reward_params: float | None
    loss: float | None
    n_runs: int
    warnings: tuple[Diagnostic, ...]
    source: str
    where: str | None
    columns: Mapping[str, str] | None
    table_hash: str
    version: str
    created: str

    def accepted(self) -> "RewardForecast":
        """The forecast itself.

        Raises:
            InputError: if the law's forecast is refused.
        """
        if self.refused is not None:
            raise InputError(f"{self.source}: the forecast is refused: {self.refused}")
        return self

    def gain_at(self, at: float) -> float:
        """Gain at an n, or a KL, up to the last point: linear in sqrt(KL) between the points."""
        x = self._d(np.array(self.points))
        return float(np.interp(self._d(np.array([float(at)]))[0], np.append(0.0, x), np.append(0.0, self.gain)))

    def _d(self, at: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        return np.sqrt(kl_bound(at) if self.axis == "n" else at)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling predict`` for a table of rewards."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def __str__(self) -> str:
        return reward_forecast_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a point: ``n`` or ``kl``, ``gain``, ``low``, ``high``."""
        ends = {"low": self.low, "high": self.high} if self.low else {}
        return pd.DataFrame({self.axis: self.points, "gain": self.gain, **ends})

    def to_json(self) -> str:
        """Text of a frozen forecast, with a digest over its other keys."""
        content = self.to_dict()
        return json.dumps({**content, "digest": digest(content)}, indent=2, allow_nan=False) + "\n"

    def freeze(self, path: str | Path) -> "RewardForecast":
        """Writes the forecast once and for all, atomically.

        Returns:
            The frozen forecast: the one already in the file if it differs by its time alone.

        Raises:
            InputError: if the file holds another forecast.
        """
        path = Path(path)
        if freeze_once(path, self.to_json()):
            return self
        frozen = read_reward_forecast(path)
        if {**frozen.to_dict(), "created": ""} != {**self.to_dict(), "created": ""}:
            raise InputError(f"{path}: holds another frozen forecast; choose another file, or remove it first")
        return frozen


def read_reward_forecast(path: str | Path) -> RewardForecast:
    """Reads a frozen forecast of rewards and verifies its digest.

    Raises:
        InputError: if it is none, or was changed after it was frozen.
    """
    path = Path(path)
    with readable(path, "forecast of rewards"):
        content = json.loads(path.read_text())
    if not isinstance(content, dict) or set(content) != {field.name for field in fields(RewardForecast)} | {"digest"}:
        raise InputError(f"{path}: not a forecast of rewards written by predict --freeze")
    if content.pop("digest") != digest(content):
        raise InputError(f"{path}: was changed after it was frozen: its digest does not match")
    for name in ("points", "gain", "low", "high"):
        content[name] = tuple(content[name])
    for name in ("peak_interval", "peak_at_interval"):
        content[name] = None if content[name] is None else tuple(content[name])
    content["ways"] = {name: Curve(**{**way, "gain": tuple(way["gain"])}) for name, way in content["ways"].items()}
    content["warnings"] = tuple(Diagnostic(**warning) for warning in content["warnings"])
    return RewardForecast(**content)

"""The score of a frozen forecast of rewards: its errors against the target's own curve."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import save_text
from analysis.result import Result
from analysis.rewards.curves import ALIKE, RewardCurve, RewardTable
from analysis.rewards.forecasting.forecast import Curve, RewardForecast
from analysis.rewards.forecasting.text import reward_score_text
from analysis.rewards.laws import REWARD_LAWS


@dataclass(frozen=True)
class ScoredWay:
    """One way's errors; in units of the reward.

    Attributes:
        peak_gain: as forecast.
        peak_error: forecast less actual.
        rms: root mean square error over the points.
        regret: actual gain at the actual peak less the actual gain where the way has its peak.
    """

    peak_gain: float
    peak_error: float
    rms: float
    regret: float


@dataclass(frozen=True)
class RewardScore(Result):
    """The score of a forecast of rewards against the target's curve, the mean over its runs.

    Attributes:
        law: its name.
        reward: the column: ``gold`` or ``proxy``.
        axis: ``n`` or ``kl``.
        peak_gain: as forecast.
        actual_peak: the highest measured gain, up to the forecast's last point.
        peak_error: forecast less actual.
        peak_covered: whether the interval holds it; None without one, as for the next.
        peak_at: n or KL of the peak, as forecast.
        actual_at: where the measured one lies.
        at_covered: whether the interval holds that.
        regret: actual gain at the actual peak less the actual gain at the forecast one.
        rms: root mean square error over the forecast's points that were measured.
        inside: share of these points whose interval holds the actual gain; None without intervals.
        n_points: how many there are.
        n_runs: runs of the target.
        level: of the intervals.
        refused: why the law's forecast was refused, or None; what is scored is then the naive one.
        ways: every way's own errors, by name.
        warnings: in words and codes.
    """

    law: str
    reward: str
    axis: str
    peak_gain: float
    actual_peak: float
    peak_error: float
    peak_covered: bool | None
    peak_at: float
    actual_at: float
    at_covered: bool | None
    regret: float
    rms: float
    inside: float | None
    n_points: int
    n_runs: int
    level: float
    refused: str | None
    ways: Mapping[str, ScoredWay]
    warnings: tuple[Diagnostic, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling score`` for a forecast of rewards."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def __str__(self) -> str:
        return reward_score_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a way."""
        return pd.DataFrame({name: asdict(way) for name, way in self.ways.items()}).T.rename_axis("way")

    def write(self, path: str | Path) -> None:
        """Writes the score as JSON, atomically."""
        save_text(Path(path), json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


@dataclass(frozen=True)
class _Actual:
    """The mean of the target's curves: gains at points that all of them reach, NaN beyond."""

    curves: tuple[RewardCurve, ...]
    most: float

    def at(self, d: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        return np.mean([curve.gain_at(d) for curve in self.curves], axis=0)

    def measured(self, d: Float[np.ndarray, " points"]) -> Bool[np.ndarray, " points"]:
        """Mask of the points between the first row beyond the start and the last, in every run."""
        first = max(float(curve.d[curve.d > 0].min(initial=np.inf)) for curve in self.curves)
        return (d >= first * (1 - 1e-9)) & np.isfinite(self.at(d))

    def d_of(self, at: float) -> float:
        """sqrt(KL) of an n, or of a KL, as the target's runs have it."""
        curve = self.curves[0]
        if curve.n is None:
            return float(np.sqrt(at))
        return float(np.interp(at, np.append(1.0, curve.n), np.append(0.0, curve.d), right=np.nan))

    def peak(self) -> tuple[float, float, float]:
        """d, place and gain of the highest row; the start's 0 is one of them."""
        curve = self.curves[0]
        rows = (curve.places <= self.most) & (curve.d <= min(float(each.d.max()) for each in self.curves))
        d = np.append(0.0, curve.d[rows])
        places = np.append(0.0 if curve.n is None else 1.0, curve.places[rows])
        gain = self.at(d)
        top = int(np.argmax(gain))
        return float(d[top]), float(places[top]), float(gain[top])


def score_rewards(forecast: RewardForecast, table: RewardTable) -> RewardScore:
    """Compares a forecast with the target's curve.

    Args:
        forecast: frozen before the target's proxy was trained.
        table: has the target's runs: rows of role ``target`` or, in a table without roles, those of the target's pairs.
            The rows that it was made from may be there too, and must then be the same.

    Raises:
        InputError: if the target has no rows, or the forecast was made from other rows than the table's.
    """
    target = _is_target(forecast, table)
    law = REWARD_LAWS[forecast.law]
    curves = table.chosen(target).of(law) if target.any() else ()
    if not curves:
        raise InputError(f"{table.source}: no run of the forecast's {forecast.pairs:g} pairs to score it by")
    if table.reward != forecast.reward:
        raise InputError(f"{table.source}: the forecast is of {forecast.reward}, and the table has {table.reward}")
    _refuse_other_rows(forecast, table, ~target)
    actual = _Actual(curves, forecast.points[-1])
    points = np.array([actual.d_of(at) for at in forecast.points])
    # A sum of rounding errors may place the last point a hair beyond the last row.
    ends = min(float(curve.d.max()) for curve in curves)
    points = np.where(np.isclose(points, ends, rtol=1e-9), ends, points)
    measured = actual.measured(points)
    if not measured.any():
        raise InputError(f"{table.source}: the target's runs reach none of the forecast's points")
    gain = actual.at(points)[measured]
    _, place, peak = actual.peak()
    own = _scored(Curve(forecast.gain, forecast.peak_gain, forecast.peak_at, None, 1.0), gain, measured, actual)
    inside = None
    if forecast.low:
        low, high = np.array(forecast.low)[measured], np.array(forecast.high)[measured]
        inside = float(np.mean((low <= gain) & (gain <= high)))
    return RewardScore(
        law=forecast.law,
        reward=forecast.reward,
        axis=forecast.axis,
        peak_gain=forecast.peak_gain,
        actual_peak=peak,
        peak_error=own.peak_error,
        peak_covered=_holds(forecast.peak_interval, peak),
        peak_at=forecast.peak_at,
        actual_at=place,
        at_covered=_holds(forecast.peak_at_interval, place),
        regret=own.regret,
        rms=own.rms,
        inside=inside,
        n_points=int(measured.sum()),
        n_runs=len(curves),
        level=forecast.level,
        refused=forecast.refused,
        ways={name: _scored(way, gain, measured, actual) for name, way in forecast.ways.items()},
        warnings=table.chosen(target).warnings(),
    )


def _scored(
    way: Curve, gain: Float[np.ndarray, " measured"], measured: Bool[np.ndarray, " points"], actual: _Actual
) -> ScoredWay:
    _, _, peak = actual.peak()
    # Where the runs stop before the forecast's peak, what they end with is what one gets.
    most = min(float(curve.d.max()) for curve in actual.curves)
    there = float(actual.at(np.array([np.fmin(actual.d_of(way.peak_at), most)]))[0])
    return ScoredWay(
        peak_gain=way.peak_gain,
        peak_error=way.peak_gain - peak,
        rms=float(np.sqrt(np.mean((np.array(way.gain)[measured] - gain) ** 2))),
        regret=max(peak - there, 0.0),
    )


def _is_target(forecast: RewardForecast, table: RewardTable) -> Bool[np.ndarray, " rows"]:
    near = (table.frame["pairs"] / forecast.pairs - 1).abs().lt(ALIKE).to_numpy(bool)
    return near & (table.frame["role"] == "target").to_numpy(bool) if "role" in table.frame else near


def _refuse_other_rows(forecast: RewardForecast, table: RewardTable, rest: Bool[np.ndarray, " rows"]) -> None:
    """Raises InputError where the table has fitted rows that are not those the forecast was made from."""
    fitted = table.chosen(rest).fitted() if rest.any() else None
    if fitted is not None and len(fitted.frame) and fitted.hash() != forecast.table_hash:
        raise InputError(
            f"{table.source}: not the table that the forecast was made from: its fitted rows hash to "
            f"{fitted.hash()[:12]}, the forecast's to {forecast.table_hash[:12]}"
        )


def _holds(ends: tuple[float, float] | None, value: float) -> bool | None:
    return None if ends is None else bool(ends[0] <= value <= ends[1])

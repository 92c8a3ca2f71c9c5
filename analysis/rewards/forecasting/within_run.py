"""The further course of one run of PPO or DPO, from its first part: fitted, judged within that part, refused or given.

The first part's rows are split in turn: what its earlier two thirds say of the last third sets the interval,
and decides between the law and the naive ways.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import stats

from analysis.errors import InputError
from analysis.rewards.curves import RewardCurve
from analysis.rewards.fitting.curve_fit import usable
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT
from analysis.stats import least_squares

Rows = Float[np.ndarray, " rows"]
Points = Float[np.ndarray, " points"]
Way = Callable[[Rows, Rows, Points], Points]
_FEWEST = 9  # rows of the first part in the law's range: six to fit, three to judge by
_FITTED = 2 / 3
_LAST = 3  # rows whose mean is the naive forecast


@dataclass(frozen=True)
class RunForecast:
    """A forecast of one run's gold reward at larger KL, from its first part.

    Attributes:
        run_id: of the run.
        upto: KL of the last row fitted.
        rows: fitted.
        kl: at which the gain is forecast.
        gain: over the start, there.
        low: lower end of the interval of one measurement.
        high: upper end.
        level: of the interval.
        way: what it is by: the law or, where that is refused, a naive way.
        errors: of each way on the last third of the first part, root mean square.
        refused: why the law's forecast is not given, or None; what is given is then the best naive way's.
    """

    run_id: str
    upto: float
    rows: int
    kl: tuple[float, ...]
    gain: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    level: float
    way: str
    errors: Mapping[str, float]
    refused: str | None


@dataclass(frozen=True)
class RunScore:
    """The score of a run's forecast by its later rows.

    Attributes:
        rms: root mean square error, in units of the reward.
        naive_rms: the same of the mean of the last rows fitted.
        inside: share of the rows within their interval.
        rows: scored.
    """

    rms: float
    naive_rms: float
    inside: float
    rows: int


def first_part(curve: RewardCurve, share: float = 0.25) -> RewardCurve:
    """The rows of the first part of a run, by its steps; by its rows where steps are not known."""
    if np.isfinite(curve.step).all():
        return curve.take(curve.step <= share * curve.step.max())
    return curve.take(np.arange(len(curve.kl)) < share * len(curve.kl))


def forecast_run(first: RewardCurve, kl: Float[np.ndarray, " points"], level: float = 0.9) -> RunForecast:
    """Forecasts a run's gain at some KL from its first part.

    Args:
        first: its first part: see :func:`first_part`.
        kl: at which the gain is requested, nats.
        level: of the intervals.

    Raises:
        InputError: for best-of-n, or if too few rows lie in the law's range.
    """
    if first.law is BEST_OF_N:
        raise InputError(f"run {first.run_id!r} is best-of-n, which has no course")
    rows = first.take(usable(first))
    if (beyond := int((rows.d >= rows.law.least).sum())) < _FEWEST:
        raise InputError(
            f"run {first.run_id!r}: {beyond} rows at KL of {rows.law.least**2:g} nats or more are too few to forecast "
            f"its course: {_FEWEST}"
        )
    order = np.argsort(rows.d, kind="stable")
    d, gain = rows.d[order], rows.gain[order]
    cut = int(len(d) * _FITTED)
    errors, way, refused = _judged(d, gain, cut)
    at = np.sqrt(kl)
    made = _WAYS[way](d, gain, at)
    # What was tested is a way ahead of about the last third; errors grow with the way, in log d.
    tested = max(float(np.mean(np.log(d[cut:] / d[cut - 1]))), 1e-3)
    stretch = np.maximum(np.log(np.maximum(at / d[-1], 1.0)) / tested, 1.0)
    half = stats.t.ppf((1 + level) / 2, len(d) - cut - 1) * errors[way] * stretch
    return RunForecast(
        run_id=first.run_id,
        upto=float(d[-1] ** 2),
        rows=len(d),
        kl=tuple(kl.tolist()),
        gain=tuple(made.tolist()),
        low=tuple((made - half).tolist()),
        high=tuple((made + half).tolist()),
        level=level,
        way=way,
        errors=errors,
        refused=refused,
    )


def _judged(d: Rows, gain: Rows, cut: int) -> tuple[dict[str, float], str, str | None]:
    """Errors of each way on the rows from ``cut`` on, the way that is taken, and why it is not the law."""
    misses = {name: way(d[:cut], gain[:cut], d[cut:]) - gain[cut:] for name, way in _WAYS.items()}
    errors = {name: float(np.sqrt(np.mean(miss**2))) for name, miss in misses.items()}
    naive = min((name for name in _WAYS if name != _LAW), key=lambda name: errors[name])
    if errors[_LAW] < errors[naive]:
        return errors, _LAW, None
    reason = (
        f"on the last third of its first part the law misses by {errors[_LAW]:.3f}, and the naive way, {naive!r}, by "
        f"{errors[naive]:.3f}"
    )
    return errors, naive, reason


def score_run(forecast: RunForecast, curve: RewardCurve) -> RunScore:
    """Compares a forecast with the run's rows beyond the ones it was made from, up to its largest KL.

    Raises:
        InputError: if there are none.
    """
    later = curve.take((curve.kl > forecast.upto) & (curve.kl <= max(forecast.kl)))
    if not len(later.kl):
        raise InputError(f"run {curve.run_id!r} has no row beyond KL {forecast.upto:.3g} to score its forecast by")
    order = np.argsort(forecast.kl)
    at, d = np.sqrt(np.array(forecast.kl)[order]), later.d
    gain, low, high = (np.interp(d, at, np.array(each)[order]) for each in (forecast.gain, forecast.low, forecast.high))
    fitted = curve.take(curve.kl <= forecast.upto)
    naive = fitted.gain[-_LAST:].mean()
    return RunScore(
        rms=float(np.sqrt(np.mean((gain - later.gain) ** 2))),
        naive_rms=float(np.sqrt(np.mean((naive - later.gain) ** 2))),
        inside=float(np.mean((low <= later.gain) & (later.gain <= high))),
        rows=len(d),
    )


def _law(d: Rows, y: Rows, at: Points) -> Points:
    """Alpha, beta and the error of the start's own measurement."""
    design = np.column_stack([REINFORCEMENT.basis(d), np.ones(len(d))])
    return REINFORCEMENT.basis(at) @ least_squares(design, y).theta[:2]


def _last(d: Rows, y: Rows, at: Points) -> Points:
    return np.full(len(at), y[np.argsort(d)][-_LAST:].mean())


def _line(d: Rows, y: Rows, at: Points) -> Points:
    return np.asarray(np.polyval(np.polyfit(d, y, 1), at))


_LAW = REINFORCEMENT.name
_WAYS: dict[str, Way] = {_LAW: _law, "last rows": _last, "straight line": _line}

"""Making the forecast of a proxy's reward curve, before the proxy is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from analysis import __version__
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.rewards.curves import ALIKE, RewardCurve, RewardTable
from analysis.rewards.fitting.coefficients import Proxy, usual_terms
from analysis.rewards.fitting.curve_fit import Moments, moments_of
from analysis.rewards.fitting.reward_fit import EITHER, law_of
from analysis.rewards.forecasting.backtest import TestedWays, backtest_rewards
from analysis.rewards.forecasting.forecast import Curve, RewardForecast
from analysis.rewards.forecasting.grid import Grid
from analysis.rewards.forecasting.methods import BEST_RUN, FORMS, NAIVE, Points, expected_loss
from analysis.rewards.forecasting.spread import Spread
from analysis.rewards.laws import BEST_OF_N


def forecast_rewards(
    table: RewardTable,
    pairs: float,
    reward_params: float | None = None,
    loss: float | None = None,
    at: float | None = None,
    law: str = EITHER,
    level: float = 0.9,
) -> RewardForecast:
    """Forecasts the reward curve of a proxy that has not been trained, from those of proxies of fewer pairs.

    Args:
        table: the fitted runs: rows of role ``fit``, or all where there are no roles.
        pairs: preference pairs of the target's proxy.
        reward_params: its parameters; by default those of the fitted proxies of most pairs.
        loss: its held-out loss, nats per pair, as forecast; by default a straight line in log pairs.
        at: a further n, or KL, at which the gain is requested; peaks are looked for up to the largest point.
        law: as for ``fit_rewards``.
        level: of the intervals.

    Returns:
        The forecast; with ``refused`` where a naive one missed less on the fitted proxies of more pairs, or where
        fewer than three numbers of pairs leave nothing to test it on.

    Raises:
        InputError: for a table without pairs or without enough rows, a target among its runs, or impossible values.
    """
    if not (0 < pairs < np.inf and 0 < level < 1):
        raise InputError("`pairs` must be positive, and `interval` between 0 and 1")
    chosen, fitted = law_of(table, law), table.fitted()
    curves = fitted.of(chosen)
    _refuse_unknown(curves, pairs, table.source)
    axis = "n" if chosen is BEST_OF_N else "kl"
    if at is not None and not (1 <= at < np.inf if axis == "n" else 0 < at < np.inf):
        raise InputError(f"`{axis}` must be {'1 or more' if axis == 'n' else 'positive'}")
    runs, short = moments_of(curves, table.source)
    reach = float(np.log(pairs / max(run.curve.pairs for run in runs)))
    tested = backtest_rewards(runs, reach)
    sizes = [run.curve.reward_params for run in runs if np.isfinite(run.curve.reward_params)]
    size = reward_params if reward_params is not None else (sizes[-1] if sizes else np.nan)
    target = Proxy(pairs, float(size), expected_loss(runs, pairs) if loss is None else loss)
    grid = Grid.of([run.curve for run in runs], at)
    made = _forecast(table, fitted, runs, target, grid, tested, level, reach)
    return replace(made, warnings=(*short, *made.warnings))


def _forecast(
    table: RewardTable,
    fitted: RewardTable,
    runs: Sequence[Moments],
    target: Proxy,
    grid: Grid,
    tested: TestedWays | None,
    level: float,
    reach: float,
) -> RewardForecast:
    """The ways together at the target, or the naive one where they are refused."""
    refused = _untested(runs) if tested is None else tested.refusal
    weights = _weights(tested, refused)
    sparse, dense = _gains(runs, target, grid.d), _gains(runs, target, grid.dense_d)
    known = sparse if tested is None else sparse.keys() & tested.misses.keys()
    present = {name: weight for name, weight in weights.items() if name in known}
    total = sum(present.values())
    present = {name: weight / total for name, weight in present.items()}
    peaks = {name: grid.highest(gain) for name, gain in dense.items()}
    gain = sum((weight * sparse[name] for name, weight in present.items()), np.zeros(len(grid.d)))
    peak, place = grid.highest(sum((w * dense[name] for name, w in present.items()), np.zeros(len(grid.dense))))
    beyond = max(reach, _below(runs, target.pairs))
    spread = None if tested is None else Spread(tested, present, max(1.0, beyond / tested.reach), level)
    half = None if spread is None else spread.of_gains(grid.d, sparse, gain)
    errors = {} if tested is None else {name: misses.gain for name, misses in tested.misses.items()}
    return RewardForecast(
        law=runs[0].curve.law.name,
        reward=table.reward,
        axis=grid.axis,
        points=_plain(grid.points),
        gain=_plain(gain),
        low=() if half is None else _plain(gain - half),
        high=() if half is None else _plain(gain + half),
        peak_gain=peak,
        peak_interval=None if spread is None else spread.of_peak(peak, {n: p for n, (p, _) in peaks.items()}),
        peak_at=place,
        peak_at_interval=None
        if spread is None
        else spread.of_place(place, grid, {n: x for n, (_, x) in peaks.items()}),
        level=level,
        ways={
            name: Curve(_plain(each), *peaks[name], errors.get(name), present.get(name, 0.0))
            for name, each in sparse.items()
        },
        refused=refused,
        backtest_error=None if tested is None else tested.together.gain,
        naive_error=None if tested is None else tested.misses[tested.naive].gain,
        extrapolation=float(np.exp(reach)),
        pairs=float(target.pairs),
        reward_params=float(target.reward_params) if np.isfinite(target.reward_params) else None,
        loss=float(target.loss) if np.isfinite(target.loss) else None,
        n_runs=len(runs),
        warnings=(*fitted.warnings(), *usual_terms(runs)[1], *_far(tested, reach, _below(runs, target.pairs))),
        source=table.source,
        where=table.where,
        columns=dict(table.columns) if table.columns else None,
        table_hash=fitted.hash(),
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _gains(runs: Sequence[Moments], target: Proxy, d: Points) -> dict[str, Points]:
    found = {name: way(runs, target, d) for name, way in (FORMS | NAIVE).items()}
    return {name: gain for name, gain in found.items() if gain is not None}


def _weights(tested: TestedWays | None, refused: str | None) -> Mapping[str, float]:
    if tested is None:
        return {BEST_RUN: 1.0}
    return tested.weights if refused is None else {tested.naive: 1.0}


def _untested(runs: Sequence[Moments]) -> str:
    levels = len({run.curve.pairs for run in runs})
    return f"runs of {levels} numbers of pairs leave nothing to test it on: three or more are needed"


def _below(runs: Sequence[Moments], pairs: float) -> float:
    """Log of the fewest pairs fitted over the target's."""
    return float(np.log(min(run.curve.pairs for run in runs) / pairs))


def _far(tested: TestedWays | None, reach: float, below: float) -> tuple[Diagnostic, ...]:
    if tested is None or max(reach, below) <= 1.5 * tested.reach:
        return ()
    where = f"{np.exp(reach):.3g} times the most pairs fitted"
    if below > reach:
        where = f"{np.exp(below):.3g} times fewer pairs than any fitted run"
    message = (
        f"the target has {where}, and forecasts were tested over {np.exp(tested.reach):.3g} times: the interval is "
        "widened in proportion"
    )
    return (Diagnostic("far-extrapolation", message),)


def _refuse_unknown(curves: Sequence[RewardCurve], pairs: float, source: str) -> None:
    """Raises InputError where a run's pairs are not known, or the target's are those of a fitted run."""
    if unknown := [curve.run_id for curve in curves if not np.isfinite(curve.pairs)]:
        raise InputError(f"{source}: run {unknown[0]!r} has no 'pairs', which forecasts follow; `columns` pairs=...")
    if known := [curve.run_id for curve in curves if abs(curve.pairs / pairs - 1) < ALIKE]:
        raise InputError(
            f"{source}: run {known[0]!r} has the target's {pairs:g} pairs and is fitted; leave it out with `where`"
        )


def _plain(values: Points) -> tuple[float, ...]:
    return tuple(values.tolist())

"""Intrinsic performance of reinforcement learning over sizes and steps (2301.13442).

The intrinsic performance I of a return is the least compute, in parameters x steps, for which a model of any size
reaches that return. It makes returns of any scale comparable, and follows

    I^-b = (N_c / N)^a_N + (E_c / E)^a_E

over parameters N and steps (or episodes) E. That I is the least of C = N E over all sizes fixes two of the constants:

    1 / b = 1 / a_N + 1 / a_E,    N_c E_c = (a_N / a_E)^(1 / a_E) (1 + a_N / a_E)^(-1 / b)

so a_N, a_E and N_c are fitted. The frontier is made of each run's rising curve (isotonic regression): the highest
return at or below each compute; a return's I is the compute where the frontier reaches it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import resample_weights
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.laws.law import Inputs, Law, Losses, Parameters, Partials
from analysis.rewards.rl_curves import RlCurve, RlTable, read_rl_curves
from analysis.rewards.rl_fit import RlFit, clusters_of, intervals_of, not_rising, untested, within_runs

INTRINSIC = "intrinsic"
_FEWEST_SIZES = 3
_FEWEST_ROWS = 8


def _inverse(p: Parameters, x: Inputs) -> tuple[Losses, Partials]:
    """1 / I, and its derivatives by a_N, a_E and log N_c."""
    a, b, log_nc = p
    ratio = np.log1p(a / b)
    log_ec = np.log(a / b) / b - (1 / a + 1 / b) * ratio - log_nc
    by_size, by_steps = a * (log_nc - x.n), b * (log_ec - x.d)
    top = np.maximum(by_size, by_steps)
    log_sum = top + np.log(np.exp(by_size - top) + np.exp(by_steps - top))
    u, v = np.exp(by_size - log_sum), np.exp(by_steps - log_sum)
    inverse = 1 / a + 1 / b
    made = np.exp(inverse * log_sum)
    by_a = -log_sum / a**2 + inverse * (u * (log_nc - x.n) + v * b * ratio / a**2)
    by_b = -log_sum / b**2 + inverse * v * ((log_ec - x.d) + np.log1p(b / a) / b)
    by_nc = inverse * (a * u - b * v)
    return made, (made * by_a, made * by_b, made * by_nc)


LAW: Law[Inputs] = Law(
    name=INTRINSIC,
    formula="I^-b = (N_c / N)^a_N + (E_c / E)^a_E, 1 / b = 1 / a_N + 1 / a_E",
    source="2301.13442",
    needs=("params", "step"),
    names=("a_N", "a_E", "N_c"),
    logs=frozenset({"N_c"}),
    starts={},  # see _starts
    domains={"a_N": (0.05, 5.0), "a_E": (0.05, 5.0)},
    function=_inverse,
)


def fit_intrinsic(
    source: str | Path | RlTable,
    bootstrap: int = 1000,
    *,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    seed: int = 0,
) -> RlFit:
    """Fits intrinsic performance: an isotonic frontier, then the law by the log-Huber solver.

    Args:
        source: see :func:`read_rl_curves`; returns of three sizes or more, over steps.
        bootstrap: resamples of runs, each with a law of its own on the frontier of all.
        columns, where: as for the table.
        seed: of the resampling.

    Raises:
        InputError: for fewer than three sizes, or too few rows on the frontier.
    """
    table = _read(source, columns, where)
    sizes = table.sizes
    if len(sizes) < _FEWEST_SIZES:
        few = f"{len(sizes)} sizes are too few to fit {INTRINSIC}"
        raise InputError(f"{table.source}: {few}: the least compute for a return needs {_FEWEST_SIZES}")
    curves = _positive(table.curves)
    rising = [replace(curve, value=isotonic_regression(curve.value).x) for curve in curves]
    inputs, log_i = _rows(rising, _frontier(rising))
    known = np.isfinite(log_i)
    if known.sum() < _FEWEST_ROWS:
        raise InputError(
            f"{table.source}: {int(known.sum())} rows lie where a size between others is best, too few to fit "
            f"{INTRINSIC}: it needs {_FEWEST_ROWS}; train the small sizes until larger ones overtake them"
        )
    theta = _fitted(inputs.take(known), -log_i[known])
    cluster, resampled = clusters_of(rising)
    weights = resample_weights(cluster, bootstrap, seed)[:, known] if bootstrap else np.zeros((0, int(known.sum())))
    draws = _resampled(inputs.take(known), -log_i[known], weights, theta)
    backtest = within_runs(curves, lambda before, _behind: _forecast(before, rising))
    off = np.log(LAW.evaluate(theta[None], inputs.take(known))[0][0]) + log_i[known]
    names = ("a_N", "a_E", "b", "N_c", "E_c")
    return RlFit(
        law=INTRINSIC,
        formula=LAW.formula,
        source=LAW.source,
        params=dict(zip(names, _natural(theta[None])[0].tolist(), strict=True)),
        intervals=intervals_of(dict(zip(names, _natural(draws).T, strict=True))),
        residual=float(np.sqrt(np.mean(off**2))),
        unit="of log I",
        n_runs=len(curves),
        rows=int(known.sum()),
        resampled=resampled,
        table=f"{table.value} over parameters x {table.x}",
        table_hash=table.sha256,
        backtest=backtest,
        refused=(*not_rising(curves, table.value), *untested(backtest, "of log I")),
        notes=_edge(theta),
        value=lambda x, params: 1 / LAW.evaluate(theta[None], _inputs(_size(params), x))[0][0],
    )


def _read(source: str | Path | RlTable, columns: Mapping[str, str] | None, where: str | None) -> RlTable:
    """The curves over steps, read where they are not yet."""
    if isinstance(source, RlTable):
        return source
    return read_rl_curves(source, over=("step",), columns=columns, where=where)


def _resampled(
    inputs: Inputs,
    value: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, "draws rows"],
    theta: Float[np.ndarray, " parameters"],
) -> Float[np.ndarray, "draws parameters"]:
    """The parameters fitted under each row of weights, shape (draws, parameters)."""
    if not len(weights):
        return np.zeros((0, len(theta)))
    return minimise(LAW, inputs, value, weights, np.repeat(theta[None], len(weights), axis=0), tolerance=1e-5).value


def _positive(curves: Sequence[RlCurve]) -> list[RlCurve]:
    kept = [replace(c, x=c.x[c.x > 0], value=c.value[c.x > 0]) for c in curves]
    return [curve for curve in kept if len(curve.x)]


def _size(params: float | None) -> float:
    if params is None:
        raise InputError(f"`params`: {INTRINSIC} is over sizes; give the policy's parameters")
    return params


def _inputs(params: float, steps: Float[np.ndarray, " rows"]) -> Inputs:
    n, e = np.full(len(steps), np.log(params)), np.log(steps)
    return Inputs(n, e, n + e, e)


def _rows(
    curves: Sequence[RlCurve], frontier: tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " knots"]]
) -> tuple[Inputs, Float[np.ndarray, " rows"]]:
    """Inputs of the rows, and log I of each; NaN where the frontier does not reach a row's value."""
    parts = [_inputs(_size(curve.params), curve.x) for curve in curves]
    inputs = Inputs(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("n", "d", "c", "u")))
    values = np.concatenate([curve.value for curve in curves])
    heights, log_c = frontier
    if not len(heights):
        return inputs, np.full(len(values), np.nan)
    inside = (values >= heights[0]) & (values <= heights[-1])
    return inputs, np.where(inside, np.interp(values, heights, log_c), np.nan)


def _frontier(curves: Sequence[RlCurve]) -> tuple[Float[np.ndarray, " knots"], Float[np.ndarray, " knots"]]:
    """(value, log compute) where the highest value so far rises, over all runs in the order of their compute.

    Only from the first to the last knot that is of a size between others: elsewhere a size that was not trained might
    reach the value for less. Empty where there are not two such knots.
    """
    log_n = np.concatenate([np.full(len(curve.x), np.log(_size(curve.params))) for curve in curves])
    log_c = log_n + np.log(np.concatenate([curve.x for curve in curves]))
    values = np.concatenate([curve.value for curve in curves])
    order = np.lexsort((-values, log_c))
    highest = np.maximum.accumulate(values[order])
    rises = np.diff(highest, prepend=-np.inf) > 0
    best = log_n[order][rises]
    between = np.flatnonzero((best > log_n.min()) & (best < log_n.max()))
    if len(between) < 2:
        return np.empty(0), np.empty(0)
    kept = slice(between[0], between[-1] + 1)
    return highest[rises][kept], log_c[order][rises][kept]


def _fitted(inputs: Inputs, log_inverse: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " 3"]:
    middle = float(np.median(inputs.n))
    powers = (0.2, 0.5, 1.0, 2.0)
    starts = np.array(list(product(powers, powers, middle + np.log([1e-4, 1e-3, 1e-2, 0.1, 1.0]))))
    # N_c is the size that I^-b = 1 asks for, far below any that is trained: it scales with the compute.
    scale = np.array([_scale(a, b, float(np.median(inputs.c))) for a, b, _ in starts])
    starts[:, 2] += scale
    best = best_of_starts(LAW, inputs, log_inverse, np.ones(len(log_inverse)), starts)
    found: Float[np.ndarray, " 3"] = best.value[0]
    return found


def _scale(a: float, b: float, log_c: float) -> float:
    """log of u^(1/a) where size and steps share the least I^-b at a compute: N_c is N times this there."""
    inverse = 1 / a + 1 / b
    return float(-(log_c / inverse) / a - np.log1p(a / b) / a)


def _natural(theta: Float[np.ndarray, "draws 3"]) -> Float[np.ndarray, "draws 5"]:
    """a_N, a_E, b, N_c and E_c."""
    a, b, log_nc = theta.T
    log_ec = np.log(a / b) / b - (1 / a + 1 / b) * np.log1p(a / b) - log_nc
    return np.column_stack([a, b, 1 / (1 / a + 1 / b), np.exp(log_nc), np.exp(log_ec)])


def _edge(theta: Float[np.ndarray, " 3"]) -> tuple[Diagnostic, ...]:
    edge = LAW.at_edge(theta)
    if not edge:
        return ()
    return (Diagnostic("at-the-edge", f"{' and '.join(edge)} at the edge of the search: the runs do not determine it"),)


def _forecast(
    before: Sequence[RlCurve], rising: Sequence[RlCurve]
) -> tuple[Sequence[Float[np.ndarray, " _"]], ...] | None:
    """Log I behind the cut, by the law of what lies before it; the actual one is on the frontier of all rows."""
    early = [replace(curve, value=isotonic_regression(curve.value).x) for curve in before]
    if len({curve.params for curve in early}) < _FEWEST_SIZES:
        return None
    inputs, log_i = _rows(early, _frontier(early))
    known = np.isfinite(log_i)
    if known.sum() < _FEWEST_ROWS:
        return None
    theta = _fitted(inputs.take(known), -log_i[known])
    whole, frontier = {curve.run_id: curve for curve in rising}, _frontier(rising)
    predicted, actual, naive = [], [], []
    for curve in early:
        both, log_both = _rows([whole[curve.run_id]], frontier)
        cut = len(curve.x)
        use = np.isfinite(log_both[cut:])
        behind = both.take(np.arange(cut, len(log_both))[use])
        predicted.append(-np.log(LAW.evaluate(theta[None], behind)[0][0]))
        actual.append(log_both[cut:][use])
        naive.append(np.full(int(use.sum()), log_both[cut - 1]))
    kept = [np.isfinite(each) for each in naive]  # a run whose last row before the cut is off the frontier has no naive
    if not any(each.any() for each in kept):
        return None
    return tuple([rows[keep] for rows, keep in zip(each, kept, strict=True)] for each in (predicted, actual, naive))

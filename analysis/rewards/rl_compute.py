"""The sigmoid of reward or accuracy over the compute of reinforcement learning (2510.13786).

    R(C) = R0 + (A - R0) / (1 + (C_mid / C)^B)

It is linear in R0 and A once B and C_mid are fixed, so these are searched on a grid, as the links between loss and
accuracy are, and the others follow by least squares. The first part of each run is left out, which is noise. Constants
of resamples are found in the same way, all at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import resample_weights
from analysis.formatting import format_quantity
from analysis.rewards.rl_curves import SHARES, RlCurve, RlTable, read_rl_curves
from analysis.rewards.rl_fit import (
    RlFit,
    clusters_of,
    intervals_of,
    last_value,
    not_rising,
    untested,
    within_runs,
)

SIGMOID = "rl-sigmoid"
_FORMULA = "R0 + (A - R0) / (1 + (C_mid / C)^B)"
# Of the longest run: what comes before is not fitted; 2510.13786 leaves out 1.5k of its 8k to 16k GPU-hours.
LEFT_OUT = 0.05
_RATES = np.geomspace(0.2, 12.0, 36)
_MIDDLES = 81
_BEFORE, _BEYOND = np.log(100.0), np.log(8.0)  # as far before the first fitted row, and beyond the last, C_mid may lie
_ZOOMS, _FINER = 3, 7
_DRAWS_AT_ONCE = 50
_FEWEST_ROWS = 6


def fit_rl_sigmoid(
    source: str | Path | RlTable,
    bootstrap: int = 1000,
    *,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    seed: int = 0,
) -> RlFit:
    """Fits the sigmoid of compute to the curves of one recipe and size (2510.13786).

    Args:
        source: see :func:`read_rl_curves`; runs that differ by their seed alone share the curve.
        bootstrap: resamples of runs; of parts of runs where there are fewer than three.
        columns, where: as for the table.
        seed: of the resampling.

    Raises:
        InputError: for too few rows, or curves of several sizes.
    """
    table = source if isinstance(source, RlTable) else read_rl_curves(source, columns=columns, where=where)
    sizes = {curve.params for curve in table.curves}
    if len(sizes) > 1:
        listed = ", ".join(
            "none" if n is None else format_quantity(n) for n in sorted(sizes, key=lambda n: n or 0.0)[:4]
        )
        raise InputError(
            f"{table.source}: curves of {len(sizes)} sizes ({listed}): the law is of one; choose with `where` "
            '"params == ..."'
        )
    return fit_sigmoid(table, bootstrap, seed)


def fit_sigmoid(table: RlTable, bootstrap: int = 1000, seed: int = 0) -> RlFit:
    """As :func:`fit_rl_sigmoid`, of a table that is read already, whatever the sizes of its runs."""
    kept = _kept(table.curves)
    rows = sum(len(curve.x) for curve in kept)
    if rows < _FEWEST_ROWS:
        raise InputError(
            f"{table.source}: {rows} rows behind the first {LEFT_OUT:.0%} of the runs are too few to fit {SIGMOID}: it "
            f"needs {_FEWEST_ROWS}"
        )
    capped = table.value in SHARES
    log_c, value = _rows(kept)
    cluster, resampled = clusters_of(kept)
    found = _sigmoids(log_c, value, np.ones((1, rows)), capped)[0]
    draws = np.zeros((0, 4))
    if bootstrap:
        draws = _sigmoids(log_c, value, resample_weights(cluster, bootstrap, seed), capped)
    names = ("R0", "A", "B", "C_mid")
    params = dict(zip(names, _natural(found[None])[0].tolist(), strict=True))
    intervals = intervals_of(dict(zip(names, _natural(draws).T, strict=True)))
    backtest = within_runs(table.curves, lambda before, behind: _sigmoid_forecast(before, behind, capped))
    refused = (
        *not_rising(kept, table.value),
        *_no_plateau(params, intervals["A"], float(np.exp(log_c.max())), value),
        *untested(backtest, table.value),
    )
    off = _sigmoid(found, log_c) - value
    start = "the start counts" if any(curve.x[0] == 0 for curve in kept) else "no start is measured"
    return RlFit(
        law=SIGMOID,
        formula=_FORMULA,
        source="2510.13786",
        params=params,
        intervals=intervals,
        residual=float(np.sqrt(np.mean(off**2))),
        unit=table.value,
        n_runs=len(kept),
        rows=rows,
        resampled=resampled,
        table=f"{table.value} over {table.x}, the first {LEFT_OUT:.0%} left out; {start}",
        table_hash=table.sha256,
        backtest=backtest,
        refused=refused,
        notes=(),
        value=lambda x, _params: _sigmoid(found, np.log(x)),
    )


def _kept(curves: Sequence[RlCurve]) -> list[RlCurve]:
    """The curves without their first parts, but for what is measured before any training."""
    least = LEFT_OUT * max(float(curve.x[-1]) for curve in curves)
    masks = [(curve.x >= least) | (curve.x == 0) for curve in curves]
    cut = [replace(c, x=c.x[keep], value=c.value[keep]) for c, keep in zip(curves, masks, strict=True)]
    return [curve for curve in cut if len(curve.x)]


def _rows(curves: Sequence[RlCurve]) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """Log x, minus infinity at the start, and the values."""
    with np.errstate(divide="ignore"):
        return np.log(np.concatenate([c.x for c in curves])), np.concatenate([c.value for c in curves])


def _sigmoids(
    log_c: Float[np.ndarray, " rows"],
    value: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, "draws rows"],
    capped: bool,
) -> Float[np.ndarray, "draws 4"]:
    """R0, A, B and log C_mid of each draw: the best of a grid, then of three finer ones about it."""
    trained = log_c[np.isfinite(log_c)]
    low, high = float(trained.min()) - _BEFORE, float(trained.max()) + _BEYOND
    rates, middles = (axis.ravel() for axis in np.meshgrid(_RATES, np.linspace(low, high, _MIDDLES)))
    shapes = np.broadcast_to(np.stack([np.log(rates), middles], axis=1), (1, len(rates), 2))
    found = []
    for at in range(0, len(weights), _DRAWS_AT_ONCE):
        part = weights[at : at + _DRAWS_AT_ONCE]
        best = _best(log_c, value, part, shapes, capped)
        step = np.array([np.log(_RATES[1] / _RATES[0]), (high - low) / (_MIDDLES - 1)])
        for _ in range(_ZOOMS):
            grid = np.stack([g.ravel() for g in np.meshgrid(*[np.linspace(-1, 1, _FINER)] * 2)], axis=1)
            fine = best[:, None, 2:] + grid * step
            fine[..., 0] = np.clip(fine[..., 0], np.log(_RATES[0]), np.log(_RATES[-1]))
            fine[..., 1] = np.clip(fine[..., 1], low, high)
            best, step = _best(log_c, value, part, fine, capped), step / 3
        found.append(best)
    made = np.concatenate(found)
    made[:, 2] = np.exp(made[:, 2])
    return made


def _best(
    log_c: Float[np.ndarray, " rows"],
    value: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, "draws rows"],
    shapes: Float[np.ndarray, "#draws shapes 2"],
    capped: bool,
) -> Float[np.ndarray, "draws 4"]:
    """R0, A, log B and log C_mid of the shape with the least weighted squared error, for each draw.

    The sums of weights, of g, of g squared and so on are products of the weights with the shapes' values: least squares
    of value = R0 + (A - R0) g for every shape at once.
    """
    g = 1 / (1 + np.exp(np.clip(-np.exp(shapes[..., :1]) * (log_c - shapes[..., 1:]), -60.0, 60.0)))

    def summed(rows: Float[np.ndarray, "#draws shapes rows"]) -> Float[np.ndarray, "draws shapes"]:
        if len(rows) == 1:
            return weights @ rows[0].T
        return np.einsum("dr,dsr->ds", weights, rows)

    w, y, yy = weights.sum(1)[:, None], (weights @ value)[:, None], (weights @ value**2)[:, None]
    sg, sgg, sgy = summed(g), summed(g**2), summed(g * value)
    rise = np.maximum((sgy - sg * y / w) / np.maximum(sgg - sg**2 / w, 1e-12 * w), 0.0)
    low = (y - rise * sg) / w
    if capped:
        over = low + rise > 1
        held = np.clip((y - sg - sgy + sgg) / np.maximum(w - 2 * sg + sgg, 1e-12 * w), 0.0, 1.0)
        low, rise = np.where(over, held, low), np.where(over, 1 - held, rise)
    error = yy - 2 * low * y - 2 * rise * sgy + low**2 * w + 2 * low * rise * sg + rise**2 * sgg
    chosen = error.argmin(axis=1)
    draws = np.arange(len(weights))
    shape = np.broadcast_to(shapes, (len(weights), *shapes.shape[1:]))[draws, chosen]
    lowest, top = low[draws, chosen], (low + rise)[draws, chosen]
    return np.concatenate([np.stack([lowest, top], axis=1), shape], axis=1)


def _sigmoid(constants: Float[np.ndarray, " 4"], log_c: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    low, top, rate, middle = constants
    made: Float[np.ndarray, " rows"] = low + (top - low) / (1 + np.exp(np.clip(-rate * (log_c - middle), -60.0, 60.0)))
    return made


def _natural(constants: Float[np.ndarray, "draws 4"]) -> Float[np.ndarray, "draws 4"]:
    return np.concatenate([constants[:, :3], np.exp(constants[:, 3:])], axis=1)


def _no_plateau(
    params: Mapping[str, float], top: tuple[float, float] | None, last: float, value: Float[np.ndarray, " rows"]
) -> tuple[Diagnostic, ...]:
    """A reason to refuse where the runs end before the middle of their rise, or their top is anything."""
    if params["A"] <= params["R0"]:
        return ()  # nothing rises, which is told by itself
    seen = float(value.max() - min(value.min(), params["R0"]))
    if params["C_mid"] < last and (top is None or top[1] - top[0] <= seen):
        return ()
    line = f"the runs end at {last:.3g}, before the middle of their rise, {params['C_mid']:.3g}"
    if params["C_mid"] < last and top is not None:
        line = f"the runs do not tell where they level off: A lies between {top[0]:.3g} and {top[1]:.3g}"
    return (Diagnostic("plateau-unseen", line),)


def _sigmoid_forecast(
    before: Sequence[RlCurve], behind: Sequence[RlCurve], capped: bool
) -> tuple[Sequence[Float[np.ndarray, " _"]], ...] | None:
    kept = _kept(before)
    if sum(len(curve.x) for curve in kept) < _FEWEST_ROWS:
        return None
    log_c, value = _rows(kept)
    found = _sigmoids(log_c, value, np.ones((1, len(value))), capped)[0]
    return (
        [_sigmoid(found, np.log(curve.x)) for curve in behind],
        [curve.value for curve in behind],
        [np.full(len(after.x), last_value(first)) for first, after in zip(before, behind, strict=True)],
    )

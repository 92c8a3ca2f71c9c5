"""The power law of the error over the compute or steps of reinforcement learning, for several sizes (2509.25300).

    log L = -K log X / (1 + N0 / N) + E(N),    L = 1 - accuracy

K and the E of each size enter linearly once N0 is fixed, which is searched on a grid; so for all resamples at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import resample_weights
from analysis.formatting import format_quantity
from analysis.rewards.rl_curves import RlCurve, RlTable, read_rl_curves
from analysis.rewards.rl_fit import (
    RlFit,
    clusters_of,
    intervals_of,
    last_value,
    not_rising,
    untested,
    within_runs,
)

POWER = "rl-power"
_FORMULA = "log L = -K log X / (1 + N0 / N) + E(N), L = 1 - accuracy"
_FEWEST_SIZES = 3
_N0_STEPS, _N0_BEYOND = 241, 1e3


def fit_rl_power(
    source: str | Path | RlTable,
    bootstrap: int = 1000,
    *,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    seed: int = 0,
) -> RlFit:
    """Fits the power law of the error 1 - accuracy over FLOPs or steps, for several sizes (2509.25300).

    Args:
        source: see :func:`read_rl_curves`; an ``accuracy``, or a reward between 0 and 1.
        bootstrap: resamples of runs; of parts of runs where there are fewer than three.
        columns, where: as for the table.
        seed: of the resampling.

    Raises:
        InputError: for fewer than three sizes, too few rows, or what is no share.
    """
    names = ("accuracy", "reward", "win_rate")
    table = source if isinstance(source, RlTable) else read_rl_curves(source, names, columns=columns, where=where)
    curves, notes = _shares(table)
    sizes = sorted({float(curve.params or 0.0) for curve in curves})
    rows = sum(len(curve.x) for curve in curves)
    if rows < len(sizes) + 4:
        raise InputError(f"{table.source}: {rows} rows are too few to fit {POWER}: it needs {len(sizes) + 4}")
    data = _PowerRows(curves, sizes)
    found = data.fitted(np.ones((1, rows)))[0]
    cluster, resampled = clusters_of(curves)
    draws = data.fitted(resample_weights(cluster, bootstrap, seed)) if bootstrap else np.zeros((0, len(found)))
    keys = ("K", "N0", *(f"E({format_quantity(size)})" for size in sizes))
    params = dict(zip(keys, found.tolist(), strict=True))
    backtest = within_runs(curves, _power_forecast)
    off = data.log_error(found) - data.y
    return RlFit(
        law=POWER,
        formula=_FORMULA,
        source="2509.25300",
        params=params,
        intervals=intervals_of(dict(zip(keys, draws.T, strict=True))),
        residual=float(np.sqrt(np.mean(off**2))),
        unit="of log error",
        n_runs=len(curves),
        rows=rows,
        resampled=resampled,
        table=f"{table.value} over {table.x}",
        table_hash=table.sha256,
        backtest=backtest,
        refused=(*not_rising(curves, table.value), *untested(backtest, "of log error")),
        notes=(*notes, *_saturation(found[1], sizes)),
        value=lambda x, params: 1 - np.exp(_power(found, _known(params, sizes), np.log(x), sizes)),
    )


def _shares(table: RlTable) -> tuple[list[RlCurve], tuple[Diagnostic, ...]]:
    """The curves of error over x > 0, and what was left out of them."""
    if len(table.sizes) < _FEWEST_SIZES:
        raise InputError(
            f"{table.source}: {len(table.sizes)} sizes are too few to fit {POWER}: what size does to the exponent "
            f"needs {_FEWEST_SIZES}"
        )
    values = np.concatenate([curve.value for curve in table.curves])
    if values.min() < 0 or values.max() > 1:
        raise InputError(
            f"{table.source}: {table.value} lies between {values.min():.3g} and {values.max():.3g}: {POWER} is of a "
            "share of right answers, between 0 and 1"
        )
    kept = [(curve, (curve.x > 0) & (curve.value < 1)) for curve in table.curves]
    curves = [replace(c, x=c.x[keep], value=c.value[keep]) for c, keep in kept if keep.any()]
    perfect = int(np.sum(values == 1))
    line = f"{perfect} rows with every answer right are left out: their error has no logarithm"
    return curves, (Diagnostic("columns-read", line),) if perfect else ()


class _PowerRows:
    """Rows of the power law, with the place of each row's size.

    Args:
        curves: of shares below 1, over x > 0.
        sizes: that the law has an E for, increasing.
    """

    def __init__(self, curves: Sequence[RlCurve], sizes: Sequence[float]) -> None:
        self.sizes = sizes
        self.x = np.log(np.concatenate([curve.x for curve in curves]))
        self.y = np.log(1 - np.concatenate([curve.value for curve in curves]))
        places = [np.full(len(curve.x), sizes.index(float(curve.params or 0.0))) for curve in curves]
        self.size: Int[np.ndarray, " rows"] = np.concatenate(places)

    def fitted(self, weights: Float[np.ndarray, "draws rows"]) -> Float[np.ndarray, "draws constants"]:
        """K, N0 and the E of each size, for each draw of weights: the best N0 of a grid, the rest by least squares."""
        one = np.eye(len(self.sizes))[self.size]
        weight = weights @ one
        mean_y = (weights @ (one * self.y[:, None])) / weight
        y = self.y - mean_y[:, self.size]
        n = np.asarray(self.sizes)
        grid = np.geomspace(n[0] / _N0_BEYOND, n[-1] * _N0_BEYOND, _N0_STEPS)
        best = np.full(len(weights), np.inf)
        made = np.zeros((len(weights), 2 + len(n)))
        for n0 in grid:
            raw = -self.x / (1 + n0 / n[self.size])
            mean = (weights @ (one * raw[:, None])) / weight
            h = raw - mean[:, self.size]
            k = np.maximum((weights * h * y).sum(1) / np.maximum((weights * h**2).sum(1), 1e-300), 0.0)
            error = (weights * (y - k[:, None] * h) ** 2).sum(1)
            better = error < best * (1 - 1e-12)
            best[better] = error[better]
            made[better] = np.column_stack([k, np.full(len(k), n0), mean_y - k[:, None] * mean])[better]
        return made

    def log_error(self, constants: Float[np.ndarray, " constants"]) -> Float[np.ndarray, " rows"]:
        """Expected log error of the rows."""
        n = np.asarray(self.sizes)[self.size]
        expected: Float[np.ndarray, " rows"] = constants[2:][self.size] - constants[0] * self.x / (1 + constants[1] / n)
        return expected


def _power(
    constants: Float[np.ndarray, " constants"], size: float, log_x: Float[np.ndarray, " rows"], sizes: Sequence[float]
) -> Float[np.ndarray, " rows"]:
    made: Float[np.ndarray, " rows"] = constants[2 + sizes.index(size)] - constants[0] * log_x / (
        1 + constants[1] / size
    )
    return made


def _known(size: float | None, sizes: Sequence[float]) -> float:
    if size is None or size not in sizes:
        listed = ", ".join(map(format_quantity, sizes))
        raise InputError(f"`params`: {POWER} has a constant of its own for each size, and knows {listed}")
    return size


def _power_forecast(
    before: Sequence[RlCurve], behind: Sequence[RlCurve]
) -> tuple[Sequence[Float[np.ndarray, " _"]], ...] | None:
    sizes = sorted({float(curve.params or 0.0) for curve in before})
    data = _PowerRows(before, sizes)
    if len(data.x) < len(sizes) + 4:
        return None
    found = data.fitted(np.ones((1, len(data.x))))[0]
    return (
        [_power(found, float(curve.params or 0.0), np.log(curve.x), sizes) for curve in behind],
        [np.log(1 - curve.value) for curve in behind],
        [np.full(len(after.x), np.log(1 - last_value(first))) for first, after in zip(before, behind, strict=True)],
    )


def _saturation(n0: float, sizes: Sequence[float]) -> tuple[Diagnostic, ...]:
    low, high = sizes[0] / _N0_BEYOND, sizes[-1] * _N0_BEYOND
    if low * 1.01 < n0 < high / 1.01:
        return ()
    line = "N0 lies at the edge of the search: the sizes do not show that the exponent levels off with size"
    return (Diagnostic("at-the-edge", line),)

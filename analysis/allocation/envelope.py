"""Approach 1 (2203.15556, section 3.1): the size with the lowest loss at each number of FLOPs, and how it grows.

The runs of one size, endpoints or points along training curves, make a curve of loss over FLOPs. At each of a grid of
FLOPs the best size is that of the lowest curve; the parabola through it and a neighbour on either side places the
optimum between sizes. FLOPs at which the smallest or the largest size is the best are left out: the optimum may lie
beyond it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator

from analysis.allocation.frontier import FrontierLaw, LeftOut, Minima
from analysis.allocation.text import envelope_text
from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.runs.arrays import RunArrays, training_cost
from analysis.stats import clusters, least_squares

_GRID = 200
_SAME_SIZE = 0.03  # sizes digitised from a figure differ by a few percent
_MIN_DISTANCE = 0.35  # in log parameters: the curvature between nearer neighbours is smaller than their noise
_FEW = "fewer than three sizes were trained there"
_FLAT = "the best size and its neighbours have the same loss"
_SMALLEST = "the smallest size trained there is the best, so the optimum is not bracketed"
_LARGEST = "the largest size trained there is the best, so the optimum is not bracketed"
_BIN = 0.05  # in log FLOPs: points of one run this close are averaged, as training losses are noisy


@dataclass(frozen=True)
class SizeCurve:
    """Log loss over log FLOPs of the runs of one size.

    Attributes:
        n: log parameters.
        c: log FLOPs, increasing.
        log_loss: log nats per token, decreasing.
        trunks: how many independent runs it is made of.
    """

    n: float
    c: Float[np.ndarray, " points"]
    log_loss: Float[np.ndarray, " points"]
    trunks: int

    def at(self, c: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " grid"]:
        """Log loss at log FLOPs, by monotone cubic interpolation; infinite outside the runs."""
        return np.nan_to_num(PchipInterpolator(self.c, self.log_loss, extrapolate=False)(c), nan=np.inf)


@dataclass(frozen=True)
class Envelope(Result):
    """Approach 1 on a table.

    Attributes:
        curves: one for each size with runs at two or more FLOPs, from the smallest.
        c: log FLOPs of the grid, where three sizes or more can be compared.
        loss: the lowest loss there, nats per token.
        minima: the optimum at those points of the grid where it is bracketed.
        left_out: the ranges of the grid where it is not.
        params: N*(C), through the minima; None where they span fewer than two sizes.
        tokens: D*(C), likewise.
        warnings: what is left out, and what else limits the answer.
    """

    curves: tuple[SizeCurve, ...]
    c: Float[np.ndarray, " grid"]
    loss: Float[np.ndarray, " grid"]
    minima: Minima
    left_out: tuple[LeftOut, ...]
    params: FrontierLaw | None
    tokens: FrontierLaw | None
    warnings: tuple[Diagnostic, ...]

    @property
    def used(self) -> tuple[float, ...]:
        """The lowest and the highest FLOPs where the optimum is bracketed; empty without any."""
        return tuple(np.exp(self.minima.c[[0, -1]]).tolist()) if len(self.minima.c) else ()

    def __str__(self) -> str:
        return envelope_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: where the optimum is bracketed, N*(C) and D*(C), and the warnings."""
        return {
            "bracketed": list(self.used) or None,
            "left_out": [{"flops": list(left.flops), "reason": left.reason} for left in self.left_out],
            "params": None if self.params is None else self.params.to_dict(),
            "tokens": None if self.tokens is None else self.tokens.to_dict(),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per compute at which the optimum is bracketed: FLOPs, the best size, the loss there."""
        minima = self.minima
        return pd.DataFrame({"flops": np.exp(minima.c), "params": np.exp(minima.n), "loss": minima.loss})


def envelope(points: RunArrays, resamples: int = 200, seed: int = 0) -> Envelope:
    """Finds the best size over FLOPs, and power laws through it.

    Args:
        points: the runs; rows that share a trunk may be points along its training curve.
        resamples: of whole trunks, for the intervals.
        seed: of the resampling.
    """
    smooth = _smoothed(points)
    curves = _curves(smooth)
    grid = np.linspace(points.inputs.c.min(), points.inputs.c.max(), _GRID)
    found = _lowest(curves, grid)
    inside = found.reason == ""
    minima = Minima(grid[inside], found.n[inside], np.exp(found.log_loss[inside]), found.curvature[inside])
    left_out = _left_out(grid, found.reason)
    warnings = [left.warning for left in left_out]
    compared = np.isfinite(found.log_loss)
    lowest = (tuple(curves), grid[compared], np.exp(found.log_loss[compared]), minima, left_out)
    steps = len(np.unique(found.best[inside]))
    if steps < 2:
        return Envelope(*lowest, None, None, tuple(warnings))
    if steps == 2:
        warnings.append(
            Diagnostic(
                "few-runs", "only two sizes are ever the best: whether the best size is a power law cannot be told"
            )
        )
    pivot = float(minima.c.mean())
    line = _lines(points, minima.c, minima.n, pivot)
    rng = np.random.default_rng(seed)
    trunks, trunk = int(points.cluster.max()) + 1, smooth["trunk"].to_numpy()
    draws = []
    for _ in range(resamples):
        again = _lowest(_curves(smooth[np.isin(trunk, rng.integers(trunks, size=trunks))]), grid)
        kept = again.reason == ""
        if len(np.unique(again.best[kept])) > 1:
            draws.append(_lines(points, grid[kept], again.n[kept], pivot))
    spread = np.zeros((0, 2, 2))
    if 2 * len(draws) > resamples:
        # A resample has fewer sizes to compare: its shift is a bias, and only its scatter shows the noise. That scatter
        # comes from few runs: hence Student's t.
        freedom = max(sum(curves[i].trunks for i in np.unique(found.best[inside])) - 2, 1)
        student = np.sqrt(freedom / rng.chisquare(freedom, len(draws)))
        spread = line + (np.array(draws) - np.median(draws, axis=0)) * student[:, None, None]
    params, tokens = (FrontierLaw(pivot, line[i], spread[:, i]) for i in range(2))
    return Envelope(*lowest, params, tokens, tuple(warnings))


def _smoothed(points: RunArrays) -> pd.DataFrame:
    """Rows of ``size trunk n c loss`` in increasing c: means over seeds, and over neighbours in a run."""
    rows = pd.DataFrame(
        {
            "size": clusters(points.inputs.n, _SAME_SIZE),
            "trunk": points.cluster,
            "cell": points.cell,
            "n": points.inputs.n,
            "c": points.inputs.c,
            "loss": points.log_loss,
        }
    )
    cells = rows.groupby(["size", "cell"], sort=False).agg({"trunk": "first", "n": "mean", "c": "mean", "loss": "mean"})
    bins = np.floor(cells["c"] / _BIN).rename("bin")
    return cells.groupby(["size", "trunk", bins])[["n", "c", "loss"]].mean().reset_index().sort_values("c")


def _curves(smooth: pd.DataFrame) -> list[SizeCurve]:
    """One decreasing curve for each size with runs at two or more FLOPs: the lowest loss so far."""
    size, trunk, n, c, loss = (smooth[name].to_numpy() for name in ("size", "trunk", "n", "c", "loss"))
    curves = []
    for number in np.unique(size):
        here = size == number
        lowest = np.minimum.accumulate(loss[here])
        falling = np.concatenate([[True], (lowest[1:] < lowest[:-1]) & (np.diff(c[here]) > 0)])
        if falling.sum() > 1:
            trunks = len(np.unique(trunk[here][falling]))
            curves.append(SizeCurve(float(n[here].mean()), c[here][falling], loss[here][falling], trunks))
    return curves


@dataclass(frozen=True)
class _Lowest:
    """The lowest curve at each point of a grid, and the optimum by the parabola there.

    Attributes:
        best: number of the lowest curve.
        n: log parameters of the optimum.
        log_loss: at the optimum.
        curvature: of log loss over log parameters at the optimum.
        reason: why the optimum is not bracketed; empty where it is.
    """

    best: Int[np.ndarray, " grid"]
    n: Float[np.ndarray, " grid"]
    log_loss: Float[np.ndarray, " grid"]
    curvature: Float[np.ndarray, " grid"]
    reason: np.ndarray


def _lowest(curves: list[SizeCurve], grid: Float[np.ndarray, " grid"]) -> _Lowest:
    nowhere = np.full(len(grid), np.nan)
    if len(curves) < 3:
        return _Lowest(np.zeros(len(grid), np.int64), nowhere, nowhere, nowhere, np.full(len(grid), _FEW))
    losses = np.stack([curve.at(grid) for curve in curves])
    there = np.isfinite(losses)
    n, at, last = np.array([curve.n for curve in curves]), np.arange(len(grid)), len(curves) - 1
    best = np.argmin(losses, axis=0)
    left, right = np.argmax(there, axis=0), last - np.argmax(there[::-1], axis=0)
    few = there.sum(axis=0) < 3
    reason = np.where(few, _FEW, np.where(left == best, _SMALLEST, np.where(right == best, _LARGEST, "")))
    for i in range(len(curves)):
        left = np.where(there[i] & (n[i] <= n[best] - _MIN_DISTANCE), i, left)
        right = np.where(there[last - i] & (n[last - i] >= n[best] + _MIN_DISTANCE), last - i, right)
    (x1, x2, x3), (y1, y2, y3) = (n[[left, best, right]], losses[[left, best, right], at])
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = (y2 - y1) / (x2 - x1)
        k = ((y3 - y2) / (x3 - x2) - rise) / (x3 - x1)
        vertex = (x1 + x2) / 2 - rise / (2 * k)
        reason = np.where((reason == "") & ~(k > 0), _FLAT, reason)
        lowest = np.where(reason == "", y2 - k * (vertex - x2) ** 2, y2)
    return _Lowest(best, vertex, np.where(few, np.nan, lowest), k, reason)


def _left_out(grid: Float[np.ndarray, " grid"], reason: np.ndarray) -> tuple[LeftOut, ...]:
    """The ranges of the grid that share a reason."""
    starts = np.flatnonzero(np.concatenate([[True], reason[1:] != reason[:-1]]))
    ends = np.append(starts[1:], len(grid)) - 1
    return tuple(
        LeftOut((float(np.exp(grid[a])), float(np.exp(grid[b]))), str(reason[a]))
        for a, b in zip(starts, ends, strict=True)
        if reason[a]
    )


def _lines(
    points: RunArrays, c: Float[np.ndarray, " minima"], n: Float[np.ndarray, " minima"], pivot: float
) -> Float[np.ndarray, "2 2"]:
    """(level at the pivot, slope) of log N* and of log D*."""
    d = c - n - np.log(training_cost(points.inputs, n))
    design = np.stack([np.ones_like(c), c - pivot], axis=1)
    return np.stack([least_squares(design, value).theta for value in (n, d)])

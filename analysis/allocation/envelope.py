"""Approach 1 (2203.15556, section 3.1): which size has the lowest loss at each compute, and how it grows.

The runs of one size, endpoints or points along training curves, make a curve of loss over FLOPs. At each of a grid of
FLOPs the lowest of these curves tells the best size; the parabola through it and a neighbour on either side places the
optimum between sizes. FLOPs at which the smallest or the largest size is the best are left out: it may lie beyond.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.interpolate import PchipInterpolator

from analysis.allocation.frontier import FrontierLaw, LeftOut, Minima
from analysis.diagnostics.codes import Diagnostic
from analysis.runs.arrays import RunArrays, training_cost

_GRID = 200
_SAME_SIZE = 0.03  # sizes digitised from a figure differ by a few percent
_APART = 0.35  # of log parameters: nearer neighbours of the best size bend by less than their noise
_FEW = "fewer than three sizes were trained there"
_FLAT = "the best size and its neighbours lose the same"
_SMALLEST = "the smallest size trained there is the best, so the optimum is not bracketed"
_LARGEST = "the largest size trained there is the best, so the optimum is not bracketed"
_BIN = 0.05  # of log FLOPs: points of one run this close are averaged, as training losses are noisy


@dataclass(frozen=True)
class SizeCurve:
    """The runs of one size: log loss over log FLOPs.

    Attributes:
        n: log parameters.
        c: log FLOPs, rising.
        log_loss: of nats per token, falling.
        trunks: how many independent runs it is made of.
    """

    n: float
    c: Float[np.ndarray, " points"]
    log_loss: Float[np.ndarray, " points"]
    trunks: int

    def at(self, c: Float[np.ndarray, " grid"]) -> Float[np.ndarray, " grid"]:
        """Log loss at log FLOPs, by monotone cubics; infinite where no run has been."""
        return np.nan_to_num(PchipInterpolator(self.c, self.log_loss, extrapolate=False)(c), nan=np.inf)


@dataclass(frozen=True)
class Envelope:
    """Approach 1 on a table.

    Attributes:
        curves: one for each size that was trained at two computes at least, from the smallest.
        c: log FLOPs of the grid, where three sizes or more can be compared.
        loss: the lowest loss there, nats per token.
        minima: the optimum at those points of the grid where it is bracketed.
        left_out: the others.
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
        """The lowest and the highest FLOPs where the optimum is bracketed, if there are any."""
        return tuple(np.exp(self.minima.c[[0, -1]]).tolist()) if len(self.minima.c) else ()


def envelope(points: RunArrays, resamples: int = 200, seed: int = 0) -> Envelope:
    """Finds the best size over compute, and power laws through it.

    Args:
        points: the runs; rows that share a trunk may be points along its training curve.
        resamples: of whole trunks, for the intervals.
        seed: of the resampling.
    """
    smooth = _smoothed(points)
    curves = _curves(smooth)
    grid = np.linspace(points.inputs.c.min(), points.inputs.c.max(), _GRID)
    found = _lowest(curves, grid)
    inside = found.fault == ""
    minima = Minima(grid[inside], found.n[inside], np.exp(found.log_loss[inside]), found.curvature[inside])
    left_out = _left_out(grid, found.fault)
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
        kept = again.fault == ""
        if len(np.unique(again.best[kept])) > 1:
            draws.append(_lines(points, grid[kept], again.n[kept], pivot))
    spread = np.zeros((0, 2, 2))
    if 2 * len(draws) > resamples:
        # A resample has fewer sizes and computes to compare; only its scatter, not its shift, tells of the noise. It
        # tells of it by few runs: hence Student's t.
        freedom = max(sum(curves[i].trunks for i in np.unique(found.best[inside])) - 2, 1)
        student = np.sqrt(freedom / rng.chisquare(freedom, len(draws)))
        spread = line + (np.array(draws) - np.median(draws, axis=0)) * student[:, None, None]
    params, tokens = (FrontierLaw(pivot, line[i], spread[:, i]) for i in range(2))
    return Envelope(*lowest, params, tokens, tuple(warnings))


def _smoothed(points: RunArrays) -> pd.DataFrame:
    """Rows of ``size trunk n c loss`` in rising c: means over seeds, and over neighbours in a run."""
    rows = pd.DataFrame(
        {
            "size": _grouped(points.inputs.n),
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
    """One falling curve for each size that was trained at two computes: the lowest loss so far."""
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


def _grouped(n: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The number of each row's size, from the smallest."""
    order = np.argsort(n, kind="stable")
    numbers, number, first = np.zeros(len(n), np.int64), -1, -np.inf
    for row in order:
        if n[row] > first + _SAME_SIZE:
            number, first = number + 1, float(n[row])
        numbers[row] = number
    return numbers


@dataclass(frozen=True)
class _Lowest:
    """The lowest curve at each point of a grid: which, the optimum by the parabola there, and why not."""

    best: Int[np.ndarray, " grid"]
    n: Float[np.ndarray, " grid"]
    log_loss: Float[np.ndarray, " grid"]
    curvature: Float[np.ndarray, " grid"]
    fault: np.ndarray


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
    fault = np.where(few, _FEW, np.where(left == best, _SMALLEST, np.where(right == best, _LARGEST, "")))
    for i in range(len(curves)):
        left = np.where(there[i] & (n[i] <= n[best] - _APART), i, left)
        right = np.where(there[last - i] & (n[last - i] >= n[best] + _APART), last - i, right)
    (x1, x2, x3), (y1, y2, y3) = (n[[left, best, right]], losses[[left, best, right], at])
    with np.errstate(invalid="ignore", divide="ignore"):
        rise = (y2 - y1) / (x2 - x1)
        k = ((y3 - y2) / (x3 - x2) - rise) / (x3 - x1)
        vertex = (x1 + x2) / 2 - rise / (2 * k)
        fault = np.where((fault == "") & ~(k > 0), _FLAT, fault)
        lowest = np.where(fault == "", y2 - k * (vertex - x2) ** 2, y2)
    return _Lowest(best, vertex, np.where(few, np.nan, lowest), k, fault)


def _left_out(grid: Float[np.ndarray, " grid"], fault: np.ndarray) -> tuple[LeftOut, ...]:
    """The stretches of the grid that share a fault."""
    starts = np.flatnonzero(np.concatenate([[True], fault[1:] != fault[:-1]]))
    ends = np.append(starts[1:], len(grid)) - 1
    return tuple(
        LeftOut((float(np.exp(grid[a])), float(np.exp(grid[b]))), str(fault[a]))
        for a, b in zip(starts, ends, strict=True)
        if fault[a]
    )


def _lines(
    points: RunArrays, c: Float[np.ndarray, " minima"], n: Float[np.ndarray, " minima"], pivot: float
) -> Float[np.ndarray, "2 2"]:
    """(level at the pivot, slope) of log N* and of log D*."""
    d = c - n - np.log(training_cost(points.inputs, n))
    return np.stack([np.polyfit(c - pivot, value, 1)[::-1] for value in (n, d)])

"""Whether a recipe's learning rate is the best one at both ends of a sweep, and how its drift biases a forecast.

Each of a few cells, a size trained to a length, has runs at learning rates around the recipe's. With x the log of the
best rate over the recipe's and h the curvature of the log loss, the recipe loses e = h x^2 / 2 there. If x drifts
linearly in log FLOPs with slope s between the smallest size 1 and the largest 2, e grows as a parabola, while a law
fitted to the runs between the two extrapolates a line. The target t then loses more than its forecast by about

    bias = h s^2 (c_t - c_1) (c_t - c_2) / 2,    c = log FLOPs,

the height of the parabola above the line through its values at both cells.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.result import Result
from analysis.stats import pooled_std
from analysis.tuning.response_surface import ResponseSurface, fit_response_surface
from analysis.tuning.text import check_text

# Excess loss over the best rate, beyond two standard errors, at which a recipe counts as off.
TOLERANCE = 0.007
# Bias of the forecast that matters: the error of the best forecasts.
MATERIAL = 0.01
# Two sizes nearer in FLOPs than this factor do not show where a drift would lead.
_MIN_SPAN = 3.0


@dataclass(frozen=True)
class CheckedCell:
    """The verdict on a recipe at one size and length.

    Attributes:
        params: of the model.
        tokens: trained on.
        flops: of one run.
        lr: the recipe's learning rate.
        best: (low, value, high) of the log of the best rate over the recipe's, low and high two standard errors to
            either side. Where the best lies beyond the rates tried, value is None and one end is infinite.
        loss: excess loss of the recipe over the best rate, as a fraction; over the best rate tried where the best lies
            beyond those; None if it is not known.
        loss_stderr: standard error of ``loss``; None where no degree of freedom is left to estimate the noise.
        runs: how many were trained.
        diverged: rates that diverged as multiples of the recipe's, from the lowest.
    """

    params: float
    tokens: float
    flops: float
    lr: float
    best: tuple[float, float | None, float]
    loss: float | None
    loss_stderr: float | None
    runs: int
    diverged: tuple[float, ...]

    @property
    def bracketed(self) -> bool:
        """Whether the best rate lies among those tried."""
        return self.best[1] is not None

    def to_dict(self) -> dict[str, Any]:
        """A cell in the JSON object of ``scaling recipe check``; the best rate as a multiple of the recipe's."""
        low, value, high = self.best
        return {
            "params": self.params,
            "tokens": self.tokens,
            "flops": self.flops,
            "lr": self.lr,
            "best": None if value is None else math.exp(value),
            "best_interval": [_times(low), _times(high)],
            "loss": self.loss,
            "loss_stderr": self.loss_stderr,
            "bracketed": self.bracketed,
            "runs": self.runs,
            "diverged": list(self.diverged),
        }


@dataclass(frozen=True)
class RecipeCheck(Result):
    """The verdict on a recipe over a sweep.

    Attributes:
        cells: from the smallest size.
        drift: change of ``CheckedCell.best`` from the first cell to the last: (low, value, high).
        bias: fraction by which the target's loss will exceed its forecast because of the drift, a lower bound if the
            drift has no value; None where it is not known.
        target_flops: of the run to forecast, or None.
        warnings: ``recipe-off``, ``recipe-drift``, ``not-bracketed``, ``diverged-rows``; none if the recipe holds.
    """

    cells: tuple[CheckedCell, ...]
    drift: tuple[float, float | None, float]
    bias: float | None
    target_flops: float | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return check_text(self)

    def to_frame(self) -> pd.DataFrame:
        """One row per size that was checked."""
        return pd.DataFrame([cell.to_dict() for cell in self.cells])

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling recipe check``; the drift as a factor."""
        low, value, high = self.drift
        return {
            "ok": not self.warnings,
            "cells": [cell.to_dict() for cell in self.cells],
            "drift": None if value is None else math.exp(value),
            "drift_interval": [_times(low), _times(high)],
            "bias": self.bias,
            "target_flops": self.target_flops,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


def _times(log: float) -> float | None:
    """A factor from its log; None for an open end."""
    return math.exp(log) if math.isfinite(log) else None


def check_recipe(rows: pd.DataFrame, target_flops: float | None) -> RecipeCheck:
    """Judges a recipe by runs around it.

    Args:
        rows: of a table of runs: ``params tokens flops lr seed status loss``, and ``usual_lr``, the recipe's own
            rate at that size and length, which must be among those tried. Runs of one seed are paired.
        target_flops: of the run to forecast, if any.

    Raises:
        InputError: if there are fewer than two sizes or lengths.
    """
    tried = [_Tried.of(part) for _, part in rows.groupby(["params", "tokens"])]
    if len(tried) < 2:
        raise InputError("a recipe is checked at two sizes at least; all runs have the same")
    surfaces = [surface for each in tried if (surface := each.surface) is not None]
    freedom = sum(surface.freedom for surface in surfaces)
    noise = pooled_std([surface.noise or 0.0 for surface in surfaces], [surface.freedom for surface in surfaces])
    cells = tuple(each.cell(noise, freedom) for each in tried)
    first, last = cells[0], cells[-1]
    drift = _drift(first, last)
    curved = [float(surface.curvature[0, 0]) for surface in surfaces if surface.has_minimum]
    bias = None
    if target_flops is not None and curved and last.flops > _MIN_SPAN * first.flops:
        low, value, high = drift
        least = value if value is not None else max(low, 0.0) + min(high, 0.0)
        slope = least / math.log(last.flops / first.flops)
        beyond = math.log(target_flops / first.flops) * math.log(target_flops / last.flops)
        bias = float(np.mean(curved)) * slope**2 * beyond / 2
    return RecipeCheck(cells, drift, bias, target_flops, tuple(_warnings(cells, drift, bias)))


def _drift(first: CheckedCell, last: CheckedCell) -> tuple[float, float | None, float]:
    (low1, value1, high1), (low2, value2, high2) = first.best, last.best
    if value1 is None or value2 is None:
        return low2 - high1, None, high2 - low1
    drift, away = value2 - value1, math.hypot(high1 - value1, high2 - value2)
    return drift - away, drift, drift + away


@dataclass(frozen=True)
class _Tried:
    """The runs of one cell.

    Attributes:
        rows: all of them.
        x: log of the rate over the recipe's, of each finished run.
        log_loss: of each finished run.
        seed: number of the seed of each finished run.
        surface: the parabola through the finished runs; None if they have fewer than three rates.
    """

    rows: pd.DataFrame
    x: Float[np.ndarray, " rows"]
    log_loss: Float[np.ndarray, " rows"]
    seed: Int[np.ndarray, " rows"]
    surface: ResponseSurface | None

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "_Tried":
        done = rows[rows["status"] == "done"]
        x = np.log((done["lr"] / done["usual_lr"]).to_numpy(np.float64)).round(3)
        seed = np.unique(done["seed"].to_numpy(), return_inverse=True)[1]
        log_loss = np.log(done["loss"].to_numpy(np.float64))
        surface = fit_response_surface(x[:, None], log_loss, seed) if len(np.unique(x)) >= 3 else None
        return cls(rows, x, log_loss, seed, surface)

    def cell(self, noise: float | None, freedom: int) -> CheckedCell:
        """The verdict on this cell, with the noise pooled over cells and its degrees of freedom."""
        row = self.rows.iloc[0]
        lost = self.rows.loc[self.rows["status"] == "diverged"]
        diverged = np.unique((lost["lr"] / row["usual_lr"]).to_numpy(np.float64).round(3))
        best, loss, error = self._judged(noise, freedom, math.log(diverged[0]) if len(diverged) else math.inf)
        return CheckedCell(
            params=float(row["params"]),
            tokens=float(row["tokens"]),
            flops=float(self.rows["flops"].mean()),
            lr=float(row["usual_lr"]),
            best=best,
            loss=loss,
            loss_stderr=error,
            runs=len(self.rows),
            diverged=tuple(diverged.tolist()),
        )

    def _judged(
        self, noise: float | None, freedom: int, lost: float
    ) -> tuple[tuple[float, float | None, float], float | None, float | None]:
        """``best``, ``loss`` and ``loss_stderr`` of the cell; ``lost`` is the log of the lowest diverged rate."""
        if not len(self.x):
            return (-math.inf, None, lost), None, None
        rates = np.unique(self.x)
        means = [float(self.log_loss[self.x == rate].mean()) for rate in rates]
        lowest = int(np.argmin(means))
        if self.surface is not None and self.surface.has_minimum:
            surface = self.surface if noise is None else self.surface.with_noise(noise, freedom)
            (best,) = surface.optimum.tolist()
            if rates[0] < best < (rates[-1] if math.isinf(lost) else lost):
                away = math.inf if surface.covariance is None else 2 * math.sqrt(float(surface.covariance[0, 0]))
                return (best - away, best, best + away), *surface.excess(np.zeros(1))
            end = (-math.inf, None, float(rates[0])) if best <= rates[0] else (float(rates[-1]), None, lost)
        else:  # no parabola: the best lies between the neighbours of the best one tried
            above = float(rates[lowest + 1]) if lowest + 1 < len(rates) else lost
            end = (float(rates[lowest - 1]) if lowest else -math.inf, None, above)
        if 0 not in rates:
            return end, None, None
        usual, least = (
            pd.Series(self.log_loss[self.x == x]).groupby(self.seed[self.x == x]).mean() for x in (0, rates[lowest])
        )
        error = None if noise is None else noise * math.sqrt(2 / len(usual)) if rates[lowest] else 0.0
        return end, float((usual - least).mean()), error


def _warnings(
    cells: Sequence[CheckedCell], drift: tuple[float, float | None, float], bias: float | None
) -> Iterator[Diagnostic]:
    for cell in cells:
        yield from _cell_warnings(cell, f"at {cell.params:.3g} parameters and {cell.tokens:.3g} tokens")
    low, value, high = drift
    if (low > 0 or high < 0) and (value is None or bias is None or bias > MATERIAL):
        moved = f"by a factor of {math.exp(value):.2g}" if value is not None else _at_least(low, high)
        harm = "" if bias is None else f": expect the target's loss {bias:.1%} above its forecast"
        harm += ", or more" if bias is not None and value is None else ""
        yield Diagnostic(
            "recipe-drift", f"from the first size to the last the best rate moves {moved} against the recipe's{harm}"
        )


def _at_least(low: float, high: float) -> str:
    return f"up by {math.exp(low):.2g} times or more" if low > 0 else f"down to {math.exp(high):.2g} times or less"


def _cell_warnings(cell: CheckedCell, where: str) -> Iterator[Diagnostic]:
    low, value, high = cell.best
    if cell.diverged:
        rates = " and ".join(f"{times:.3g}" for times in cell.diverged)
        near = "; the recipe itself diverges" if min(cell.diverged) <= 1 else ""
        yield Diagnostic("diverged-rows", f"{where} runs at {rates} times the recipe's rate diverged{near}")
    if cell.loss is not None and cell.loss_stderr is not None and cell.loss - 2 * cell.loss_stderr > TOLERANCE:
        least = "" if value is not None else "at least "
        best = (
            f", which is {math.exp(value):.2g} times as high"
            if value is not None
            else " one tried; the best of all: " + _beyond(low, high)
        )
        lost = f"{least}{cell.loss:.1%} +- {cell.loss_stderr:.1%}"
        yield Diagnostic(
            "recipe-off",
            f"{where} the rate {cell.lr:.3g} loses {lost} to the best{best}",
        )
    elif value is None:
        lost = "" if cell.loss is None else f", and the best one tried gains {cell.loss:.1%} on it"
        yield Diagnostic(
            "not-bracketed", f"{where} the best rate is not known from those tried but for: {_beyond(low, high)}{lost}"
        )


def _beyond(low: float, high: float) -> str:
    """Where a best rate without a value lies, in words."""
    ends = [f"above {math.exp(low):.2g}"] if math.isfinite(low) else []
    ends += [f"below {math.exp(high):.2g}"] if math.isfinite(high) else []
    return f"{' and '.join(ends)} times the recipe's" if ends else "unknown"

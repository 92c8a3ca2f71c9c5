"""Whether a recipe's learning rate is the best one at both ends of a sweep, and what its drift does to a forecast.

At each of a few cells, a size trained to a length, rates around the recipe's are tried. With x the log of the best rate
over the recipe's, the recipe loses e = h x^2 / 2 of the loss there, h the curvature. If x drifts, linearly in log FLOPs
at the slope s between the first cell 1 and the last cell 2, e grows as a parabola, while a law fitted to the
runs between the two carries on as straight as it can. What the forecast then misses at the target t is about

    bias = h s^2 (c_t - c_1) (c_t - c_2) / 2,    c = log FLOPs,

the parabola above the line through its values at both cells: the target will be worse than forecast by that.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.optimum import Optimum, find_optimum
from analysis.warning import Warning

# What a recipe may lose to its best rate, beyond two standard errors, before it is said to be off.
TOLERANCE = 0.007
# A bias of the forecast that matters: what the best forecasts miss by.
MATERIAL = 0.01
_KEY = ["params", "tokens"]
_SAME = 0.01  # of log rates: one setting


@dataclass(frozen=True)
class CheckedCell:
    """One size and length.

    Attributes:
        params: of the model.
        tokens: it was trained on.
        flops: of one run.
        lr: the recipe's rate.
        log_best: log of the best rate over the recipe's.
        log_best_stderr: its standard error.
        loss: what the recipe loses to the best rate, as a fraction; at least that where not ``bracketed``.
        loss_stderr: its standard error.
        bracketed: whether the best rate lies inside those tried.
        runs: how many were trained, and
        diverged: how many of them diverged.
    """

    params: float
    tokens: float
    flops: float
    lr: float
    log_best: float
    log_best_stderr: float
    loss: float
    loss_stderr: float
    bracketed: bool
    runs: int
    diverged: int

    @property
    def best(self) -> float:
        """The best rate as a multiple of the recipe's."""
        return math.exp(self.log_best)

    @property
    def best_interval(self) -> tuple[float, float]:
        """Of ``best``: two standard errors of its log to either side."""
        away = math.exp(2 * self.log_best_stderr)
        return self.best / away, self.best * away


@dataclass(frozen=True)
class RecipeCheck:
    """The verdict on a recipe.

    Attributes:
        cells: from the cheapest.
        drift: log of the last cell's best multiple over the first's.
        drift_stderr: its standard error.
        bias: by what fraction the target's loss will exceed its forecast because of the drift.
        target_flops: of the run that is to be forecast; None if there is none, and so no bias.
        warnings: ``recipe-off``, ``recipe-drift``, ``not-bracketed`` and ``diverged-rows``; none if the recipe holds.
    """

    cells: tuple[CheckedCell, ...]
    drift: float
    drift_stderr: float
    bias: float | None
    target_flops: float | None
    warnings: tuple[Warning, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling recipe check``."""
        return {
            "ok": not self.warnings,
            "cells": [
                {
                    "params": cell.params,
                    "tokens": cell.tokens,
                    "flops": cell.flops,
                    "lr": cell.lr,
                    "best": cell.best,
                    "best_interval": list(cell.best_interval),
                    "loss": cell.loss,
                    "loss_stderr": cell.loss_stderr,
                    "bracketed": cell.bracketed,
                    "runs": cell.runs,
                    "diverged": cell.diverged,
                }
                for cell in self.cells
            ],
            "drift": self.drift,
            "drift_stderr": self.drift_stderr,
            "bias": self.bias,
            "target_flops": self.target_flops,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }


def check_recipe(rows: pd.DataFrame, target_flops: float | None) -> RecipeCheck:
    """Judges a recipe by runs around it.

    Args:
        rows: of a table of runs: ``params tokens flops lr seed status loss``, and ``usual_lr``, the recipe's own
            rate at that size and length, which must be among those tried. Runs of one seed are paired.
        target_flops: of the run that is to be forecast, if any.

    Raises:
        InputError: if there are fewer than two sizes or lengths, or fewer than three rates at one that did not diverge.
    """
    parts = [part for _, part in sorted(rows.groupby(_KEY), key=lambda item: item[1]["flops"].mean())]
    if len(parts) < 2:
        raise InputError("a recipe is checked at two sizes at least; all runs have the same")
    surfaces = [_surface(part) for part in parts]
    freedom = sum(s.freedom for s in surfaces)
    if freedom == 0:
        raise InputError("no run to spare tells how far the losses scatter; try another seed at one size")
    noise = math.sqrt(sum((s.noise or 0.0) ** 2 * s.freedom for s in surfaces) / freedom)
    surfaces = [surface.with_noise(noise, freedom) for surface in surfaces]
    cells = tuple(_cell(part, surface, noise) for part, surface in zip(parts, surfaces, strict=True))
    first, last = cells[0], cells[-1]
    drift = last.log_best - first.log_best
    error = math.hypot(first.log_best_stderr, last.log_best_stderr)
    curved = [float(surface.curvature[0, 0]) for surface in surfaces if surface.minimum]
    bias = None
    if target_flops is not None and curved:
        slope = drift / math.log(last.flops / first.flops)
        beyond = math.log(target_flops / first.flops) * math.log(target_flops / last.flops)
        bias = float(np.mean(curved)) * slope**2 * beyond / 2
    return RecipeCheck(cells, drift, error, bias, target_flops, tuple(_warnings(cells, drift, error, bias)))


def _surface(part: pd.DataFrame) -> Optimum:
    x, log_loss, seed = _arrays(part)
    return find_optimum(x[:, None], log_loss, seed)


def _arrays(
    part: pd.DataFrame,
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"], Int[np.ndarray, " rows"]]:
    """Of the runs that ended well: log of the rate over the recipe's, log loss, and the seed's number."""
    done = part[part["status"] == "done"]
    x = np.log((done["lr"] / done["usual_lr"]).to_numpy(np.float64))
    seed = np.unique(done["seed"].to_numpy(), return_inverse=True)[1]
    return x, np.log(done["loss"].to_numpy(np.float64)), seed


def _cell(part: pd.DataFrame, surface: Optimum, noise: float) -> CheckedCell:
    x, log_loss, seed = _arrays(part)
    farthest = float(np.abs(x).max())
    (least,) = surface.at.tolist()
    if surface.minimum and abs(least) <= 2 * farthest:
        best = least
        error = float(np.sqrt(surface.covariance[0, 0])) if surface.covariance is not None else 0.0
        loss, loss_error = surface.excess(np.zeros(1))
    else:  # no basin in sight: the best rate lies somewhere beyond the end of those tried
        best, error = 2 * float(surface.best[0]), farthest
        loss, loss_error = _gained(float(surface.best[0]), x, log_loss, seed), noise * math.sqrt(2 / (seed.max() + 1))
    row = part.iloc[0]
    # Rates that diverged bracket the best from above as well as losses do.
    lost = part.loc[part["status"] == "diverged", "lr"].min() / row["usual_lr"]
    fell = x.min() + _SAME < float(surface.best[0]) < math.log(lost) and best < math.log(lost)
    return CheckedCell(
        params=float(row["params"]),
        tokens=float(row["tokens"]),
        flops=float(part["flops"].mean()),
        lr=float(row["usual_lr"]),
        log_best=best,
        log_best_stderr=error,
        loss=loss,
        loss_stderr=loss_error or 0.0,
        bracketed=bool(surface.bracketed[0] or fell),
        runs=len(part),
        diverged=int((part["status"] == "diverged").sum()),
    )


def _gained(
    best: float,
    x: Float[np.ndarray, " rows"],
    log_loss: Float[np.ndarray, " rows"],
    seed: Int[np.ndarray, " rows"],
) -> float:
    """Mean over seeds of what the recipe's rate, x = 0, loses to the best one tried."""
    usual, least = np.abs(x) < _SAME, np.abs(x - best) < _SAME
    at_usual, at_least = (pd.Series(log_loss[rows]).groupby(seed[rows]).mean() for rows in (usual, least))
    return float((at_usual - at_least).mean())


def _warnings(cells: Sequence[CheckedCell], drift: float, error: float, bias: float | None) -> Iterator[Warning]:
    for cell in cells:
        where = f"{cell.params:.3g} parameters and {cell.tokens:.3g} tokens"
        if cell.diverged:
            yield Warning("diverged-rows", f"at {where} {cell.diverged} of {cell.runs} runs diverged")
        if cell.loss - 2 * cell.loss_stderr > TOLERANCE:
            least = "" if cell.bracketed else "at least "
            beyond = "" if cell.bracketed else ", beyond the rates tried"
            yield Warning(
                "recipe-off",
                f"at {where} the rate {cell.lr:.3g} loses {least}{cell.loss:.1%} +- {cell.loss_stderr:.1%} to the "
                f"best, which is {cell.best:.2g} times as high{beyond}",
            )
        elif not cell.bracketed:
            yield Warning(
                "not-bracketed",
                f"at {where} the best rate is not among those tried but beyond {'twice' if cell.best > 1 else 'half'} "
                "the recipe's, and how much the recipe loses is not known",
            )
    if abs(drift) > 2 * error and (bias is None or bias > MATERIAL):
        harm = "" if bias is None else f": expect the target's loss {bias:.1%} above its forecast"
        yield Warning(
            "recipe-drift",
            f"from the first size to the last the best rate moves by a factor of {math.exp(drift):.2g} against the "
            f"recipe's (two standard errors: a factor of {math.exp(2 * error):.2g}){harm}",
        )

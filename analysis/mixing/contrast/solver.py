"""The solver: many fits of one shape at once, each with losses, weights and beliefs of its own.

Each member of a batch minimises, over its parameters theta and one level for each cell of size and length,

    F = sum_r w_r rho(e_r / s) + sum_p ((theta_p - mean_p) / sd_p)^2

where e is the residual of the log loss, s the scatter of the runs and rho Huber's function. Levels are linear: at any
theta they are the weighted means of what the shape leaves, so that only theta is searched, by Levenberg and
Marquardt's damped steps on residuals from which each cell's mean is taken (variable projection).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.mixing.contrast.shapes import Points, Shape

_ITERATIONS = 60
_ENOUGH = 1e-5  # a gain of this share of the objective is none
_HUBER = 2.5  # scatters beyond which a residual counts linearly
_LONGEST = 2.0  # step of any parameter
_AT_ONCE = 4_000_000  # derivatives held in memory


@dataclass(frozen=True)
class Cells:
    """Runs sorted by their cell.

    Attributes:
        starts: the first run of each cell.
        of: the cell of each run.
    """

    starts: Int[np.ndarray, " cells"]
    of: Int[np.ndarray, " runs"]

    @classmethod
    def sorted(cls, cells: Int[np.ndarray, " runs"]) -> "Cells":
        """Of cells in ascending order."""
        _, starts, of = np.unique(cells, return_index=True, return_inverse=True)
        return cls(starts, of.reshape(-1))

    def means(
        self, values: Float[np.ndarray, "batch runs *rest"], weights: Float[np.ndarray, "batch runs"]
    ) -> Float[np.ndarray, "batch cells *rest"]:
        """Weighted means in each cell."""
        shaped = weights if values.ndim == 2 else weights[..., None]
        sums = np.add.reduceat(shaped * values, self.starts, axis=1)
        total = np.maximum(np.add.reduceat(weights, self.starts, axis=1), 1e-300)
        return sums / (total if values.ndim == 2 else total[..., None])


@dataclass(frozen=True)
class Problem:
    """What is fitted: a batch of members on the same runs.

    Attributes:
        shape: the form.
        points: the runs, sorted by cell.
        cells: of the runs.
        log_losses: of each member.
        weights: of the runs in each member.
        mean: beliefs in the parameters, log s and the exponent q last.
        sd: their standard deviations.
        scatter: of the residuals, of each member.
    """

    shape: Shape
    points: Points
    cells: Cells
    log_losses: Float[np.ndarray, "batch runs"]
    weights: Float[np.ndarray, "batch runs"]
    mean: Float[np.ndarray, "batch params"]
    sd: Float[np.ndarray, " params"]
    scatter: Float[np.ndarray, " batch"]

    def take(self, members: slice | Bool[np.ndarray, " batch"] | Int[np.ndarray, " some"]) -> "Problem":
        """Some members of the batch."""
        return Problem(
            self.shape,
            self.points,
            self.cells,
            self.log_losses[members],
            self.weights[members],
            self.mean[members],
            self.sd,
            self.scatter[members],
        )


def grown(
    shape: Shape, theta: Float[np.ndarray, "batch params"], points: Points
) -> tuple[Float[np.ndarray, "batch runs"], Float[np.ndarray, "batch runs params"]]:
    """A shape times its growth with compute, and what repetition costs; the derivatives by the parameters.

    The last two are log s and q.
    """
    value, partials = shape.function(theta[:, :-2], points)
    growth = np.exp(np.clip(theta[:, -1:] * points.c, -20, 20))
    total, cost = growth * value, np.exp(theta[:, -2:-1]) * points.waste
    last = np.stack([cost, points.c * total], axis=-1)
    return total + cost, np.concatenate([growth[..., None] * partials, last], axis=-1)


def residuals(
    problem: Problem, theta: Float[np.ndarray, "batch params"]
) -> tuple[Float[np.ndarray, "batch runs"], Float[np.ndarray, "batch runs params"]]:
    """Residuals of every run's log loss from the best levels, and their derivatives."""
    value, partials = grown(problem.shape, theta, problem.points)
    left = problem.log_losses - value
    levels = problem.cells.means(left, problem.weights)[:, problem.cells.of]
    slopes = problem.cells.means(partials, problem.weights)[:, problem.cells.of]
    return left - levels, slopes - partials


def minimise(
    problem: Problem, start: Float[np.ndarray, "batch params"], iterations: int = _ITERATIONS
) -> tuple[Float[np.ndarray, "batch params"], Float[np.ndarray, " batch"]]:
    """The best parameters of each member, and its objective there."""
    size = max(1, _AT_ONCE // (problem.log_losses.shape[1] * start.shape[1]))
    parts = [
        _minimise(problem.take(slice(i, i + size)), start[i : i + size], iterations)
        for i in range(0, max(1, len(start)), size)
    ]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _minimise(
    problem: Problem, start: Float[np.ndarray, "batch params"], iterations: int
) -> tuple[Float[np.ndarray, "batch params"], Float[np.ndarray, " batch"]]:
    theta, damping = start.copy(), np.full(len(start), 1e-2)
    objective, gradient, curvature = _derivatives(problem, theta)
    done, quiet = np.zeros(len(theta), bool), np.zeros(len(theta), int)
    for _ in range(iterations):
        live = np.flatnonzero(~done)
        if live.size == 0:
            break
        diagonal = np.einsum("bpp->bp", curvature[live])
        damped = curvature[live].copy()
        np.einsum("bpp->bp", damped)[...] += damping[live, None] * diagonal + 1e-12
        step = -np.linalg.solve(damped, gradient[live][..., None])[..., 0]
        step *= np.minimum(1.0, _LONGEST / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-300))
        trial = theta[live] + step
        value, slope, bend = _derivatives(problem.take(live), trial)
        better = value < objective[live]
        gain = np.where(better, (objective[live] - value) / np.maximum(objective[live], 1e-12), 0.0)
        win = live[better]
        theta[win], objective[win] = trial[better], value[better]
        gradient[win], curvature[win] = slope[better], bend[better]
        damping[live] = np.clip(damping[live] * np.where(better, 0.2, 5.0), 1e-9, 1e9)
        quiet[live] = np.where(better & (gain > _ENOUGH), 0, quiet[live] + better)
        done[live] = (quiet[live] >= 2) | (damping[live] > 1e6)
    return theta, objective


def _derivatives(
    problem: Problem, theta: Float[np.ndarray, "batch params"]
) -> tuple[Float[np.ndarray, " batch"], Float[np.ndarray, "batch params"], Float[np.ndarray, "batch params params"]]:
    """The objective with its gradient and Gauss and Newton's curvature, each halved."""
    found, partials = residuals(problem, theta)
    unit = found / problem.scatter[:, None]
    size = np.abs(unit)
    rho = np.where(size <= _HUBER, unit**2, _HUBER * (2 * size - _HUBER))
    counted = problem.weights * np.where(size <= _HUBER, 1.0, _HUBER / np.maximum(size, 1e-300))
    away = (theta - problem.mean) / problem.sd
    objective = (problem.weights * rho).sum(axis=1) + (away**2).sum(axis=1)
    objective = np.where(np.isfinite(objective), objective, np.inf)
    jacobian = partials / problem.scatter[:, None, None]
    weighted = counted[..., None] * jacobian
    gradient = np.einsum("brp,br->bp", weighted, unit) + away / problem.sd
    curvature = np.swapaxes(weighted, 1, 2) @ jacobian
    np.einsum("bpp->bp", curvature)[...] += 1 / problem.sd**2
    return objective, gradient, curvature


def curvature(problem: Problem, theta: Float[np.ndarray, "batch params"]) -> Float[np.ndarray, "batch params params"]:
    """Half of the second derivative of the objective, as Gauss and Newton take it."""
    return _derivatives(problem, theta)[2]

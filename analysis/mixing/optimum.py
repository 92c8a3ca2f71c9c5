"""The mixture of the least objective among those that are allowed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import Bounds, LinearConstraint, linprog, minimize

_STEP = 1e-5
_ENOUGH = 1e-7  # of the log objective, which no direction lowers by more
_ROUNDS = 40
_MOST_ACTIVE = 24
Objective = Callable[[Float[np.ndarray, "mixtures sources"]], Float[np.ndarray, " mixtures"]]


@dataclass(frozen=True)
class Allowed:
    """The mixtures that may be chosen: those within the convex hull of some, below the sources' limits.

    Attributes:
        corners: mixtures whose hull it is.
        most: the largest share of each source.
    """

    corners: Float[np.ndarray, "corners sources"]
    most: Float[np.ndarray, " sources"]

    def extreme(self, direction: Float[np.ndarray, " sources"]) -> Float[np.ndarray, " sources"] | None:
        """The allowed mixture that goes the least in a direction; None if no mixture is allowed."""
        found = linprog(
            self.corners @ direction,
            A_ub=self.corners.T,
            b_ub=self.most,
            A_eq=np.ones((1, len(self.corners))),
            b_eq=[1.0],
            bounds=(0, None),
            method="highs",
        )
        return None if found.x is None else _cleaned(found.x @ self.corners)

    def room(self, start: Float[np.ndarray, " sources"], direction: Float[np.ndarray, " sources"]) -> float:
        """How far one may go from a mixture in a direction that keeps the sum."""
        count, k = self.corners.shape
        # Variables: the weights of the corners, and the length of the step.
        equal = np.zeros((k + 1, count + 1))
        equal[:k, :count], equal[:k, -1], equal[k, :count] = self.corners.T, -direction, 1.0
        found = linprog(
            np.r_[np.zeros(count), -1.0],
            A_ub=np.c_[np.zeros((k, count)), direction],
            b_ub=self.most - start,
            A_eq=equal,
            b_eq=np.r_[start, 1.0],
            bounds=[(0, None)] * count + [(0, 1)],
            method="highs",
        )
        return 0.0 if found.x is None else float(found.x[-1])


def least(
    objective: Objective, allowed: Allowed, start: Float[np.ndarray, " sources"]
) -> Float[np.ndarray, " sources"]:
    """The allowed mixture of the least objective.

    Frank and Wolfe's method, fully corrective: the extreme mixture in the steepest direction joins a set, over whose
    hull the objective is minimised, until no direction lowers it further.

    Args:
        objective: positive, of many mixtures at once.
        allowed: where to look.
        start: an allowed mixture.
    """
    active, best = start[None], start
    value = float(objective(best[None])[0])
    for _ in range(_ROUNDS):
        slope = _slope(objective, best) / value
        corner = allowed.extreme(slope)
        if corner is None or slope @ (best - corner) < _ENOUGH:
            break
        active = np.concatenate([active[-_MOST_ACTIVE:], best[None], corner[None]])
        trial = _within(objective, active)
        found = float(objective(trial[None])[0])
        if found > value * (1 - _ENOUGH / 10):
            break
        best, value = trial, found
    return best


def _within(objective: Objective, active: Float[np.ndarray, "active sources"]) -> Float[np.ndarray, " sources"]:
    """The mixture of the least objective in the hull of some."""

    def value(weights: np.ndarray) -> float:
        return float(np.log(objective(_cleaned(weights @ active)[None])[0]))

    def slope(weights: np.ndarray) -> np.ndarray:
        mixture = _cleaned(weights @ active)
        return np.asarray(active @ _slope(objective, mixture) / objective(mixture[None])[0])

    count = len(active)
    # From the last best one, which is the last but one of the set, a little into the hull.
    start = np.full(count, 0.02 / count)
    start[-2] += 0.98
    found = minimize(
        value,
        start,
        jac=slope,
        method="SLSQP",
        bounds=Bounds(0.0, 1.0),
        constraints=LinearConstraint(np.ones((1, count)), 1.0, 1.0),
        options={"maxiter": 100, "ftol": 1e-12},
    )
    weights = np.maximum(found.x, 0.0)
    return _cleaned(weights / weights.sum() @ active)


def _slope(objective: Objective, mixture: Float[np.ndarray, " sources"]) -> Float[np.ndarray, " sources"]:
    """The derivative by each share, by differences; a share of 0 only upwards."""
    k = len(mixture)
    up = mixture + _STEP * np.eye(k)
    down = np.maximum(mixture - _STEP * np.eye(k), 0.0)
    values = objective(np.concatenate([up, down]))
    return np.asarray((values[:k] - values[k:]) / (up - down).sum(axis=1))


def _cleaned(mixture: Float[np.ndarray, " sources"]) -> Float[np.ndarray, " sources"]:
    """Without negative shares and those of rounding, and with a sum of 1."""
    kept = np.where(mixture < 1e-9, 0.0, mixture)
    return np.asarray(kept / kept.sum())

"""The curves of approach 2: one through the runs of each FLOP budget, all of the same skew.

With u = log N - log N*, the runs of a budget near its minimum follow

    loss = m + k (u^2 + s u^3)

Under E + A / N^alpha + B / D^beta every budget has the same s = (beta - alpha) / 3, so one s is estimated from all
budgets together, with a Gaussian prior about 0, an even parabola. The fit is Gauss-Newton on (m, g, k) of
m + g u + k (u^2 + s u^3), which moves each N* until its g is 0, with Huber's weights.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.runs.arrays import RunArrays
from analysis.stats import least_squares, robust_std

_WINDOW = float(np.log(6.0))  # sizes within this factor of the minimum follow a parabola and a cubic term
_MAX_WINDOW = float(np.log(30.0))  # even where sizes are few
_MIN_SIZES = 4  # in the window, which grows to the nearest ones otherwise
_SKEW = 0.1  # prior deviation of s: published alpha and beta differ by up to 0.3
_PASSES = 25
_OUTLIER = 2.5  # standard deviations beyond which a run counts for less
LEAST_NOISE = 1e-7


@dataclass(frozen=True)
class Profile:
    """The runs of one budget, and the curve through those near its minimum. Losses are in units of their mean.

    Attributes:
        c: log FLOPs of the budget.
        n: log parameters of its runs, increasing.
        loss: of its runs, in units of ``unit``.
        spent: log FLOPs of each run, less the budget's.
        cluster: runs that share a number are correlated, within and across budgets.
        unit: the mean loss, nats per token.
        best: log N*.
        slope: d loss / d log FLOPs, which corrects each run to the budget's FLOPs.
        weights: Huber's, of its runs.
    """

    c: float
    n: Float[np.ndarray, " runs"]
    loss: Float[np.ndarray, " runs"]
    spent: Float[np.ndarray, " runs"]
    cluster: Int[np.ndarray, " runs"]
    unit: float
    best: float
    slope: float
    weights: Float[np.ndarray, " runs"]

    @classmethod
    def of(cls, points: RunArrays) -> "Profile":
        """The profile of the runs of one budget, with the minimum at the best size."""
        order = np.argsort(points.inputs.n, kind="stable")
        n, c, loss = points.inputs.n[order], points.inputs.c[order], np.exp(points.log_loss[order])
        unit, budget = float(loss.mean()), float(c.mean())
        made = cls(budget, n, loss / unit, c - budget, points.cluster[order], unit, 0.0, 0.0, np.ones(len(n)))
        return replace(made, best=float(made.sizes[np.argmin(made.mean_loss)]))

    @property
    def sizes(self) -> Float[np.ndarray, " sizes"]:
        """Distinct log parameters, increasing."""
        return np.unique(np.round(self.n, 6))

    @property
    def mean_loss(self) -> Float[np.ndarray, " sizes"]:
        """Mean loss of each size, at the budget's FLOPs."""
        _, index, count = np.unique(np.round(self.n, 6), return_inverse=True, return_counts=True)
        return np.bincount(index, self.level) / count

    @property
    def level(self) -> Float[np.ndarray, " runs"]:
        """Losses corrected to the budget's FLOPs."""
        return self.loss - self.slope * self.spent

    @property
    def near(self) -> Bool[np.ndarray, " runs"]:
        """Whether each run is in the window that the curve is fitted to."""
        nearest = np.sort(np.abs(self.sizes - self.best))[:_MIN_SIZES][-1]
        return np.abs(self.n - self.best) <= min(max(_WINDOW, nearest + 1e-5), _MAX_WINDOW)

    def theta(self, skew: float) -> Float[np.ndarray, " 3"]:
        """Coefficients (m, g, k) of the curve."""
        return self.solver(skew) @ self.level[self.near]

    def design(self, skew: float) -> Float[np.ndarray, "near 3"]:
        """Design matrix of (m, g, k): 1, u, u^2 + s u^3."""
        u = (self.n - self.best)[self.near]
        return np.stack([np.ones_like(u), u, u**2 + skew * u**3], axis=1)

    def covariance(self, skew: float) -> Float[np.ndarray, "3 3"]:
        """Covariance of (m, g, k) at a noise of 1."""
        x = self.design(skew)
        return np.linalg.pinv((x * self.weights[self.near, None]).T @ x)

    def solver(self, skew: float) -> Float[np.ndarray, "3 near"]:
        """Matrix that maps losses to (m, g, k)."""
        return self.covariance(skew) @ (self.design(skew) * self.weights[self.near, None]).T

    def residuals(self, skew: float) -> tuple[Float[np.ndarray, " near"], Float[np.ndarray, " near"]]:
        """Residuals of the losses, and one minus the leverage of each run."""
        x, solver, y = self.design(skew), self.solver(skew), self.level[self.near]
        return y - x @ (solver @ y), np.clip(1 - np.einsum("ij,ji->i", x, solver), 0.0, 1.0)

    def bend(self, skew: float) -> Float[np.ndarray, " near"]:
        """Derivative of the losses by s, orthogonal to the columns of (m, g, k)."""
        x, cubic = self.design(skew), ((self.n - self.best) ** 3)[self.near]
        return (cubic - x @ (self.solver(skew) @ cubic)) * max(float(self.theta(skew)[2]), 0.0)

    def moved(self, skew: float, noise: float, slope: float) -> "Profile":
        """The profile after one step: outliers weigh less, and the minimum moves to the vertex of the curve."""
        rest, _ = self.residuals(skew)
        weights = np.ones(len(self.n))
        weights[self.near] = np.minimum(1.0, _OUTLIER * noise / np.maximum(np.abs(rest), 1e-12))
        step = vertex(self.theta(skew)[None], np.array([skew]))[0]
        best = float(np.clip(self.best + step, self.n[0], self.n[-1])) if np.isfinite(step) else self.best
        return replace(self, weights=weights, best=best, slope=slope)

    def deviation(self, skew: float, noise: float) -> tuple[float, float]:
        """Standard errors of log N* and of k for a noise of the runs."""
        k, covariance = float(self.theta(skew)[2]), self.covariance(skew)
        error_g, error_k = noise * np.sqrt(np.diag(covariance)[1:])
        return float(error_g / max(2 * k, 1e-12)), float(error_k)


@dataclass(frozen=True)
class Profiles:
    """The converged curves of all budgets.

    Attributes:
        budgets: one profile each, in order of FLOPs.
        skew: s, shared by all.
        skew_error: standard error of s.
        noise: standard deviation of the loss, as a fraction; None where no budget has a degree of freedom left.
    """

    budgets: tuple[Profile, ...]
    skew: float
    skew_error: float
    noise: float | None


def fit_profiles(budgets: list[Profile]) -> Profiles:
    """Fits the curves of all budgets together."""
    skew, error, slope, noise = 0.0, _SKEW, 0.0, None
    for _ in range(_PASSES):
        last = [skew, *(b.best for b in budgets)]
        budgets = [b.moved(skew, LEAST_NOISE if noise is None else noise, slope) for b in budgets]
        noise = _noise(budgets, skew)
        skew, error = _skew(budgets, skew, noise)
        slope = _slope(budgets, skew)
        if np.allclose([skew, *(b.best for b in budgets)], last, rtol=0, atol=1e-6):
            break
    return Profiles(tuple(budgets), skew, error, noise)


def resampled(fitted: Profiles, budgets: list[Profile], count: int, seed: int) -> Float[np.ndarray, "count budgets"]:
    """Draws of log N* of some budgets, by a wild bootstrap (Wu 1986).

    Residuals, divided by sqrt(1 - leverage), are added again with random signs, one sign for all runs that share a
    trunk; and s is drawn from its posterior.
    """
    if not budgets:
        return np.zeros((count, 0))
    rng = np.random.default_rng(seed)
    noise, skew = fitted.noise or 0.0, fitted.skew
    signs = rng.choice([-1.0, 1.0], (count, 1 + max(int(b.cluster.max()) for b in budgets)))
    added = []
    for b in budgets:
        rest, free = b.residuals(skew)
        enlarged = np.where(free > 0.05, rest / np.sqrt(np.maximum(free, 0.05)), noise)
        added.append(signs[:, b.cluster[b.near]] * enlarged)
    prior = (max(noise, LEAST_NOISE) / _SKEW) ** 2
    bends = [b.bend(skew) for b in budgets]
    known = prior + sum(float(b.weights[b.near] @ z**2) for b, z in zip(budgets, bends, strict=True))
    skews = skew + np.sqrt(prior) * max(noise, LEAST_NOISE) / known * rng.standard_normal(count)
    for b, z, extra in zip(budgets, bends, added, strict=True):
        skews += extra @ (b.weights[b.near] * z) / known
    draws = []
    for b, extra in zip(budgets, added, strict=True):
        solver, theta, cubic = b.solver(skew), b.theta(skew), ((b.n - b.best) ** 3)[b.near]
        thetas = theta + extra @ solver.T - np.outer(skews - skew, theta[2] * (solver @ cubic))
        draws.append(np.clip(b.best + vertex(thetas, skews), b.n[0], b.n[-1]))
    return np.stack(draws, axis=1)


def vertex(theta: Float[np.ndarray, "batch 3"], skew: Float[np.ndarray, " #batch"]) -> Float[np.ndarray, " batch"]:
    """Position u of the minimum of m + g u + k (u^2 + s u^3) near 0; infinite where there is none."""
    _, g, k = theta.T
    with np.errstate(divide="ignore", invalid="ignore"):
        u = -g / (k + np.sqrt(np.maximum(k**2 - 3 * k * skew * g, 0.0)))
    return np.where(k > 0, u, np.where(g > 0, -np.inf, np.inf))


def _noise(budgets: list[Profile], skew: float) -> float | None:
    """Robust standard deviation of the loss about the curves of all budgets; None without a degree of freedom."""
    scaled = []
    for b in budgets:
        rest, free = b.residuals(skew)
        scaled.append(np.abs(rest)[free > 0.05] / np.sqrt(free[free > 0.05]))
    values = np.concatenate(scaled)
    return max(robust_std(values), LEAST_NOISE) if len(values) else None


def _skew(budgets: list[Profile], skew: float, noise: float | None) -> tuple[float, float]:
    """One Gauss-Newton step of s, and the standard error of s."""
    noise = noise or LEAST_NOISE
    prior = (noise / _SKEW) ** 2
    pull, known = -prior * skew, prior
    for b in budgets:
        if len(b.sizes[np.abs(b.sizes - b.best) < _MAX_WINDOW]) > 3 and b.n[0] < b.best < b.n[-1]:
            w, z = b.weights[b.near], b.bend(skew)
            pull += float(w @ (z * b.residuals(skew)[0]))
            known += float(w @ z**2)
    return float(np.clip(skew + pull / known, -3 * _SKEW, 3 * _SKEW)), noise / float(np.sqrt(known))


def _slope(budgets: list[Profile], skew: float) -> float:
    """d log loss / d log FLOPs from budget to budget, along the minima."""
    if len(budgets) < 2:
        return 0.0
    minima = np.log([max(float(b.theta(skew)[0]), 0.1) * b.unit for b in budgets])
    c = np.array([b.c for b in budgets])
    return float(least_squares(np.stack([np.ones_like(c), c - c.mean()], axis=1), minima).theta[1])

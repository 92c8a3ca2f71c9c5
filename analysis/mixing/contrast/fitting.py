"""Fits a shape of the contrast to the runs, for every domain, with weights of the runs in a batch of resamples."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from analysis.mixing.contrast.shapes import Points, Shape
from analysis.mixing.contrast.solver import Cells, Problem, curvature, grown, minimise, residuals
from analysis.mixing.points import MixturePoints, effective

# Growth of the contrast with compute, and how far it may differ between tables: over RegMix's runs from 1M to 1B
# parameters (2407.01492) it is .02, and .15 between models of some ten thousand parameters.
GROWTH, GROWTH_SD = 0.02, 0.05
# The loss rises by this share of the logarithm of what tokens are worth less: the exponent of the loss in tokens, which
# is .03 to .1 of Llamas (2203.15556's law from 1e19 to 1e24 FLOPs; models of some ten thousand parameters).
_COST, _COST_SD = np.log(0.06), 0.5
_FIRST_SCATTER, _LEAST_SCATTER = 1e-2, 5e-4
_ROUNDS = 2


@dataclass(frozen=True)
class Middle:
    """The middle of the fitted runs, where the parameters of a shape are those of the loss itself.

    Attributes:
        n: mean log parameters.
        d: mean log tokens.
        c: mean log FLOPs.
        unique: tokens that each source has; NaN where unknown.
        repeat: constant of the worth of repeated text.
    """

    n: float
    d: float
    c: float
    unique: Float[np.ndarray, " sources"]
    repeat: float

    @classmethod
    def of(cls, points: MixturePoints) -> "Middle":
        """Of some runs."""
        logs = (np.log(points.params), np.log(points.tokens), points.log_flops)
        n, d, c = (float(values.mean()) for values in logs)
        return cls(n, d, c, points.unique, points.repeat)

    def view(
        self,
        shares: Float[np.ndarray, "runs sources"],
        own: int | None,
        n: Float[np.ndarray, " runs"],
        d: Float[np.ndarray, " runs"],
        c: Float[np.ndarray, " runs"],
    ) -> Points:
        """What a shape sees of runs with these shares and logarithms of params, tokens and FLOPs."""
        worth, waste = effective(shares, np.exp(d), self.unique, self.repeat)
        return Points(worth, None if own is None else worth[:, own], n - self.n, d - self.d, c - self.c, waste)


@dataclass(frozen=True)
class FittedShape:
    """A shape fitted to one domain, for each of a batch of weights.

    Attributes:
        shape: the form.
        middle: of the runs.
        own: the domain's own source, if it has one.
        theta: parameters of each member; log s and q last.
        scatter: of the residuals of the first member.
    """

    shape: Shape
    middle: Middle
    own: int | None
    theta: Float[np.ndarray, "batch params"]
    scatter: float

    @property
    def first(self) -> "FittedShape":
        """The fit of the first member alone."""
        return replace(self, theta=self.theta[:1])

    def resized(self, unique: Float[np.ndarray, " sources"]) -> "FittedShape":
        """The fit, for sources that have other numbers of tokens; NaN for those that never repeat."""
        return replace(self, middle=replace(self.middle, unique=unique))

    def at(
        self, shares: Float[np.ndarray, "points sources"], n: float, d: float, c: float
    ) -> Float[np.ndarray, "batch points"]:
        """What mixtures add to the log loss at one size, length and FLOPs, given as logarithms."""
        same = np.ones(len(shares))
        return grown(self.shape, self.theta, self.middle.view(shares, self.own, n * same, d * same, c * same))[0]

    def over(self, points: MixturePoints) -> Float[np.ndarray, "batch runs"]:
        """What the mixtures of runs add to their log losses."""
        return grown(self.shape, self.theta, _view(self.middle, points, self.own))[0]


def _view(middle: Middle, points: MixturePoints, own: int | None) -> Points:
    return middle.view(points.shares, own, np.log(points.params), np.log(points.tokens), points.log_flops)


def fit_shape(
    shape: Shape,
    points: MixturePoints,
    domain: int,
    own: int | None,
    weights: Float[np.ndarray, "batch runs"],
    beliefs: Float[np.ndarray, "batch params"] | None = None,
) -> FittedShape:
    """Fits a shape to the losses on one domain.

    Args:
        shape: the form.
        points: the runs.
        domain: its place among the domains.
        own: the place of its own source among the sources, if it has one.
        weights: of the runs, in each member of the batch; the first decides the scatter and where the others start.
        beliefs: shifts of the prior's means in each member, in their standard deviations; none by default.
    """
    order = np.argsort(points.cells, kind="stable")
    points, weights = points.take(order), weights[:, order]
    middle, prior = Middle.of(points), shape.prior(len(points.sources))
    mean, sd = np.r_[prior.mean, _COST, GROWTH], np.r_[prior.sd, _COST_SD, GROWTH_SD]
    shifts = np.zeros((len(weights), len(mean))) if beliefs is None else beliefs

    def problem(members: slice, scatter: float) -> Problem:
        chosen = weights[members]
        return Problem(
            shape=shape,
            points=_view(middle, points, own),
            cells=Cells.sorted(points.cells),
            log_losses=np.broadcast_to(np.log(points.losses[:, domain]), chosen.shape),
            weights=chosen,
            mean=mean + sd * shifts[members],
            sd=sd,
            scatter=np.full(len(chosen), scatter),
        )

    scatter, theta = _FIRST_SCATTER, mean[None]
    for _ in range(_ROUNDS):
        first = problem(slice(0, 1), scatter)
        theta, _ = minimise(first, theta)
        scatter = _scatter(first, theta)
    theta, _ = minimise(problem(slice(0, 1), scatter), theta)
    if len(weights) > 1:
        rest, _ = minimise(problem(slice(1, None), scatter), np.repeat(theta, len(weights) - 1, axis=0), 25)
        theta = np.concatenate([theta, rest])
    return FittedShape(shape, middle, own, theta, scatter)


def _scatter(problem: Problem, theta: Float[np.ndarray, "1 params"]) -> float:
    """A robust scale of the residuals, for as many runs as are left when each parameter and level has had its own."""
    found = residuals(problem, theta)[0][0]
    counted = problem.weights[0] > 0
    bend = curvature(problem, theta)[0]
    by_runs = len(problem.sd) - float(np.trace(np.linalg.solve(bend, np.diag(1 / problem.sd**2))))
    runs = int(counted.sum())
    left = max(runs - by_runs - len(np.unique(problem.cells.of[counted])), runs / 10)
    # The mean of squares beside the median: of few runs most are met exactly, and the median would be none.
    robust = 1.4826 * float(np.median(np.abs(found[counted])))
    clipped = np.minimum(np.abs(found[counted]), 3 * max(robust, _LEAST_SCATTER))
    return max(float(np.sqrt((clipped**2).sum() / left)), _LEAST_SCATTER)

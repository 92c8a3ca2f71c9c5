"""The solver: log-Huber regression of many starts or resamples at once, in float64.

For residuals r_i = log f(theta; x_i) - log L_i and weights w_i it minimises

    F(theta) = sum_i w_i huber(r_i),    huber(r) = r^2 / 2 if |r| <= delta, else delta (|r| - delta / 2)

by damped Newton steps. With J = dr/dtheta, Huber's second derivative is J'ZJ, where Z = diag(w_i [|r_i| <=
delta]) drops the rows beyond delta; J'MJ with M = diag(w_i min(1, delta / |r_i|)) majorises it (iteratively
reweighted least squares) and is the metric of the damping:

    (J'ZJ + mu J'MJ) step = -J' (w psi(r)),    psi(r) = clip(r, -delta, delta)

A large mu is a cautious IRLS step, mu -> 0 is Newton's, which is exact once the rows beyond delta are known
(Madsen & Nielsen 1990). Both matrices transform alike, so units of N and D do not matter. A parameter at the end of
its domain whose gradient points outside is held there, and the others go on.

Every function takes a batch, each member of which has a start and weights of its own, and returns a ``Solution``: the
minimum, the status and the statistics of each member.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.laws import Law, X

_ITERATIONS = 300
_LONGEST = 3.0  # step of any parameter
_ROWS_AT_ONCE = 2_000_000  # batch x rows held in memory
_ROUNDS: tuple[tuple[int, int], ...] = (
    (36, 12),
    (8, 40),
    (2, _ITERATIONS),
)  # how many of the starts go how many steps further


class SolverStatus(IntEnum):
    """The end of the search of one member of a batch."""

    CONVERGED = 0  # no step of any damping improves the objective further
    STEP_LIMIT = 1


@dataclass(frozen=True)
class SolverStats:
    """Objectives and steps of the members of a batch.

    Attributes:
        objective: F(theta), the sum of Huber terms.
        steps: damped Newton steps tried.
    """

    objective: Float[np.ndarray, " batch"]
    steps: Int[np.ndarray, " batch"]


@dataclass(frozen=True)
class Solution:
    """One minimum for each member of the batch.

    Attributes:
        value: theta, coefficients as logarithms.
        status: a ``SolverStatus`` each.
        stats: objectives and steps.
    """

    value: Float[np.ndarray, "batch params"]
    status: Int[np.ndarray, " batch"]
    stats: SolverStats

    def take(self, keep: Sequence[int]) -> "Solution":
        """Solutions of some members, by their indices."""
        rows = list(keep)
        stats = SolverStats(self.stats.objective[rows], self.stats.steps[rows])
        return Solution(self.value[rows], self.status[rows], stats)


def _joined(parts: Sequence[Solution]) -> Solution:
    """Solutions of several batches as one batch."""
    return Solution(
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.status for part in parts]),
        SolverStats(
            np.concatenate([part.stats.objective for part in parts]),
            np.concatenate([part.stats.steps for part in parts]),
        ),
    )


def best_of_starts(
    law: Law[X],
    inputs: X,
    log_loss: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, " rows"],
    starts: Float[np.ndarray, "starts params"] | None = None,
) -> Solution:
    """The best minimum over many starts (a batch of one).

    Args:
        law: the form.
        inputs: what it sees.
        log_loss: what was measured.
        weights: how much each row counts.
        starts: where to begin, coefficients as logarithms; the grid of the law's own starts by default.
    """
    theta, rounds = starts, _ROUNDS
    if theta is None:
        theta = starts_of(law, inputs, log_loss, weights)
    else:
        # Their coefficients are not solved for yet, so that none is judged before it has gone some steps.
        rounds = ((len(theta), 8), (len(theta) // 8 + 1, 12), *_ROUNDS[1:])

    def every(batch: int) -> Float[np.ndarray, "batch rows"]:
        return np.broadcast_to(weights, (batch, len(log_loss)))

    # Successive halving: the objective at the starts shows which are hopeless, a few steps which share a basin.
    score = objective_at(law, inputs, log_loss, every(len(theta)), theta)
    for keep, iterations in rounds:
        theta = theta[np.argsort(score, kind="stable")[:keep]]
        found = minimise(law, inputs, log_loss, every(len(theta)), theta, iterations)
        theta, score = found.value, found.stats.objective
    return found.take([int(np.argmin(score))])


def minimise(
    law: Law[X],
    inputs: X,
    log_loss: Float[np.ndarray, "*#batch rows"],
    weights: Float[np.ndarray, "batch rows"],
    start: Float[np.ndarray, "batch params"],
    iterations: int = _ITERATIONS,
    tolerance: float = 1e-11,
) -> Solution:
    """Minimises the objective of each member of a batch: a start, and the weights of the rows in a resample.

    A member is done when three steps running gain less than ``tolerance`` of its objective. All members share the
    measured ``log_loss``, or each has its own.
    """
    size = max(1, _ROWS_AT_ONCE // weights.shape[1])
    losses = np.broadcast_to(log_loss, weights.shape)
    parts = [
        _minimise(law, inputs, losses[i : i + size], weights[i : i + size], start[i : i + size], iterations, tolerance)
        for i in range(0, max(1, len(start)), size)
    ]
    return _joined(parts)


def _minimise(
    law: Law[X],
    inputs: X,
    log_loss: Float[np.ndarray, "batch rows"],
    weights: Float[np.ndarray, "batch rows"],
    start: Float[np.ndarray, "batch params"],
    iterations: int,
    tolerance: float,
) -> Solution:
    low, high = law.bounds
    absent = np.array([name in law.absent for name in law.names])
    theta, mu = np.clip(start, low, high), np.full(len(start), 1.0)
    objective = np.full(len(start), np.inf)
    converged = np.zeros(len(start), bool)
    gradient, newton, metric = _derivatives(law, inputs, log_loss, weights, theta, objective)
    quiet, steps = np.zeros(len(start), int), np.zeros(len(start), int)
    # Residuals of delta / 100 are as good as none: few runs can be met exactly, and that is no use in the end.
    negligible = 0.5e-4 * law.delta**2 * log_loss.shape[1]
    for _ in range(iterations):
        live = np.flatnonzero(~converged)
        if live.size == 0:
            break
        steps[live] += 1
        here, slope = theta[live], gradient[live]
        free = ~((here <= low) & (slope > 0) | (here >= high) & (slope < 0))
        step = _step(slope, newton[live], metric[live], mu[live], free)
        if absent.any():
            step = _with_absent(slope, newton[live], metric[live], mu[live], free, step, absent, low - here)
        # Not np.clip: on arrays this small it takes longer than the work.
        trial = np.minimum(np.maximum(here + step, low), high)
        value = np.empty(live.size)
        derivatives = _derivatives(law, inputs, log_loss[live], weights[live], trial, value)
        better = value < objective[live]
        gain = np.where(better, objective[live] - value, 0.0) / np.maximum(objective[live], negligible)
        win = live[better]
        theta[win], objective[win] = trial[better], value[better]
        gradient[win], newton[win], metric[win] = (part[better] for part in derivatives)
        mu[live] = np.clip(mu[live] * np.where(better, 0.2, 6.0), 1e-9, 1e9)
        # Done: gains that no longer matter three times running, or no descent even by cautious steps.
        quiet[live] = np.where(gain > tolerance, np.where(better, 0, quiet[live]), quiet[live] + better)
        converged[live] = (quiet[live] >= 3) | (mu[live] > 1e7)
    status = np.where(converged, SolverStatus.CONVERGED, SolverStatus.STEP_LIMIT)
    return Solution(theta, status, SolverStats(objective, steps))


def objective_at(
    law: Law[X],
    inputs: X,
    log_loss: Float[np.ndarray, " rows"],
    weights: Float[np.ndarray, "batch rows"],
    theta: Float[np.ndarray, "batch params"],
) -> Float[np.ndarray, " batch"]:
    """Objective (batch,), the sum of Huber terms, at given parameters (coefficients as logarithms)."""
    objective = np.empty(len(theta))
    _derivatives(law, inputs, log_loss, weights, theta, objective)
    return objective


def _derivatives(
    law: Law[X],
    inputs: X,
    log_loss: Float[np.ndarray, "*#batch rows"],
    weights: Float[np.ndarray, "batch rows"],
    theta: Float[np.ndarray, "batch params"],
    objective: Float[np.ndarray, " batch"],
) -> tuple[
    Float[np.ndarray, "batch params"],
    Float[np.ndarray, "batch params params"],
    Float[np.ndarray, "batch params params"],
]:
    """Gradient, Newton's matrix and the metric; writes the objective (infinite where the law overflows)."""
    delta = law.delta
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        loss, jacobian = law.evaluate(theta, inputs)
        jacobian = jacobian / loss[:, :, None]
        residual = np.log(loss) - log_loss
        size = np.abs(residual)
        huber = np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))
        objective[:] = (weights * huber).sum(axis=1)
        transposed = jacobian.transpose(0, 2, 1)
        psi = weights * np.minimum(np.maximum(residual, -delta), delta)
        majorant = weights * (delta / np.maximum(size, delta))
        gradient = (transposed @ psi[:, :, None])[:, :, 0]
        newton = transposed @ (jacobian * (weights * (size <= delta))[:, :, None])
        metric = transposed @ (jacobian * majorant[:, :, None])
    broken = ~(np.isfinite(objective) & np.isfinite(metric).all(axis=(1, 2)))
    objective[broken] = np.inf
    for part in (gradient, newton, metric):
        part[broken] = 0.0
    return gradient, newton, metric


def _step(
    gradient: Float[np.ndarray, "batch params"],
    newton: Float[np.ndarray, "batch params params"],
    metric: Float[np.ndarray, "batch params params"],
    mu: Float[np.ndarray, " batch"],
    free: Bool[np.ndarray, "batch params"],
) -> Float[np.ndarray, "batch params"]:
    """Solves the damped system of the free parameters, scaled to a unit diagonal; a tiny ridge keeps it regular."""
    scale = np.sqrt(np.maximum(np.diagonal(metric, axis1=1, axis2=2), 1e-200))
    outer = scale[:, :, None] * scale[:, None, :]
    identity = np.eye(gradient.shape[1])
    matrix = np.where(free[:, :, None] & free[:, None, :], (newton + mu[:, None, None] * metric) / outer, identity)
    matrix += (1e-13 + 1e-10 * mu[:, None, None]) * identity
    right = np.where(free, gradient / scale, 0.0)
    step: Float[np.ndarray, "batch params"] = -np.linalg.solve(matrix, right[:, :, None])[:, :, 0] / scale
    return np.minimum(np.maximum(step, -_LONGEST), _LONGEST)


def _with_absent(
    gradient: Float[np.ndarray, "batch params"],
    newton: Float[np.ndarray, "batch params params"],
    metric: Float[np.ndarray, "batch params params"],
    mu: Float[np.ndarray, " batch"],
    free: Bool[np.ndarray, "batch params"],
    step: Float[np.ndarray, "batch params"],
    absent: Bool[np.ndarray, " params"],
    room: Float[np.ndarray, "batch params"],
) -> Float[np.ndarray, "batch params"]:
    """The step where a term that may be absent would shrink below 0: it goes to 0, and the others are solved for again.

    Cut short alone, it would leave the others with a step that assumes it went on, which need not descend.

    Args:
        gradient, newton, metric, mu, free: as for the step.
        step: of all parameters together.
        absent: which parameters may be absent.
        room: from here to the lower end of each parameter's domain.
    """
    least = np.maximum(room, -_LONGEST)
    beyond = absent & free & (step <= least)
    if not beyond.any():
        return step
    moved = np.where(beyond, least, 0.0)
    pulled = gradient + ((newton + mu[:, None, None] * metric) @ moved[:, :, None])[:, :, 0]
    again = _step(pulled, newton, metric, mu, free & ~beyond) + moved
    return np.where(beyond.any(axis=1, keepdims=True), again, step)


def starts_of(
    law: Law[X], inputs: X, log_loss: Float[np.ndarray, " rows"], weights: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, "starts params"]:
    """The grid of the law's starts, each with its own best coefficients (variable projection).

    The loss is linear in the coefficients, so at log coefficient 0 the derivatives are the features of a
    linear least-squares problem in relative error; coefficients that come out negative start small instead.
    """
    grid = product(*(values(inputs) if callable(values) else values for values in law.starts.values()))
    ones = dict.fromkeys(law.names, 1.0)
    theta = np.stack([law.internal(ones | dict(zip(law.starts, values, strict=True))) for values in grid])
    linear = [i for i, name in enumerate(law.names) if name not in law.starts]
    features = law.evaluate(theta, inputs)[1][:, :, linear] * np.exp(-log_loss)[:, None]
    scale = features.max(axis=1, keepdims=True)
    features = features / scale
    root = np.sqrt(weights)[:, None]
    # A small ridge settles the coefficients where N and D move together.
    gram = (features * root).transpose(0, 2, 1) @ (features * root)
    right = (features * root**2).sum(axis=1)
    ridge = 1e-9 * np.trace(gram, axis1=1, axis2=2)[:, None, None] * np.eye(len(linear))
    coefficients = np.linalg.solve(gram + ridge, right[:, :, None])[:, :, 0]
    # Without those that come out negative, the others are solved for again.
    barred = np.where(coefficients < 0, 1e6 * np.trace(gram, axis1=1, axis2=2)[:, None], 0.0)[:, :, None]
    coefficients = np.linalg.solve(gram + ridge + barred * np.eye(len(linear)), right[:, :, None])[:, :, 0]
    share = 1 / features.mean(axis=1)
    coefficients = np.maximum(coefficients, 0.02 * share) / scale[:, 0]
    positive = np.array([law.names[i] in law.logs for i in linear])
    theta[:, linear] = np.where(positive, np.log(coefficients), coefficients)
    return theta

"""The best hyperparameters of one model size and length: the least of a quadratic surface of the log loss.

In x, the logs of k hyperparameters, the log loss near its least is

    log L = level of the group + b.x + x'Hx / 2        at = -H^-1 b

a broad and convex basin (2503.04715). Only its bottom is quadratic: far off it the loss rises steeply on one side and
slowly on the other, which would pull the least, so settings that lose much are left out. Runs of one seed share a
group, and what a seed adds to the loss of every setting drops out with the group's level.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.errors import InputError

# Above 1 % the surfaces of published grids (2503.04715) are visibly lopsided; below it noise of 0.1 % begins to tell.
WITHIN = 0.01
_SAME = 2  # decimals of a log hyperparameter: 0.00276 and 0.002762 are one setting


@dataclass(frozen=True)
class ResponseSurface:
    """The least of a fitted surface.

    Attributes:
        at: where the surface is level, [k] log hyperparameters; its least if ``minimum``.
        curvature: H, [k, k].
        minimum: whether H is positive definite, so that there is a least.
        bracketed: whether the best setting tried and ``at`` both lie inside the values tried, for each of the k.
        room: how far ``at`` lies inside the values tried, for each of the k; negative outside.
        noise: residual standard deviation of the log loss; None when no degree of freedom is left.
        freedom: degrees of freedom of the residual.
        settings: how many settings the surface was fitted to, and
        used: which runs.
        best: the setting of the least mean loss, [k].
        unit: covariance of b and of H's upper triangle, row by row, at a noise of 1 and with x counted from ``best``.
    """

    at: Float[np.ndarray, " k"]
    curvature: Float[np.ndarray, "k k"]
    minimum: bool
    bracketed: Bool[np.ndarray, " k"]
    room: Float[np.ndarray, " k"]
    noise: float | None
    freedom: int
    settings: int
    used: Bool[np.ndarray, " rows"]
    best: Float[np.ndarray, " k"]
    unit: Float[np.ndarray, "terms terms"]

    @property
    def covariance(self) -> Float[np.ndarray, "k k"] | None:
        """Covariance of ``at`` by the delta method, d at = -H^-1 (db + dH at); None without a noise."""
        if self.noise is None:
            return None
        jacobian = np.linalg.pinv(self.curvature) @ _slopes(self.at - self.best)
        return self.noise**2 * jacobian @ self.unit @ jacobian.T

    def with_noise(self, noise: float, freedom: int) -> "ResponseSurface":
        """The same surface with a noise known better, for example pooled over sizes."""
        return replace(self, noise=noise, freedom=freedom)

    def above(self, x: Float[np.ndarray, "points k"]) -> Float[np.ndarray, " points"]:
        """By how much the log loss of each point exceeds that of ``at``; negative where it falls from there."""
        away = x - self.at
        return np.einsum("pi,ij,pj->p", away, self.curvature, away) / 2

    def excess(self, x: Float[np.ndarray, " k"]) -> tuple[float, float | None]:
        """By how much the log loss at x exceeds the least, and the standard error of that.

        The error is the delta method's, to which ``at`` contributes nothing as the surface is level there, together
        with the second-order term tr((H V)^2) / 2 for V the covariance of ``at``: all there is at the least itself.
        What the uncertainty of ``at`` adds to the excess on average, tr(H V) / 2, is not taken off.

        Raises:
            ValueError: if the surface has no least.
        """
        if not self.minimum:
            raise ValueError("the surface has no least to exceed")
        value = float(self.above(x[None])[0])
        if self.noise is None or self.covariance is None:
            return value, None
        rise = _terms((x - self.best)[None])[0] - _terms((self.at - self.best)[None])[0]
        first = self.noise**2 * rise @ self.unit @ rise
        bend = self.curvature @ self.covariance
        return value, float(np.sqrt(first + np.trace(bend @ bend) / 2))


def fit_response_surface(
    x: Float[np.ndarray, "rows k"],
    log_loss: Float[np.ndarray, " rows"],
    group: Int[np.ndarray, " rows"],
    within: float = WITHIN,
) -> ResponseSurface:
    """Fits the surface by ordinary least squares.

    Args:
        x: logs of the hyperparameters of each run.
        log_loss: of each run; finite.
        group: runs that share a number share a level, such as those of one seed.
        within: only settings are used whose loss exceeds the best one's by at most this fraction, but always the best
            few that determine the surface with one to spare. A setting's loss is its mean, groups taken out.

    Raises:
        InputError: if there are too few different settings for a quadratic.
    """
    k = x.shape[1]
    settings, number = np.unique(np.round(x, _SAME), axis=0, return_inverse=True)
    number = number.reshape(len(x))
    loss = _means(number, group, log_loss)
    order = np.argsort(loss, kind="stable")
    best = settings[order[0]]
    terms = k + k * (k + 1) // 2
    kept = max(int((loss - loss.min() <= np.log1p(within)).sum()), terms + 2)
    use = np.isin(number, order[:kept])
    while np.linalg.matrix_rank(_design(settings[number[use]] - best, group[use])) < terms + len(np.unique(group[use])):
        if kept >= len(settings):
            raise InputError(
                f"{len(settings)} settings do not determine a quadratic in {k} hyperparameters; it takes {terms + 1}, "
                "in more than one line, and seeds that share settings"
            )
        kept += 1
        use = np.isin(number, order[:kept])
    theta, noise, freedom, unit = _least_squares(_design(x[use] - best, group[use]), log_loss[use], terms)
    curvature = np.zeros((k, k))
    upper = np.triu_indices(k)
    curvature[upper] = theta[k:]
    curvature.T[upper] = theta[k:]
    at = best - np.linalg.pinv(curvature) @ theta[:k]
    low, high = settings.min(axis=0), settings.max(axis=0)
    room = np.minimum(at - low, high - at)
    return ResponseSurface(
        at=at,
        curvature=curvature,
        minimum=bool(np.linalg.eigvalsh(curvature)[0] > 0),
        bracketed=(room > 0) & (low < best) & (best < high),
        room=room,
        noise=noise,
        freedom=freedom,
        settings=len(np.unique(number[use])),
        used=use,
        best=best,
        unit=unit,
    )


def _means(
    setting: Int[np.ndarray, " rows"], group: Int[np.ndarray, " rows"], log_loss: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " settings"]:
    """Each setting's mean log loss with the groups' levels taken out: the additive fit of both."""
    count = np.bincount(setting)

    def means(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " settings"]:
        return np.bincount(setting, values) / count

    groups = _indicators(group)
    within = groups - np.stack([means(column)[setting] for column in groups.T], axis=1)
    level = np.linalg.lstsq(within, log_loss - means(log_loss)[setting], rcond=None)[0]
    return means(log_loss - groups @ level)


def _design(x: Float[np.ndarray, "rows k"], group: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows coefficients"]:
    """Columns of b and H, then one for each group's level."""
    return np.concatenate([_terms(x), _indicators(group)], axis=1)


def _indicators(number: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows numbers"]:
    return (number[:, None] == np.unique(number)).astype(np.float64)


def _terms(x: Float[np.ndarray, "rows k"]) -> Float[np.ndarray, "rows terms"]:
    """What b and H's upper triangle, row by row, multiply in b.x + x'Hx / 2."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, i] * x[:, j] * np.where(i == j, 0.5, 1.0)], axis=1)


def _slopes(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k terms"]:
    """The derivative of each of the terms in each coordinate."""
    i, j = np.triu_indices(len(x))
    unit = np.eye(len(x))
    return np.concatenate([unit, unit[:, i] * x[j] + unit[:, j] * x[i] * (i != j)], axis=1)


def _least_squares(
    design: Float[np.ndarray, "rows coefficients"], y: Float[np.ndarray, " rows"], terms: int
) -> tuple[Float[np.ndarray, " terms"], float | None, int, Float[np.ndarray, "terms terms"]]:
    """The first coefficients, the residual's standard deviation and degrees of freedom, and the unit covariance."""
    theta, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    freedom = len(y) - int(rank)
    rest = y - design @ theta
    noise = float(np.sqrt(rest @ rest / freedom)) if freedom > 0 else None
    return theta[:terms], noise, freedom, np.linalg.pinv(design.T @ design)[:terms, :terms]

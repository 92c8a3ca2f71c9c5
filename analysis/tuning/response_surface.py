"""The best hyperparameters of one model size and length: the minimum of a quadratic surface of the log loss.

With x the logs of k hyperparameters, the log loss near its minimum is

    log L = level of the group + b.x + x'Hx / 2        optimum = -H^-1 b

a broad and convex basin (2503.04715). Only its bottom is quadratic: far from it the loss rises steeply on one side and
slowly on the other, which would bias the optimum, so settings that lose much are left out. Runs of one seed share a
group: the group's level absorbs what a seed adds to the loss of every setting.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.errors import InputError
from analysis.stats import least_squares

# Above 1 % the surfaces of published grids (2503.04715) are visibly lopsided; below it noise of 0.1 % begins to matter.
WITHIN = 0.01
_SETTING_DECIMALS = 2  # of a log hyperparameter: 0.00276 and 0.002762 are one setting


@dataclass(frozen=True)
class ResponseSurface:
    """A quadratic fitted to the log loss over k log hyperparameters.

    Attributes:
        optimum: the stationary point, [k] log hyperparameters; the minimum if ``has_minimum``.
        curvature: H, [k, k].
        has_minimum: whether H is positive definite.
        bracketed: for each of the k, whether the best setting tried and ``optimum`` both lie inside the values tried.
        margin: for each of the k, how far ``optimum`` lies inside the values tried; negative outside.
        noise: residual standard deviation of the log loss; None when no degree of freedom is left.
        freedom: degrees of freedom of the residual.
        n_settings: how many settings the surface was fitted to.
        used: the runs that it was fitted to.
        best_setting: the setting with the lowest mean loss, [k] log hyperparameters.
        unit_covariance: covariance of b and of H's upper triangle, row by row, at a noise of 1 and with x relative to
            ``best_setting``.
    """

    optimum: Float[np.ndarray, " k"]
    curvature: Float[np.ndarray, "k k"]
    has_minimum: bool
    bracketed: Bool[np.ndarray, " k"]
    margin: Float[np.ndarray, " k"]
    noise: float | None
    freedom: int
    n_settings: int
    used: Bool[np.ndarray, " rows"]
    best_setting: Float[np.ndarray, " k"]
    unit_covariance: Float[np.ndarray, "terms terms"]

    @property
    def covariance(self) -> Float[np.ndarray, "k k"] | None:
        """Covariance of ``optimum`` by the delta method, d optimum = -H^-1 (db + dH optimum); None without a noise."""
        if self.noise is None:
            return None
        jacobian = np.linalg.pinv(self.curvature) @ _term_gradients(self.optimum - self.best_setting)
        return self.noise**2 * jacobian @ self.unit_covariance @ jacobian.T

    def with_noise(self, noise: float, freedom: int) -> "ResponseSurface":
        """The same surface with a better estimate of the noise, for example one pooled over sizes."""
        return replace(self, noise=noise, freedom=freedom)

    def rise(self, x: Float[np.ndarray, "points k"]) -> Float[np.ndarray, " points"]:
        """Log loss at each point less that at ``optimum``; negative where the surface falls away from it."""
        away = x - self.optimum
        return np.einsum("pi,ij,pj->p", away, self.curvature, away) / 2

    def excess(self, x: Float[np.ndarray, " k"]) -> tuple[float, float | None]:
        """Log loss at x less the minimum, and the standard error of that difference.

        The standard error is the delta method's, to which ``optimum`` contributes nothing as the surface is level
        there, together with the second-order term tr((H V)^2) / 2, where V is the covariance of ``optimum``: at the
        minimum itself that term is all there is. The mean excess that the uncertainty of ``optimum`` adds,
        tr(H V) / 2, is not subtracted.

        Raises:
            ValueError: if the surface has no minimum.
        """
        if not self.has_minimum:
            raise ValueError("the surface has no minimum")
        value = float(self.rise(x[None])[0])
        if self.noise is None or self.covariance is None:
            return value, None
        rise = _terms((x - self.best_setting)[None])[0] - _terms((self.optimum - self.best_setting)[None])[0]
        first = self.noise**2 * rise @ self.unit_covariance @ rise
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
        x: log hyperparameters of each run.
        log_loss: of each run; finite.
        group: runs that share a number share a level, such as those of one seed.
        within: the fit uses the settings whose loss exceeds the best one's by at most this fraction, and at least as
            many of the best ones as determine the surface with one to spare. A setting's loss is its mean after the
            groups' levels are subtracted.

    Raises:
        InputError: if there are too few different settings for a quadratic.
    """
    k = x.shape[1]
    settings, number = np.unique(np.round(x, _SETTING_DECIMALS), axis=0, return_inverse=True)
    number = number.reshape(len(x))
    loss = _setting_means(number, group, log_loss)
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
    fit = least_squares(_design(x[use] - best, group[use]), log_loss[use])
    curvature = np.zeros((k, k))
    upper = np.triu_indices(k)
    curvature[upper] = fit.theta[k:terms]
    curvature.T[upper] = fit.theta[k:terms]
    optimum = best - np.linalg.pinv(curvature) @ fit.theta[:k]
    low, high = settings.min(axis=0), settings.max(axis=0)
    margin = np.minimum(optimum - low, high - optimum)
    return ResponseSurface(
        optimum=optimum,
        curvature=curvature,
        has_minimum=bool(np.linalg.eigvalsh(curvature)[0] > 0),
        bracketed=(margin > 0) & (low < best) & (best < high),
        margin=margin,
        noise=fit.std,
        freedom=fit.freedom,
        n_settings=len(np.unique(number[use])),
        used=use,
        best_setting=best,
        unit_covariance=fit.unit_covariance[:terms, :terms],
    )


def _setting_means(
    setting: Int[np.ndarray, " rows"], group: Int[np.ndarray, " rows"], log_loss: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " settings"]:
    """Mean log loss of each setting by the additive model log loss = setting + level of the group."""
    count = np.bincount(setting)

    def means(values: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " settings"]:
        return np.bincount(setting, values) / count

    groups = _indicators(group)
    within = groups - np.stack([means(column)[setting] for column in groups.T], axis=1)
    level = np.linalg.lstsq(within, log_loss - means(log_loss)[setting], rcond=None)[0]
    return means(log_loss - groups @ level)


def _design(x: Float[np.ndarray, "rows k"], group: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows coefficients"]:
    """Design matrix: columns for b and H, then one for the level of each group."""
    return np.concatenate([_terms(x), _indicators(group)], axis=1)


def _indicators(number: Int[np.ndarray, " rows"]) -> Float[np.ndarray, "rows numbers"]:
    """Indicator columns, one for each distinct number."""
    return (number[:, None] == np.unique(number)).astype(np.float64)


def _terms(x: Float[np.ndarray, "rows k"]) -> Float[np.ndarray, "rows terms"]:
    """Terms of b.x + x'Hx / 2 that b and the upper triangle of H, row by row, multiply."""
    i, j = np.triu_indices(x.shape[1])
    return np.concatenate([x, x[:, i] * x[:, j] * np.where(i == j, 0.5, 1.0)], axis=1)


def _term_gradients(x: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k terms"]:
    """Derivative of each term by each coordinate."""
    i, j = np.triu_indices(len(x))
    unit = np.eye(len(x))
    return np.concatenate([unit, unit[:, i] * x[j] + unit[:, j] * x[i] * (i != j)], axis=1)

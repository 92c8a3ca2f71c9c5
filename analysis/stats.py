"""Statistics that several rooms need, each once: robust scale, weighted quantiles, clusters, linear regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.special import ndtri

LEVEL = 0.9  # of an interval, where nothing else is requested


def robust_std(deviations: Float[np.ndarray, " rows"]) -> float:
    """Standard deviation about 0 by the median magnitude, which outliers do not move (Hampel 1974).

    ``scipy.stats.median_abs_deviation(scale="normal")`` about 0 instead of about the median.
    """
    return float(np.median(np.abs(deviations)) / ndtri(0.75))


def pooled_std(std: Sequence[float], freedom: Sequence[int]) -> float | None:
    """Root mean square of standard deviations by their degrees of freedom; None without a degree of freedom."""
    total = sum(freedom)
    if not total:
        return None
    return float(np.sqrt(sum(each**2 * degrees for each, degrees in zip(std, freedom, strict=True)) / total))


def central_interval(
    draws: Float[np.ndarray, "draws *shape"], level: float = LEVEL
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Ends (low, high) of the interval that holds the central ``level`` of the draws, by linear interpolation."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return np.asarray(low), np.asarray(high)


def weighted_quantiles(
    values: Float[np.ndarray, "draws *shape"], weights: Float[np.ndarray, " draws"], levels: Sequence[float]
) -> Float[np.ndarray, "levels *shape"]:
    """The least value at which the cumulative weight reaches each level, a share of the total weight."""
    return np.asarray(np.quantile(values, levels, axis=0, method="inverted_cdf", weights=weights))


def clusters(values: Float[np.ndarray, " rows"], width: float) -> Int[np.ndarray, " rows"]:
    """Cluster number of each value, counted from 0 at the lowest.

    A cluster begins at the lowest value that exceeds the first value of the cluster before by more than ``width``.
    """
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    starts, start = [], 0
    while start < len(ranked):
        starts.append(start)
        start = int(np.searchsorted(ranked, ranked[start] + width, side="right"))
    number = np.empty(len(values), np.int64)
    number[order] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(ranked)]))
    return number


@dataclass(frozen=True)
class LinearFit:
    """A linear regression y = X theta by weighted least squares.

    Attributes:
        theta: coefficients.
        unit_covariance: (X' W X)^-1: the covariance of theta where a weight is 1 / variance; a pseudo-inverse where
            X has less than full rank.
        residual: y - X theta.
        weight: of each row.
        freedom: degrees of freedom of the residual: rows less the rank of X.
    """

    theta: Float[np.ndarray, " terms"]
    unit_covariance: Float[np.ndarray, "terms terms"]
    residual: Float[np.ndarray, " rows"]
    weight: Float[np.ndarray, " rows"]
    freedom: int

    @property
    def chi_square(self) -> float:
        """Weighted sum of squared residuals."""
        return float(self.weight @ self.residual**2)

    @property
    def std(self) -> float | None:
        """Standard deviation of a residual of weight 1; None when no degree of freedom is left."""
        return float(np.sqrt(self.chi_square / self.freedom)) if self.freedom > 0 else None


def least_squares(
    design: Float[np.ndarray, "rows terms"],
    y: Float[np.ndarray, " rows"],
    weight: Float[np.ndarray, " rows"] | None = None,
) -> LinearFit:
    """Solves min_theta sum_i w_i (y_i - (X theta)_i)^2.

    Args:
        design: X.
        y: to be explained.
        weight: w, positive; 1 without it.
    """
    weight = np.ones(len(y)) if weight is None else weight
    root = np.sqrt(weight)
    theta, _, rank, _ = np.linalg.lstsq(design * root[:, None], y * root, rcond=None)
    return LinearFit(
        theta=theta,
        unit_covariance=np.linalg.pinv((design * weight[:, None]).T @ design),
        residual=y - design @ theta,
        weight=weight,
        freedom=len(y) - int(rank),
    )


def batched_least_squares(
    design: Float[np.ndarray, "rows terms"],
    y: Float[np.ndarray, " rows"],
    weight: Float[np.ndarray, "fits rows"],
) -> Float[np.ndarray, "fits terms"]:
    """Coefficients of one regression for each row of weights, by the normal equations: X of full rank."""
    normal = np.einsum("fr,ri,rj->fij", weight, design, design)
    right = np.einsum("fr,ri,r->fi", weight, design, y)
    return np.linalg.solve(normal, right[..., None])[..., 0]


def random_effects(
    design: Float[np.ndarray, "rows terms"],
    y: Float[np.ndarray, " rows"],
    variance: Float[np.ndarray, " rows"],
) -> tuple[LinearFit, float]:
    """Regression of values that scatter about the line by more than their own errors (Paule and Mandel 1982).

    Weights are 1 / (variance + scatter^2). The scatter is the one at which the weighted squared residuals sum to the
    degrees of freedom; 0 where they fall short of it without any.

    Args:
        design: X, of full rank.
        y: to be explained.
        variance: of each y by its own error, positive.

    Returns:
        The fit at these weights, and the scatter, a standard deviation in units of y.
    """

    def fitted(scatter: float) -> LinearFit:
        return least_squares(design, y, 1 / (variance + scatter**2))

    def surplus(scatter: float) -> float:
        fit = fitted(scatter)
        return fit.chi_square - fit.freedom

    if fitted(0.0).freedom <= 0 or surplus(0.0) <= 0:
        return fitted(0.0), 0.0
    most = 1.0
    while surplus(most) > 0:
        most *= 2
    scatter = float(brentq(surplus, 0.0, most))
    return fitted(scatter), scatter

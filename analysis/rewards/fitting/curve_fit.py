"""The laws of over-optimisation fitted to single curves: weighted least squares, intervals from prompts or errors.

The log-Huber engine of the laws of losses does not suit rewards: they may be negative, and the laws are linear.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import listed
from analysis.rewards.curves import RewardCurve
from analysis.rewards.laws import BEST_OF_N
from analysis.stats import least_squares

Pair = Float[np.ndarray, " 2"]
_MOST_LINES = 10  # about runs that are too short


@dataclass(frozen=True)
class Moments:
    """What a curve says about (alpha, beta), without its offset: the normal equations G (alpha, beta) = h.

    Attributes:
        curve: the rows that the law holds for.
        gram: G = B' W B, where B is the law's basis.
        right: h = B' W y.
        solve: maps gains to h: h = solve @ gain.
        covariance: of (alpha, beta) by the errors of the rows.
        rms: root mean square residual.
    """

    curve: RewardCurve
    gram: Float[np.ndarray, "2 2"]
    right: Pair
    solve: Float[np.ndarray, "2 rows"]
    covariance: Float[np.ndarray, "2 2"]
    rms: float

    @property
    def theta(self) -> Pair:
        """Alpha and beta."""
        return np.linalg.solve(self.gram, self.right)

    def draws(self, count: int, generator: np.random.Generator) -> Float[np.ndarray, "count 2"]:
        """(alpha, beta) of resampled prompts or, where these are not known, within the rows' errors."""
        samples = self.curve.by_prompt
        if samples is None:
            return generator.multivariate_normal(self.theta, self.covariance, size=count, method="svd")
        return np.linalg.solve(self.gram, self.solve @ resampled(samples, count, generator).T).T


@dataclass(frozen=True)
class CurveFit:
    """A law's coefficients on one curve, and the peak of the gain that they imply.

    Attributes:
        run_id: of the run.
        pairs: of its proxy; None where they are not known, as for the next.
        reward_params: of its proxy.
        rows: fitted.
        alpha: gain per unit of d at first.
        alpha_stderr: its standard error.
        beta: of the fall.
        beta_stderr: its standard error.
        rms: root mean square residual, in units of the reward.
        peak_gain: of the law; None where the gain does not end. This and the rest likewise.
        peak_interval: 90 % of the peak's gain; an end is None where it has none.
        peak_kl: where it lies, nats.
        peak_kl_interval: of that.
        last_kl: the largest of the fitted rows, nats; a peak beyond it was not seen.
    """

    run_id: str
    pairs: float | None
    reward_params: float | None
    rows: int
    alpha: float
    alpha_stderr: float
    beta: float
    beta_stderr: float
    rms: float
    peak_gain: float | None
    peak_interval: tuple[float | None, float | None]
    peak_kl: float | None
    peak_kl_interval: tuple[float | None, float | None]
    last_kl: float


def moments(curve: RewardCurve) -> Moments:
    """The normal equations of one curve.

    Rows are weighed by 1 / variance where every row has a standard error, and alike otherwise. Of a trained policy
    the row of the start is fitted too, with an offset that takes up the error of the start's own measurement, or what
    it was where nobody measured it.

    Raises:
        InputError: if too few rows are in the law's range.
    """
    law = curve.law
    held = curve.take(usable(curve))
    offset = law is not BEST_OF_N
    needed = 3 + offset
    if (different := len(np.unique(held.d))) < needed:
        reach = f", {law.least**2:g} nats or more," if law.least else ""
        raise InputError(
            f"run {curve.run_id!r}: {different} rows of different KL{reach} are too few to fit {law.name}: {needed}"
        )
    known = np.isfinite(held.stderr) & (held.stderr > 0)
    # The start's gain over itself has no error of its own.
    stderr = np.where(known, held.stderr, np.median(held.stderr[known]) if known.any() else 1.0)
    errors_known = bool(known[held.d > 0].all())
    weight = 1 / stderr**2 if errors_known else np.ones(len(held.d))
    basis = law.basis(held.d)
    design = np.column_stack([basis, np.ones(len(held.d))]) if offset else basis
    found = least_squares(design, held.gain, weight)
    std = found.std or 0.0
    scale = max(1.0, std**2) if errors_known else std**2
    centred = basis - (weight @ basis) / weight.sum() if offset else basis
    solve = centred.T * weight
    return Moments(
        curve=held,
        gram=solve @ centred,
        right=solve @ held.gain,
        solve=solve,
        covariance=found.unit_covariance[:2, :2] * scale,
        rms=float(np.sqrt(np.mean(found.residual**2))),
    )


def usable(curve: RewardCurve) -> Bool[np.ndarray, " rows"]:
    """Mask of the rows that the law is fitted to: from its least d on, the row of the start besides."""
    if curve.law is BEST_OF_N:
        return curve.d > 0
    keep = curve.d >= curve.law.least
    if curve.started:
        keep[0] = True
    return keep


def fit_curve(moment: Moments, bootstrap: int = 1000, seed: int = 0, level: float = 0.9) -> CurveFit:
    """Alpha, beta and the peak of one curve, with intervals."""
    law, theta = moment.curve.law, moment.theta
    stderr = np.sqrt(np.diag(moment.covariance))
    draws = moment.draws(bootstrap, np.random.default_rng(seed)) if bootstrap else theta[None]
    if moment.curve.by_prompt is not None and bootstrap:
        stderr = draws.std(axis=0)
    d, gain = law.peak(theta[0], theta[1])
    places, gains = law.peak(draws[:, 0], draws[:, 1])
    return CurveFit(
        run_id=moment.curve.run_id,
        pairs=finite(moment.curve.pairs),
        reward_params=finite(moment.curve.reward_params),
        rows=len(moment.curve.d),
        alpha=float(theta[0]),
        alpha_stderr=float(stderr[0]),
        beta=float(theta[1]),
        beta_stderr=float(stderr[1]),
        rms=moment.rms,
        peak_gain=finite(float(gain)),
        peak_interval=_ends(gains, level),
        peak_kl=finite(float(d) ** 2),
        peak_kl_interval=_ends(places**2, level),
        last_kl=float(moment.curve.kl.max()),
    )


def resampled(
    samples: Float[np.ndarray, "prompts rows"], count: int, generator: np.random.Generator
) -> Float[np.ndarray, "count rows"]:
    """Mean gains over prompts drawn with replacement."""
    drawn = generator.multinomial(len(samples), np.full(len(samples), 1 / len(samples)), size=count)
    return drawn @ samples / len(samples)


def moments_of(curves: Sequence[RewardCurve], source: str) -> tuple[tuple[Moments, ...], tuple[Diagnostic, ...]]:
    """The normal equations of several curves, and a warning about those that have too few rows and are left out.

    Raises:
        InputError: one line per curve, if none has enough.
    """
    made, short = [], []
    for curve in curves:
        try:
            made.append(moments(curve))
        except InputError as error:
            short += list(error.errors)
    if not made:
        more = len(short) - _MOST_LINES
        rest = [f"{source}: {more} more runs likewise"] if more > 0 else []
        raise InputError([*(f"{source}: {line}" for line in short[:_MOST_LINES]), *rest])
    notes = (Diagnostic("few-runs", f"left out: {listed(short, 3)}"),) if short else ()
    return tuple(made), notes


def finite(value: float) -> float | None:
    """A number, or None where it is infinite or unknown."""
    return float(value) if np.isfinite(value) else None


def _ends(draws: Float[np.ndarray, " draws"], level: float) -> tuple[float | None, float | None]:
    """Ends of the central interval; None for an end that is infinite."""
    # Sorted ranks and no interpolation: infinite draws are places beyond every finite one.
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return finite(float(low)), finite(float(high))

"""Rolling-origin folds over pairs: how far each way misses the proxies of more pairs than those it was fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from analysis.rewards.curves import RewardCurve
from analysis.rewards.fitting.coefficients import Proxy
from analysis.rewards.fitting.curve_fit import Moments
from analysis.rewards.forecasting.methods import FORMS, NAIVE, Points, expected_loss
from analysis.rewards.laws import BEST_OF_N

_FEWEST = 2  # numbers of pairs that a fold is fitted to
_NEAREST = np.log(4.0)  # a reach that every backtest covers
_SLACK = 1e-9
_KERNEL = 0.12  # of d


@dataclass(frozen=True)
class Misses:
    """Root mean squares of a way's errors over the held-out runs of all folds, in units of the reward.

    Attributes:
        gain: over all rows of a run.
        peak: of the highest gain.
        place: of where it lies: of log n, or of sqrt(KL) of trained policies; half of what lies between two rows
            included.
    """

    gain: float
    peak: float
    place: float


@dataclass(frozen=True)
class Profile:
    """A way's errors on held-out rows along their curves.

    Attributes:
        d: of each row.
        square: of its error.
        share: of its run, by which it counts.
    """

    d: Float[np.ndarray, " rows"]
    square: Float[np.ndarray, " rows"]
    share: Float[np.ndarray, " rows"]

    def error(self, at: Points) -> Points:
        """Root mean square error about some d, by a Gaussian kernel; beyond the last row it grows as d does."""
        last = float(self.d.max())
        near = np.exp(-0.5 * ((np.minimum(at, last)[:, None] - self.d) / _KERNEL) ** 2) * self.share
        # Where no row is near, the nearest counts: the kernel's least weight keeps the sum from 0.
        near = np.maximum(near, 1e-12 * self.share)
        return np.sqrt(near @ self.square / near.sum(axis=1)) * np.maximum(at / last, 1.0)


@dataclass(frozen=True)
class TestedWays:
    """The errors of all ways, and the weights that follow.

    Attributes:
        misses: of each way that forecast any held-out run, naive ones too.
        profiles: their errors along the curve.
        weights: of the forms of the law, together 1: inverse to their mean square error plus the median one.
        together: of the forms, weighted.
        reach: root mean square of log(pairs of a held-out run / most pairs fitted).
        runs: how many different runs were held out.
    """

    misses: Mapping[str, Misses]
    profiles: Mapping[str, Profile]
    weights: Mapping[str, float]
    together: Misses
    reach: float
    runs: int

    @property
    def naive(self) -> str:
        """The naive way that missed least."""
        return min((name for name in NAIVE if name in self.misses), key=lambda name: self.misses[name].gain)

    @property
    def refusal(self) -> str | None:
        """Why the law's forecast is refused, or None: a naive one missed less."""
        naive = self.misses[self.naive].gain
        if self.together.gain < naive:
            return None
        return (
            f"on fitted runs of more pairs the law's forecast misses the gold reward by {self.together.gain:.3f}, and "
            f"the naive one, {self.naive!r}, by {naive:.3f}"
        )


@dataclass(frozen=True)
class _HeldOut:
    """One held-out run of one fold: each way's gains at its rows."""

    curve: RewardCurve
    gains: Mapping[str, Points]
    share: float
    reach: float


def backtest_rewards(runs: Sequence[Moments], reach: float) -> TestedWays | None:
    """Errors of every way, fitted to the runs of few pairs, on those of more; None without a fold.

    Args:
        runs: with known pairs.
        reach: the requested log(pairs / most pairs fitted); runs further off are not scored.
    """
    held = list(_folds(runs, max(reach, float(_NEAREST))))
    tested = [name for name in FORMS if any(name in each.gains for each in held)]
    if not held or not tested:
        return None
    squares = {name: _misses(held, {name: 1.0}).gain ** 2 for name in tested}
    median = float(np.median(list(squares.values())))
    weights = {name: 1 / max(square + median, 1e-300) for name, square in squares.items()}
    largest = max(weights.values())
    total = sum(weight / largest for weight in weights.values())
    weights = {name: weight / largest / total for name, weight in weights.items()}
    naive = [name for name in NAIVE if any(name in each.gains for each in held)]
    return TestedWays(
        misses={name: _misses(held, {name: 1.0}) for name in (*tested, *naive)},
        profiles={name: _profile(held, name) for name in (*tested, *naive)},
        weights=weights,
        together=_misses(held, weights),
        reach=_root([each.reach for each in held], [1.0] * len(held)),
        runs=len({each.curve.run_id for each in held}),
    )


def _folds(runs: Sequence[Moments], reach: float) -> list[_HeldOut]:
    levels = sorted({run.curve.pairs for run in runs})
    held = []
    for most in levels[_FEWEST - 1 : -1]:
        fitted = [run for run in runs if run.curve.pairs <= most]
        for run in runs:
            ahead = float(np.log(run.curve.pairs / most))
            if not 0 < ahead <= reach + _SLACK:
                continue
            proxy = Proxy(run.curve.pairs, run.curve.reward_params, expected_loss(fitted, run.curve.pairs))
            d = run.curve.d[judged(run.curve)]
            gains = {name: way(fitted, proxy, d) for name, way in (FORMS | NAIVE).items()}
            known = {name: gain for name, gain in gains.items() if gain is not None}
            held.append(_HeldOut(run.curve, known, len(fitted) / len(runs), ahead))
    return held


def _misses(held: Sequence[_HeldOut], weights: Mapping[str, float]) -> Misses:
    """Errors of the ways together, each run by its fold's share of the runs; a way that has no forecast is left out."""
    gain, peak, place, share = [], [], [], []
    for each in held:
        present = [name for name in weights if name in each.gains]
        if not present:
            continue
        total = sum(weights[name] for name in present)
        predicted = sum((weights[name] / total * each.gains[name] for name in present), np.zeros(1))
        rows = judged(each.curve)
        gain.append(float(np.sqrt(np.mean((predicted - each.curve.gain[rows]) ** 2))))
        smooth = each.curve.smoothed()[rows]
        peak.append(float(predicted.max() - smooth.max()))
        where = coordinate(each.curve)[rows]
        # Both peaks lie on rows, and true ones anywhere between two.
        between = float(np.median(np.diff(where))) / 2 if len(where) > 1 else 0.0
        place.append(float(np.hypot(where[np.argmax(predicted)] - where[np.argmax(smooth)], between)))
        share.append(each.share)
    return Misses(_root(gain, share), _root(peak, share), _root(place, share))


def _profile(held: Sequence[_HeldOut], name: str) -> Profile:
    parts = [
        (each.curve.d[judged(each.curve)], (each.gains[name] - each.curve.gain[judged(each.curve)]) ** 2, each.share)
        for each in held
        if name in each.gains
    ]
    return Profile(
        np.concatenate([d for d, _, _ in parts]),
        np.concatenate([square for _, square, _ in parts]),
        np.concatenate([np.full(len(d), share / len(d)) for d, _, share in parts]),
    )


def judged(curve: RewardCurve) -> Bool[np.ndarray, " rows"]:
    """Mask of the rows that forecasts are judged by: those beyond the start that the law holds for."""
    return (curve.d > 0) & (curve.d >= curve.law.least)


def coordinate(curve: RewardCurve) -> Float[np.ndarray, " rows"]:
    """Where a peak lies, in the units of its error: log n, or sqrt(KL)."""
    return np.log(curve.n) if curve.law is BEST_OF_N and curve.n is not None else curve.d


def _root(errors: Sequence[float], share: Sequence[float]) -> float:
    return float(np.sqrt(np.average(np.square(errors), weights=share)))

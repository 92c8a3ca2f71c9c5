"""The contrast by all laws, weighed by what each missed, with draws of what the runs and the forms leave open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.mixing.contrast.fitting import FittedShape, fit_shape
from analysis.mixing.contrast.folds import Fold, Misses, left_out_folds, misses, scale_folds
from analysis.mixing.contrast.noise import contrast_noise
from analysis.mixing.contrast.shapes import SHAPES, Shape
from analysis.mixing.points import MixturePoints

# Weights fall with the square of the misses, as for estimates with independent errors.
_POWER = 2
_PERFECT = 1e-4
# The form's error grows with each factor e of FLOPs by this share of the variance between mixtures, where no runs of
# two sizes say so: RegMix's runs (2407.01492) from 1M to 60M parameters give .005, four domains of the Pile .012.
_DRIFT = 0.01
_SHARED = 2.0  # folds that the domains' mean counts for in the drift of each
_SHRINKAGE = 0.5  # of the domains' correlations, to none


@dataclass(frozen=True)
class FormError:
    """What the pooled contrast may miss on each domain beyond what its draws show.

    Attributes:
        left_out: standard deviation for a mixture that was not tried, at fitted sizes.
        drift: variance added with each factor e of FLOPs beyond the fitted runs' mean, as by a random walk.
        distance: between two mixtures at which their errors have become independent of each other.
        correlation: of the errors on two domains.
    """

    left_out: Float[np.ndarray, " domains"]
    drift: Float[np.ndarray, " domains"]
    distance: float
    correlation: Float[np.ndarray, "domains domains"]

    def sd(self, reach: float) -> Float[np.ndarray, " domains"]:
        """Standard deviation at so many times (as a log) the mean FLOPs of the fitted runs."""
        return np.sqrt(self.left_out**2 + self.drift * max(reach, 0.0))


@dataclass(frozen=True)
class Contrast:
    """What a mixture adds to the log loss on each domain, beyond the reference mixture.

    Attributes:
        points: the fitted runs.
        fits: of each law and domain; None where a law does not apply to a domain.
        weights: of each law on each domain; each column sums to 1.
        drawn: the law and the member of its batch that each draw takes on each domain.
        noise: standard deviation of one run's contrast on each domain; NaN where no mixture was repeated.
        error: of the form.
        misses: root mean square of what each law missed on each domain.
    """

    points: MixturePoints
    fits: tuple[tuple[FittedShape | None, ...], ...]
    laws: tuple[str, ...]
    weights: Float[np.ndarray, "laws domains"]
    drawn: Int[np.ndarray, "2 draws domains"]
    noise: Float[np.ndarray, " domains"]
    error: FormError
    misses: Float[np.ndarray, "laws domains"]

    def centre(
        self, shares: Float[np.ndarray, "mixtures sources"], n: float, d: float, c: float
    ) -> Float[np.ndarray, "domains mixtures"]:
        """The pooled contrast of mixtures at one size, length and FLOPs, given as logarithms."""
        total = np.zeros((self.weights.shape[1], len(shares)))
        for domains, weights, fitted in self._alike:
            total[domains] += weights[:, None] * self._beyond_reference(fitted, shares, n, d, c)
        return total

    @cached_property
    def _alike(self) -> list[tuple[list[int], Float[np.ndarray, " some"], FittedShape]]:
        """The first fits of each law as one batch, of all domains at once where it sees the same of all."""
        batches = []
        for law, row in zip(self.fits, self.weights, strict=True):
            seen: dict[int | None, list[tuple[int, FittedShape]]] = {}
            for domain, each in enumerate(law):
                if each is not None and row[domain] > 0:
                    seen.setdefault(each.own if each.shape.own else None, []).append((domain, each))
            for same in seen.values():
                domains = [domain for domain, _ in same]
                theta = np.concatenate([each.theta[:1] for _, each in same])
                batches.append((domains, row[domains], replace(same[0][1], theta=theta)))
        return batches

    def draws(
        self, shares: Float[np.ndarray, "mixtures sources"], n: float, d: float, c: float, most: int | None = None
    ) -> Float[np.ndarray, "draws domains mixtures"]:
        """Draws of the contrast, each of one law fitted to a resample of the mixtures: all, or the first of them."""
        law, member = self.drawn[:, :most]
        found = np.empty((*law.shape, len(shares)))
        for domain in range(law.shape[1]):
            for number in np.unique(law[:, domain]):
                fitted = self.fits[number][domain]
                assert fitted is not None
                mine = law[:, domain] == number
                taken = replace(fitted, theta=fitted.theta[member[mine, domain]])
                found[mine, domain] = self._beyond_reference(taken, shares, n, d, c)
        return found

    def over(self, points: MixturePoints) -> Float[np.ndarray, "domains runs"]:
        """The pooled contrast of runs, each at its own size and length."""
        found = np.zeros((len(points.domains), len(points)))
        for cell in range(points.n_cells):
            here = points.cells == cell
            n, d = np.log(points.params[here].mean()), np.log(points.tokens[here].mean())
            found[:, here] = self.centre(points.shares[here], n, d, float(points.log_flops[here][0]))
        return found

    def _beyond_reference(
        self, fitted: FittedShape, shares: Float[np.ndarray, "mixtures sources"], n: float, d: float, c: float
    ) -> Float[np.ndarray, "batch mixtures"]:
        """What mixtures add beyond the reference, which is told without repetition, as levels are extrapolated."""
        endless = fitted.resized(np.full_like(self.points.unique, np.nan))
        return fitted.at(shares, n, d, c) - endless.at(self.points.reference[None], n, d, c)

    def resized(self, unique: Float[np.ndarray, " sources"]) -> "Contrast":
        """The contrast where the sources have other numbers of tokens; NaN for those that never repeat."""
        fits = tuple(tuple(None if each is None else each.resized(unique) for each in law) for law in self.fits)
        return replace(self, fits=fits)

    def reach(self, c: float) -> float:
        """Log FLOPs over the mean of the fitted runs, which tell the contrast together."""
        return float(c - self.points.log_flops.mean())

    @property
    def mean_weights(self) -> dict[str, float]:
        """The weight of each law, averaged over domains."""
        return {name: float(row.mean()) for name, row in zip(self.laws, self.weights, strict=True)}


def own_source(points: MixturePoints, domain: int) -> int | None:
    """The place of the source that a domain is named after, if there is one."""
    name = points.domains[domain]
    return points.sources.index(name) if name in points.sources else None


def laws_for(points: MixturePoints, law: str = "auto") -> list[Shape]:
    """The shapes that runs can determine: joint ones only where there are several sizes or lengths."""
    if law != "auto":
        return [SHAPES[law]]
    return [shape for shape in SHAPES.values() if points.n_cells > 1 or not shape.joint]


def fit_contrast(points: MixturePoints, law: str = "auto", draws: int = 200) -> Contrast:
    """Fits and weighs the laws of the contrast.

    Args:
        points: the runs.
        law: one of ``SHAPES``, or ``auto`` for all of them.
        draws: how many.

    Raises:
        InputError: a law that says nothing on some domain.
    """
    shapes, domains = laws_for(points, law), range(len(points.domains))
    own = [own_source(points, domain) for domain in domains]
    folds = [*left_out_folds(points), *scale_folds(points)]
    silent = [[_silent(shape, own[domain]) for domain in domains] for shape in shapes]
    if mute := [name for name, all_silent in zip(points.domains, np.all(silent, axis=0), strict=True) if all_silent]:
        raise InputError(f"`law` {law} says nothing on {name}, which no source is named after" for name in mute)
    missed = [
        [None if silent[row][domain] else misses(shape, points, domain, own[domain], folds) for domain in domains]
        for row, shape in enumerate(shapes)
    ]
    rms = np.array([[np.inf if each is None else each.rms for each in row] for row in missed])
    weights = _weights(rms, silent)
    random = np.random.default_rng(0)
    resamples, drawn = _resamples(points, draws, random), _drawn(weights, draws, random)
    fits = []
    for number, shape in enumerate(shapes):
        row: list[FittedShape | None] = []
        for domain in domains:
            if silent[number][domain]:
                row.append(None)
                continue
            mine = np.flatnonzero(drawn[0, :, domain] == number)
            drawn[1, mine, domain] = np.arange(1, len(mine) + 1)
            row.append(_fitted(shape, points, domain, own[domain], resamples[mine], random))
        fits.append(tuple(row))
    noise = contrast_noise(points)
    contrast = Contrast(
        points=points,
        fits=tuple(fits),
        laws=tuple(shape.name for shape in shapes),
        weights=weights,
        drawn=drawn,
        noise=noise,
        error=FormError(np.zeros(len(own)), np.zeros(len(own)), 1.0, np.eye(len(own))),
        misses=rms,
    )
    return _with_error(contrast, folds, missed)


def _silent(shape: Shape, own: int | None) -> bool:
    """Whether a law says nothing on a domain, as it has no source of its own."""
    return shape.own and own is None


def _weights(
    rms: Float[np.ndarray, "laws domains"], silent: Sequence[Sequence[bool]]
) -> Float[np.ndarray, "laws domains"]:
    """Weights by what was missed; alike where nothing could be tested."""
    tested = np.isfinite(rms)
    weights = np.where(tested, 1 / np.maximum(np.where(tested, rms, 1.0), _PERFECT) ** _POWER, 0.0)
    weights = np.where(tested.any(axis=0), weights, ~np.array(silent))
    return np.asarray(weights / weights.sum(axis=0))


def _resamples(points: MixturePoints, draws: int, random: np.random.Generator) -> Float[np.ndarray, "draws runs"]:
    """Weights of the runs in each draw: one of each mixture, as its runs are correlated (Rubin's bootstrap)."""
    return random.exponential(size=(draws, len(points.tried)))[:, points.mixtures]


def _drawn(
    weights: Float[np.ndarray, "laws domains"], draws: int, random: np.random.Generator
) -> Int[np.ndarray, "2 draws domains"]:
    """The law that each draw takes on each domain, in proportion to the weights; the members are filled in later."""
    even = random.permutation((np.arange(draws) + 0.5) / draws)
    law = np.stack([np.searchsorted(np.cumsum(column)[:-1], even) for column in weights.T], axis=1)
    return np.stack([law, np.zeros_like(law)])


def _fitted(
    shape: Shape,
    points: MixturePoints,
    domain: int,
    own: int | None,
    resamples: Float[np.ndarray, "draws runs"],
    random: np.random.Generator,
) -> FittedShape:
    """A law's fit to a domain: the first member to all runs, the others to resamples with beliefs drawn anew."""
    weights = np.concatenate([np.ones((1, len(points))), resamples])
    params = len(shape.prior(len(points.sources)).mean) + 2
    beliefs = np.concatenate([np.zeros((1, params)), random.normal(size=(len(resamples), params))])
    return fit_shape(shape, points, domain, own, weights, beliefs)


def _with_error(contrast: Contrast, folds: list[Fold], missed: Sequence[Sequence[Misses | None]]) -> Contrast:
    """The contrast with the error of its form, from what the pool of laws missed in the folds."""
    points, domains = contrast.points, len(contrast.points.domains)
    noise = np.nan_to_num(contrast.noise)
    spread = np.var(np.log(points.losses) - _cell_means(points, np.log(points.losses)), axis=0)
    left_out, drift, pooled = np.empty(domains), np.empty(domains), []
    for domain in range(domains):
        rows = [(row[domain], weight) for row, weight in zip(missed, contrast.weights[:, domain], strict=True)]
        known = [(each, weight) for each, weight in rows if each is not None and weight > 0]
        values = sum((weight * each.values for each, weight in known), np.zeros(len(known[0][0].values)))
        fold = known[0][0].fold
        pooled.append(values)
        estimated = _estimated_variance(contrast, domain)
        squares = {number: float((values[fold == number] ** 2).mean()) for number in np.unique(fold)}
        within = [squares[number] for number in squares if folds[number].reach == 0]
        # Where nothing could be left out, half of the differences between mixtures is in doubt.
        base = float(np.mean(within)) if within else 0.25 * float(spread[domain])
        left_out[domain] = np.sqrt(max(base - noise[domain] ** 2 - estimated, 0.0))
        rises = [max(squares[each] - base, 0.0) / folds[each].reach for each in squares if folds[each].reach > 0]
        drift[domain] = np.mean(rises) / spread[domain] if rises else np.nan
    return replace(
        contrast, error=FormError(left_out, _shrunk(drift) * spread, _distance(points), _correlation(pooled))
    )


def _shrunk(drift: Float[np.ndarray, " domains"]) -> Float[np.ndarray, " domains"]:
    """Drifts as shares of the variance between mixtures, drawn to the domains' mean, as each rests on few folds.

    Args:
        drift: of each domain; NaN where no larger runs could be left out.
    """
    known = drift[np.isfinite(drift)]
    common = np.mean([_DRIFT, known.mean()]) if len(known) else _DRIFT
    own = np.where(np.isfinite(drift), drift, common)
    return np.asarray((own + _SHARED * common) / (1 + _SHARED))


def _cell_means(points: MixturePoints, values: Float[np.ndarray, "runs domains"]) -> Float[np.ndarray, "runs domains"]:
    means = np.stack([values[points.cells == cell].mean(axis=0) for cell in range(points.n_cells)])
    return np.asarray(means[points.cells])


def _estimated_variance(contrast: Contrast, domain: int) -> float:
    """The mean variance over the tried mixtures of the draws, in the middle of the runs."""
    points = contrast.points
    n, d, c = (float(np.mean(each)) for each in (np.log(points.params), np.log(points.tokens), points.log_flops))
    return float(contrast.draws(points.tried, n, d, c)[:, domain].var(axis=0).mean())


def _distance(points: MixturePoints) -> float:
    """The median distance between two tried mixtures."""
    apart = distances(points.tried, points.tried)
    return float(np.median(apart[np.triu_indices(len(apart), 1)])) if len(apart) > 1 else 1.0


def distances(
    first: Float[np.ndarray, "a sources"], second: Float[np.ndarray, "b sources"]
) -> Float[np.ndarray, "a b"]:
    """Hellinger's distance between mixtures, which counts a small share of a source for much."""
    inner = np.sqrt(first) @ np.sqrt(second).T
    return np.sqrt(np.maximum(1 - inner, 0.0))


def _correlation(values: list[Float[np.ndarray, " tests"]]) -> Float[np.ndarray, "domains domains"]:
    """Correlations of what was missed on the domains, shrunk."""
    count = len(values)
    if count == 1 or len(values[0]) < 3 or any(np.ptp(each) == 0 for each in values):
        return np.eye(count)
    return np.asarray((1 - _SHRINKAGE) * np.corrcoef(np.stack(values)) + _SHRINKAGE * np.eye(count))

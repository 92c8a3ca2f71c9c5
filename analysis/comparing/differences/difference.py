"""The difference of two contenders at a target: ways -> folds of differences -> weights -> interval and probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from analysis.comparing.differences.cells import Cells
from analysis.comparing.differences.pairs import Pairs, pair
from analysis.comparing.differences.surfaces import Surface, surface_of
from analysis.comparing.differences.ways import WAYS, Evidence, laws_apart
from analysis.errors import InputError
from analysis.fitting.fit import resample_weights
from analysis.forecasting.pooling import central_spread, interquartile_mean
from analysis.laws import Inputs

_MOST_FOLDS, _FOLD_DRAWS = 6, 40
_FEWEST_PAIRS = 3
# Before any fold has spoken a difference is believed to change by a quarter of itself per tenfold compute.
_PRIOR_CHANGE, _PRIOR_FOLDS = 0.25 / np.log(10.0), 2.0
_PRIOR_FREEDOM = 3
_MOST_RATIO = 4.0  # of noise at a target and among the runs
_PRIOR_SCATTER = 0.003  # of the difference of two small runs by their seeds, worth one degree of freedom
_UNPAIRED = 0.05  # a difference of log losses, where none was measured


@dataclass(frozen=True)
class Difference:
    """The log loss of the second contender less that of the first, at some targets.

    Attributes:
        centre: of each.
        scale: standard deviation of each, for the mean of the requested seeds.
        freedom: degrees of freedom of Student's t about it.
        weights: of each way that took part, together 1.
        folds: how many there were.
        tested: log of the largest factor of compute from fitted to held-out pairs.
        scatter: standard deviation of the difference of two runs of the largest paired budget.
        drift: standard deviation by which differences left the ways' forecasts, per factor e of compute.
        noise_ratio: scatter at the first target over ``scatter``.
    """

    centre: Float[np.ndarray, " rows"]
    scale: Float[np.ndarray, " rows"]
    freedom: float
    weights: Mapping[str, float]
    folds: int
    tested: float
    scatter: float
    drift: float
    noise_ratio: float = 1.0

    def interval(self, level: float) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Ends of the interval at each target."""
        half = student.ppf((1 + level) / 2, self.freedom) * self.scale
        return self.centre - half, self.centre + half

    @property
    def better(self) -> Float[np.ndarray, " rows"]:
        """Probability (rows,) that the second contender's loss is the lower one."""
        return np.asarray(student.cdf(-self.centre / self.scale, self.freedom))


class Surfaces:
    """Contenders' cells up to some compute, and their surfaces, each made once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[int, int], Cells] = {}
        self._made: dict[tuple[int, int], Surface | None] = {}
        self._kept: list[Cells] = []  # so that no other cells get their identity

    def upto(self, cells: Cells, compute: float) -> Cells:
        """The cells up to a log compute, a little more being the same."""
        below = cells.inputs.c <= compute + 0.05
        if below.all():
            return cells
        key = (id(cells), int(below.sum()))
        if key not in self._parts:
            self._kept.append(cells)
            self._parts[key] = cells.take(below)
        return self._parts[key]

    def of(self, cells: Cells, draws: int) -> Surface | None:
        """The surface of some cells."""
        key = (id(cells), draws)
        if key not in self._made:
            self._kept.append(cells)
            self._made[key] = surface_of(cells, draws)
        return self._made[key]


def difference(
    first: Cells,
    second: Cells,
    targets: tuple[Inputs, Inputs],
    *,
    seeds: float = 1.0,
    draws: int = 200,
    surfaces: Surfaces | None = None,
) -> Difference:
    """Forecasts the difference of two contenders.

    Args:
        first: cells of the first contender.
        second: cells of the second.
        targets: the points of each.
        seeds: pairs of runs that the mean at a target is over.
        draws: resamples of pairs and cells.
        surfaces: fitted before.

    Raises:
        InputError: no pairs of cells, and too few for a law of each.
    """
    surfaces = Surfaces() if surfaces is None else surfaces
    pairs = pair(first, second)
    both = min(float(cells.inputs.c.max()) for cells in (first, second))
    top = float(pairs.compute.max()) if len(pairs) else both
    seen = _evidence(first, second, pairs, float("inf"), draws, surfaces, draws)
    ways = WAYS if len(pairs) else {"laws apart": laws_apart}
    found = {name: made for name, way in ways.items() if (made := way(seen, *targets)) is not None}
    if not found:
        raise InputError("no two runs are of one size and length, and they are too few for a law of each contender")
    folds = [fold for origin in _origins(pairs) if (fold := _fold(first, second, pairs, origin, surfaces)) is not None]
    names = list(found)
    weights = _weights(names, folds)
    centres = np.stack([found[name][0] for name in names])
    centre = interquartile_mean(centres, weights)
    spread = central_spread([found[name][1] for name in names], weights)
    scatter = _scatter(seen, names, weights) if len(pairs) else _unpaired_scatter(seen)
    by_name = dict(zip(names, weights.tolist(), strict=True))
    drift = _drift(folds, by_name, scatter, pairs)
    compute = (targets[0].c + targets[1].c) / 2
    reach = np.maximum(compute - top, 0.0)
    ratio = np.clip(np.exp(pairs.slope * (compute - top)), 1 / _MOST_RATIO, _MOST_RATIO)
    return Difference(
        centre,
        np.sqrt(spread**2 + (drift * reach) ** 2 + (scatter * ratio) ** 2 / seeds),
        _PRIOR_FREEDOM + len(folds),
        by_name,
        len(folds),
        max((fold.reach for fold in folds), default=0.0),
        scatter,
        drift,
        float(ratio[0]),
    )


@dataclass(frozen=True)
class _Fold:
    """What each way made of the pairs beyond an origin, from those up to it, and of their mean in each resample."""

    forecast: Mapping[str, Float[np.ndarray, " held"]]
    means: Mapping[str, Float[np.ndarray, "draws 1"]]
    actual: Float[np.ndarray, " held"]
    distance: Float[np.ndarray, " held"]
    weight: Float[np.ndarray, " held"]

    @property
    def reach(self) -> float:
        return float(self.distance.max())


def _origins(pairs: Pairs) -> Sequence[float]:
    budget = pairs.budget
    if not len(pairs):
        return []
    ends = [float(pairs.compute[budget <= number].max()) for number in range(int(budget.max()))]
    enough = [end for end in ends if (pairs.compute <= end).sum() >= max(_FEWEST_PAIRS, len(pairs) / 4)]
    places = np.unique(np.linspace(0, len(enough) - 1, min(_MOST_FOLDS, len(enough))).round().astype(int))
    return [enough[place] for place in places] if enough else []


def _evidence(
    first: Cells, second: Cells, pairs: Pairs, upto: float, draws: int, surfaces: Surfaces, law_draws: int
) -> Evidence:
    below = pairs.compute <= upto
    ours, theirs = (surfaces.upto(cells, upto) for cells in (first, second))
    kept = pairs.take(below)
    count = len(kept)
    weights = resample_weights(np.arange(count), draws, 0) if count and draws else np.zeros((draws, count))
    both = (surfaces.of(ours, law_draws), surfaces.of(theirs, law_draws))
    return Evidence(ours, theirs, kept, both, weights, law_draws)


def _fold(first: Cells, second: Cells, pairs: Pairs, origin: float, surfaces: Surfaces) -> _Fold | None:
    seen = _evidence(first, second, pairs, origin, _FOLD_DRAWS, surfaces, 0)
    held = pairs.take(pairs.compute > origin)
    made = {name: found for name, way in WAYS.items() if (found := way(seen, held.first, held.second)) is not None}
    if not made:
        return None
    means = {
        name: np.average(drawn, weights=held.weight, axis=1)[:, None] for name, (_, drawn) in made.items() if len(drawn)
    }
    forecast = {name: centre for name, (centre, _) in made.items()}
    return _Fold(forecast, means, held.delta, held.compute - origin, held.weight)


def _weights(names: Sequence[str], folds: Sequence[_Fold]) -> Float[np.ndarray, " ways"]:
    """Weights of the ways by the mean square of their errors in the folds, shrunk towards equal ones by the median."""
    total, seen = np.zeros(len(names)), np.zeros(len(names))
    for fold in folds:
        scale = np.average(fold.distance**2, weights=fold.weight)
        for i, name in enumerate(names):
            if name in fold.forecast:
                total[i] += np.average((fold.forecast[name] - fold.actual) ** 2, weights=fold.weight)
                seen[i] += scale
    tested = seen > 0
    if not tested.any():
        return np.full(len(names), 1 / len(names))
    squares = total / np.where(tested, seen, 1.0)
    median = float(np.median(squares[tested]))
    weights = 1 / np.maximum(np.where(tested, squares, median) + median, 1e-300)
    return weights / weights.sum()


def _scatter(seen: Evidence, names: Sequence[str], weights: Float[np.ndarray, " ways"]) -> float:
    """Standard deviation of a pair's difference: of its seeds, and about what the ways make of the fitted pairs."""
    pairs = seen.pairs
    again = [WAYS[name](seen, pairs.first, pairs.second) for name in names]
    smooth = interquartile_mean(np.stack([made[0] for made in again if made is not None]), weights)
    squares, freedom = _PRIOR_SCATTER**2, 1
    if pairs.spread is not None:
        squares, freedom = squares + pairs.spread**2 * pairs.freedom, freedom + pairs.freedom
    if len(pairs) > 2:
        squares += float((pairs.weight * (pairs.delta - smooth) ** 2).sum())
        freedom += len(pairs) - 2
    return float(np.sqrt(squares / freedom))


def _unpaired_scatter(seen: Evidence) -> float:
    """Standard deviation of the difference of two runs about the surfaces of both contenders."""
    squares = 0.0
    for cells, surface in zip((seen.first, seen.second), seen.surfaces, strict=True):
        assert surface is not None
        residual = cells.log_loss - surface.log_loss(cells.inputs)
        squares += float((residual**2).sum() / max(len(cells) - len(surface.theta), 1))
    return float(np.sqrt(squares))


def _spread(fold: _Fold, weights: Mapping[str, float]) -> float:
    """Standard deviation of a fold's mean forecast by the resamples of its pairs: no drift, but noise of few runs."""
    drawn = [name for name in fold.means if weights.get(name)]
    own = np.array([weights[name] for name in drawn])
    if not len(drawn):
        return 0.0
    return float(central_spread([fold.means[name] for name in drawn], own / own.sum())[0])


def _drift(folds: Sequence[_Fold], weights: Mapping[str, float], scatter: float, pairs: Pairs) -> float:
    """How far differences leave the ways' forecasts per factor e of compute, beyond their scatter and the ways' own."""
    size = float(np.sqrt(np.average(pairs.delta**2, weights=pairs.weight))) if len(pairs) else _UNPAIRED
    total, count = _PRIOR_FOLDS * (_PRIOR_CHANGE * size) ** 2, _PRIOR_FOLDS
    for fold in folds:
        shared = [name for name in fold.forecast if name in weights]
        own = np.array([weights[name] for name in shared])
        if not own.sum():
            continue
        pooled = interquartile_mean(np.stack([fold.forecast[name] for name in shared]), own / own.sum())
        error = np.average(pooled - fold.actual, weights=fold.weight)
        noise = scatter**2 / fold.weight.sum() + _spread(fold, weights) ** 2
        total += max(float(error**2) - noise, 0.0)
        count += float(np.average(fold.distance, weights=fold.weight) ** 2)
    return float(np.sqrt(total / count))

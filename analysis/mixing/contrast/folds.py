"""Folds: what each law missed where some mixtures, or all larger runs, were left out of its fit."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.mixing.contrast.fitting import FittedShape, fit_shape
from analysis.mixing.contrast.shapes import Shape
from analysis.mixing.points import MixturePoints

_LEFT_OUT = 5  # parts that the mixtures are dealt to
_MOST_CUTS = 4
_APART = float(np.log(1.2))  # by which the FLOPs of fitted and tested runs differ at least
FEWEST_COMPARED = 3  # mixtures in a cell whose differences are judged


@dataclass(frozen=True)
class Fold:
    """A split of the runs.

    Attributes:
        train: the runs that are fitted.
        test: the runs that are predicted.
        reach: mean log FLOPs of the tested runs over those of the fitted ones; 0 where mixtures are left out.
    """

    train: Bool[np.ndarray, " runs"]
    test: Bool[np.ndarray, " runs"]
    reach: float


def left_out_folds(points: MixturePoints) -> list[Fold]:
    """Folds that leave out a part of the mixtures at every size; empty where that leaves too few."""
    count = len(points.tried)
    parts = min(_LEFT_OUT, count)
    # Dealt out in order of their main source and its share, so that every part has some of all kinds.
    order = np.lexsort((-points.tried.max(axis=1), points.tried.argmax(axis=1)))
    part = np.empty(count, int)
    part[order] = np.arange(count) % parts
    folds = []
    for number in range(parts):
        test = part[points.mixtures] == number
        if len(np.unique(points.mixtures[~test])) >= len(points.sources) + 1:
            folds.append(Fold(~test, test, 0.0))
    return folds


def cheaper(points: MixturePoints, cells: Sequence[int]) -> list[Bool[np.ndarray, " runs"]]:
    """For each amount of compute at which some cells lie, the mask of the runs of clearly less; none that is empty."""
    masks: dict[bytes, Bool[np.ndarray, " runs"]] = {}
    for cell in cells:
        below = points.log_flops < points.log_flops[points.cells == cell][0] - _APART
        if below.any():
            masks.setdefault(below.tobytes(), below)
    return list(masks.values())


def scale_folds(points: MixturePoints) -> list[Fold]:
    """Rolling-origin folds: fitted on the cells of less compute, tested on those of more."""
    needed = len(points.sources) + 1
    compared = [
        cell
        for cell in range(points.n_cells)
        if len(np.unique(points.mixtures[points.cells == cell])) >= FEWEST_COMPARED
    ]
    folds = []
    for train in cheaper(points, compared):
        if len(np.unique(points.mixtures[train])) >= needed:
            reach = float(points.log_flops[~train].mean() - points.log_flops[train].mean())
            folds.append(Fold(train, ~train, reach))
    places = np.unique(np.linspace(0, len(folds) - 1, min(len(folds), _MOST_CUTS)).round().astype(int))
    return [folds[place] for place in places]


@dataclass(frozen=True)
class Misses:
    """What one law missed on one domain.

    Attributes:
        runs: that were predicted, by their place; a run may occur in several folds.
        fold: the number of each one's fold.
        values: measured minus predicted log loss, both as differences within the cell.
    """

    runs: Int[np.ndarray, " tests"]
    fold: Int[np.ndarray, " tests"]
    values: Float[np.ndarray, " tests"]

    @property
    def rms(self) -> float:
        """Root of the mean square, every fold counted alike; infinite without any."""
        if not len(self.values):
            return np.inf
        each = [(self.values[self.fold == fold] ** 2).mean() for fold in np.unique(self.fold)]
        return float(np.sqrt(np.mean(each)))


def misses(shape: Shape, points: MixturePoints, domain: int, own: int | None, folds: list[Fold]) -> Misses:
    """What a shape misses on one domain in each of some folds."""
    if not folds:
        none = np.empty(0, int)
        return Misses(none, none, np.empty(0))
    weights = np.stack([np.ones(len(points)), *(fold.train.astype(float) for fold in folds)])
    fitted: FittedShape = fit_shape(shape, points, domain, own, weights)
    predicted = fitted.over(points)[1:]
    left = np.log(points.losses[:, domain]) - predicted
    runs, numbers, values = [], [], []
    for number, fold in enumerate(folds):
        for cell in np.unique(points.cells[fold.test]):
            here = points.cells == cell
            tested = np.flatnonzero(here & fold.test)
            # In a cell that was fitted too, against its level; in an unseen one, against each other.
            base = here & fold.train if (here & fold.train).any() else here & fold.test
            if base.sum() < FEWEST_COMPARED:
                continue
            runs.append(tested)
            numbers.append(np.full(len(tested), number))
            values.append(left[number][tested] - left[number][base].mean())
    if not runs:
        none = np.empty(0, int)
        return Misses(none, none, np.empty(0))
    return Misses(np.concatenate(runs), np.concatenate(numbers), np.concatenate(values))

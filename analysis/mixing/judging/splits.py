"""Splits of a table of mixtures: which runs are fitted, and which are forecast."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from analysis.errors import InputError
from analysis.mixing.contrast.folds import FEWEST_COMPARED, cheaper
from analysis.mixing.points import MixturePoints
from analysis.mixing.table import MixtureTable, check_determined

_MOST_CUTS, _MOST_CELLS, _MOST_MIXTURES = 3, 3, 64
_PARTS = 4  # of the mixtures, one of which is left out


@dataclass(frozen=True)
class Split:
    """A split of the runs.

    Attributes:
        fit: mask of the runs that are fitted.
        cells: runs of each tested cell, by their place.
        unseen: whether the tested mixtures are none of those fitted.
    """

    fit: Bool[np.ndarray, " runs"]
    cells: tuple[Int[np.ndarray, " tested"], ...]
    unseen: bool


def splits(table: MixtureTable) -> list[Split]:
    """Rolling origins: fitted on the cells of less compute than a cut, tested on those of more.

    At each cut once with all mixtures, and once with a quarter of them left out of the fit and tested alone. Of a table
    of one scale, a quarter of the mixtures is left out, in turn.
    Of many cuts, cells and mixtures, some that lie evenly are taken.

    Raises:
        InputError: a table too small for any.
    """
    points = table.fit
    found = [split for number, below in enumerate(_cuts(table), 1) for split in _at_cut(table, below, number)]
    if not found:
        masks = [part(points, number) for number in range(_PARTS)]
        found = [_split(points, ~out, out, unseen=True) for out in masks if _determined(table, ~out)]
    found = [split for split in found if split.cells]
    if not found:
        raise InputError(
            f"{table.source}: too few runs for a backtest: it needs {len(points.sources) + 2} mixtures at less compute "
            f"than others, or {len(points.sources) + 2} without a quarter of those of a single size and length"
        )
    return found


def part(points: MixturePoints, number: int) -> Bool[np.ndarray, " runs"]:
    """Mask of the runs of one part of the mixtures, dealt out in order of appearance."""
    return points.mixtures % _PARTS == number


def _cuts(table: MixtureTable) -> list[Bool[np.ndarray, " runs"]]:
    """Masks of the runs of less compute than those of some cells with mixtures enough."""
    points = table.fit
    cuts = [below for below in cheaper(points, _compared(points, points.cells >= 0)) if _determined(table, below)]
    return [cuts[at] for at in _some(list(range(len(cuts))), _MOST_CUTS)]


def _at_cut(table: MixtureTable, below: Bool[np.ndarray, " runs"], number: int) -> Iterator[Split]:
    """The splits of one cut: of all mixtures, and of a part of them that the cut's number decides."""
    points = table.fit
    yield _split(points, below, ~below, unseen=False)
    out = part(points, number % _PARTS)
    if _determined(table, below & ~out):
        yield _split(points, below & ~out, ~below & out, unseen=True)


def _split(
    points: MixturePoints, fit: Bool[np.ndarray, " runs"], test: Bool[np.ndarray, " runs"], unseen: bool
) -> Split:
    cells = [np.flatnonzero(test & (points.cells == cell)) for cell in _some(_compared(points, test), _MOST_CELLS)]
    return Split(fit, tuple(np.array(_some(cell.tolist(), _MOST_MIXTURES)) for cell in cells), unseen)


def _compared(points: MixturePoints, runs: Bool[np.ndarray, " runs"]) -> list[int]:
    """Cells with mixtures enough among some runs to tell differences by."""
    cells = np.unique(points.cells[runs]).tolist()
    return [cell for cell in cells if len(np.unique(points.mixtures[runs & (points.cells == cell)])) >= FEWEST_COMPARED]


def _some(values: list[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included."""
    return [values[at] for at in np.unique(np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int))]


def _determined(table: MixtureTable, runs: Bool[np.ndarray, " runs"]) -> bool:
    if not runs.any():
        return False
    try:
        check_determined(replace(table, fit=table.fit.take(runs)))
    except InputError:
        return False
    return True

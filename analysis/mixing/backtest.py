"""Backtests of mixtures: the contrast and the level from a table's cheaper runs, judged by its dearer ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.mixing.contrast.pool import Contrast, fit_contrast, laws_for, own_source
from analysis.mixing.contrast.repetition import with_repeat
from analysis.mixing.judging.judged import Judged, judge
from analysis.mixing.judging.splits import Split, splits
from analysis.mixing.levels.level import levels
from analysis.mixing.points import MixturePoints
from analysis.mixing.surface import Surface, weights_of
from analysis.mixing.table import MixtureTable
from analysis.result import Result
from analysis.table_text import table_text

AUTO = "auto"
LEVEL = 0.9
BINS = (0.5, 0.6, 0.8, 0.9, 0.97, 1.0)
_DRAWS, _DRAWS_ALONE = 60, 30


@dataclass(frozen=True)
class Figures:
    """How forecasts of mixtures came out, each a mean over cells of one size and length.

    Attributes:
        contrast_error: mean absolute error of differences of the log loss from the cell's mean.
        level_error: absolute error of the cell's mean log loss, mean over domains.
        decisions: share of pairs of mixtures that were ranked right, on each domain.
        coverage: share of the intervals of losses that hold.
        contrast_coverage: share of the intervals of the differences that hold.
        cells: tested.
    """

    contrast_error: float
    level_error: float
    decisions: float
    coverage: float
    contrast_coverage: float
    cells: int


@dataclass(frozen=True)
class SplitFigures:
    """One law on one split.

    Attributes:
        law: of the contrast; ``auto`` for all, weighed.
        unseen: whether the tested mixtures were left out of the fit.
        fitted_runs: their number.
        fitted_mixtures: different ones.
        fitted_flops: of the largest of them.
        flops: of the largest tested runs.
        figures: how the forecasts came out.
    """

    law: str
    unseen: bool
    fitted_runs: int
    fitted_mixtures: int
    fitted_flops: float
    flops: float
    figures: Figures


@dataclass(frozen=True)
class Stated:
    """How often pairs that were ranked with some probability were ranked right.

    Attributes:
        low: the least probability of the likelier order.
        high: the largest.
        count: pairs, each counted on every domain.
        stated: mean probability; None without pairs.
        right: share that came out so; None without pairs.
    """

    low: float
    high: float
    count: int
    stated: float | None
    right: float | None


@dataclass(frozen=True, eq=False)
class MixtureBacktest(Result):
    """A backtest of mixtures.

    Attributes:
        summary: of ``auto`` and each law, over all splits.
        splits: of ``auto`` and each law, split by split.
        calibration: of ``auto``, by the probability stated.
        level: of the intervals.
        frame: one row a law, split, tested run and domain, as of :class:`analysis.mixing.judging.judged.Judged`.
        warnings: in words and codes.
    """

    summary: Mapping[str, Figures]
    splits: tuple[SplitFigures, ...]
    calibration: tuple[Stated, ...]
    level: float
    frame: pd.DataFrame
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling backtest --mixtures``."""
        return {
            "summary": {law: asdict(each) for law, each in self.summary.items()},
            "splits": [
                {**{key: value for key, value in asdict(each).items() if key != "figures"}, **asdict(each.figures)}
                for each in self.splits
            ],
            "calibration": [asdict(each) for each in self.calibration],
            "level": self.level,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a law, and its figures."""
        return pd.DataFrame({"law": law, **asdict(each)} for law, each in self.summary.items())


def backtest_mixtures(table: MixtureTable, laws: Sequence[str] | None = None) -> MixtureBacktest:
    """Forecasts a table's dearer runs from its cheaper ones, by each law of the contrast and by all of them, weighed.

    ``auto`` is :func:`analysis.mixing.choose.choose`'s own; a law alone has its level by Chinchilla's form.

    Args:
        table: of runs on mixtures.
        laws: of the contrast, ``auto`` among them; every one that applies, by default.

    Raises:
        InputError: a table too small for any split, or a law that says nothing on some domain.
    """
    judged: list[tuple[str, int, Judged]] = []
    every = splits(table)
    for number, split in enumerate(every):
        points = with_repeat(table.fit.take(split.fit))
        for law in _applying(points) if laws is None else laws:
            judged += [(law, number, each) for each in _judged(points, table.fit, split, law)]
    names = list(dict.fromkeys(law for law, _, _ in judged))
    frames = [each.losses.assign(law=law, split=number) for law, number, each in judged]
    pairs = [each.pairs for law, _, each in judged if law == AUTO]
    return MixtureBacktest(
        summary={name: _figures([each for law, _, each in judged if law == name]) for name in names},
        splits=tuple(_by_split(table.fit, every, judged)),
        calibration=calibration_of(pd.concat(pairs)) if pairs else (),
        level=LEVEL,
        frame=pd.concat(frames, ignore_index=True),
        warnings=table.warnings,
    )


def calibration_of(pairs: pd.DataFrame) -> tuple[Stated, ...]:
    """How often pairs came out as stated; ``pairs`` as of :class:`Judged`, or of several together."""
    stated = np.maximum(pairs["better"], 1 - pairs["better"])
    right = (pairs["better"] > 0.5) == (pairs["difference"] < 0)
    found = []
    for low, high in pairwise(BINS):
        inside = (stated >= low) & ((stated < high) if high < 1 else (stated <= high))
        some = bool(inside.any())
        found.append(
            Stated(
                low=low,
                high=high,
                count=int(inside.sum()),
                stated=float(stated[inside].mean()) if some else None,
                right=float(right[inside].mean()) if some else None,
            )
        )
    return tuple(found)


def _applying(points: MixturePoints) -> list[str]:
    """All laws weighed, and those that say something on every domain alone."""
    own = all(own_source(points, domain) is not None for domain in range(len(points.domains)))
    return [AUTO, *(shape.name for shape in laws_for(points) if own or not shape.own)]


def _judged(points: MixturePoints, table: MixturePoints, split: Split, law: str) -> Iterator[Judged]:
    """What was forecast of each tested cell, from the runs that are fitted."""
    contrast = fit_contrast(points, law, _DRAWS if law == AUTO else _DRAWS_ALONE)
    for cell in split.cells:
        runs = table.take(cell)
        yield judge(_surface(contrast, runs, law), runs, LEVEL)


def _surface(contrast: Contrast, runs: MixturePoints, law: str) -> Surface:
    params, tokens, flops = (float(values.mean()) for values in (runs.params, runs.tokens, runs.flops))
    return Surface(
        contrast=contrast,
        levels=levels(contrast, params, tokens, flops, forecaster=law == AUTO),
        n=float(np.log(params)),
        d=float(np.log(tokens)),
        c=float(np.log(flops)),
        weights=weights_of(None, runs.domains),
        seeds=1,
    )


def _figures(judged: Sequence[Judged]) -> Figures:
    rows = []
    for each in judged:
        losses, pairs = each.losses, each.pairs
        actual, contrast = losses["actual"], losses["actual_contrast"]
        rows.append(
            (
                (losses["contrast"] - contrast).abs().mean(),
                np.abs(each.level_error).mean(),
                ((pairs["forecast"] < 0) == (pairs["difference"] < 0)).mean(),
                ((losses["low"] <= actual) & (actual <= losses["high"])).mean(),
                ((losses["contrast_low"] <= contrast) & (contrast <= losses["contrast_high"])).mean(),
            )
        )
    contrast_error, level_error, decisions, coverage, contrast_coverage = np.mean(rows, axis=0).tolist()
    return Figures(contrast_error, level_error, decisions, coverage, contrast_coverage, len(rows))


def _by_split(
    points: MixturePoints, every: Sequence[Split], judged: Sequence[tuple[str, int, Judged]]
) -> Iterator[SplitFigures]:
    for law, number in dict.fromkeys((law, number) for law, number, _ in judged):
        split = every[number]
        fitted = points.take(split.fit)
        yield SplitFigures(
            law=law,
            unseen=split.unseen,
            fitted_runs=len(fitted),
            fitted_mixtures=len(fitted.tried),
            fitted_flops=float(fitted.flops.max()),
            flops=float(max(points.flops[cell].max() for cell in split.cells)),
            figures=_figures([each for name, at, each in judged if (name, at) == (law, number)]),
        )


def _lines(result: MixtureBacktest) -> Iterator[str]:
    """The text of ``scaling backtest --mixtures``."""
    head = ("law", "cells", "contrast", "level", "ranked right", f"{result.level:.0%} holds", "of differences")
    yield "mean absolute errors of log losses, and how often intervals hold"
    yield table_text("lrrrrrr", head, [(law, *_cells(each)) for law, each in result.summary.items()])
    rows = [
        (
            f"{each.fitted_runs} of {each.fitted_mixtures} mixtures",
            "others" if each.unseen else "any",
            f"{each.flops / each.fitted_flops:.3g}x",
            *_cells(each.figures),
        )
        for each in result.splits
        if each.law == AUTO
    ]
    if rows:
        yield f"\n{AUTO}, split by split"
        yield table_text("llrrrrrrr", ("fitted runs", "tested", "compute", *head[1:]), rows)
    stated = [
        (f"{each.low:.0%} to {each.high:.0%}", str(each.count), f"{each.stated:.0%}", f"{each.right:.0%}")
        for each in result.calibration
        if each.stated is not None and each.right is not None
    ]
    if stated:
        yield "\nhow often an order that was stated with some probability came out right"
        yield table_text("rrrr", ("stated", "pairs", "mean", "right"), stated)


def _cells(each: Figures) -> tuple[str, ...]:
    shares = (each.decisions, each.coverage, each.contrast_coverage)
    return (
        str(each.cells),
        f"{each.contrast_error:.2%}",
        f"{each.level_error:.2%}",
        *(f"{share:.0%}" for share in shares),
    )

"""The score of a frozen comparison: its probabilities, differences and multipliers against the targets' runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparing.comparison import Comparison, PairComparison, Point
from analysis.comparing.text import score_text
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable, save_text
from analysis.result import Result
from analysis.runs.table import RunTable


@dataclass(frozen=True)
class ScoredPair:
    """The score of one pair of contenders.

    Attributes:
        first: its name.
        second: its name.
        better: the probability, as frozen, that the second's loss is the lower one.
        right: whether the likelier one had it.
        brier: (better - outcome)^2.
        difference: log loss of the second less that of the first, as frozen.
        actual: as measured; of runs of one seed paired where both have it.
        inside: whether the interval holds it.
        multiplier: as frozen; None where it was not known, as for the next.
        actual_multiplier: of the measured difference, by what compute was forecast to buy the first contender.
        multiplier_inside: whether the interval holds that.
    """

    first: str
    second: str
    better: float
    right: bool
    brier: float
    difference: float
    actual: float
    inside: bool
    multiplier: float | None
    actual_multiplier: float | None
    multiplier_inside: bool | None


@dataclass(frozen=True)
class ComparisonScore(Result):
    """The score of a comparison.

    Attributes:
        pairs: of each two contenders.
        losses: mean loss of each contender's runs at its target, by name.
        runs: how many these are.
        best: the contender of the lowest loss.
        forecast_best: the one that was most likely best.
        brier: mean over the pairs.
        level: of the intervals.
        unit: of the losses.
        comparison_sha256: of the frozen file's content.
        warnings: in words and codes.
    """

    pairs: tuple[ScoredPair, ...]
    losses: Mapping[str, float]
    runs: Mapping[str, int]
    best: str
    forecast_best: str
    brier: float
    level: float
    unit: str
    comparison_sha256: str
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return score_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling score`` of a comparison."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a pair of contenders."""
        return pd.DataFrame(asdict(each) for each in self.pairs)

    def write(self, path: str | Path) -> None:
        """Writes the score as JSON, atomically."""
        save_text(Path(path), json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def read_comparison_score(path: str | Path) -> ComparisonScore:
    """Reads a score that :meth:`ComparisonScore.write` wrote.

    Raises:
        InputError: the file holds something else.
    """
    with readable(Path(path), "score of a comparison"):
        content = json.loads(Path(path).read_bytes())
        content["pairs"] = tuple(ScoredPair(**each) for each in content["pairs"])
        content["warnings"] = tuple(Diagnostic(**each) for each in content["warnings"])
        return ComparisonScore(**content)


def score_comparison(comparison: Comparison, tables: Mapping[str, RunTable]) -> ComparisonScore:
    """Compares a frozen comparison with the contenders' finished runs at their targets.

    Args:
        comparison: as frozen.
        tables: of each contender by name: those that it was made from, with the targets' runs beside, as rows of role
            target or, without roles, rows at the target's parameters and tokens.

    Raises:
        InputError: one line per contender whose table is missing, is another one, or has no run at the target.
    """
    errors, rows = [], {}
    for name, point in comparison.targets.items():
        if name not in tables:
            errors.append(f"no table of {name}; there are {', '.join(tables)}")
            continue
        table = tables[name].with_target(point.params, point.tokens)
        if table.hash() != comparison.table_hashes[name]:
            errors.append(
                f"{table.source}: not the runs of {name} that the comparison was made from: they hash to "
                f"{table.hash()[:12]}, those to {comparison.table_hashes[name][:12]}"
            )
            continue
        found = _at(table, point)
        if not len(found):
            errors.append(
                f"{table.source}: no finished run of {name} at {point.params:.4g} parameters and "
                f"{point.tokens:.4g} tokens"
            )
        rows[name] = found
    if errors:
        raise InputError(errors)
    losses = {name: float(found["loss"].mean()) for name, found in rows.items()}
    pairs = tuple(_scored(each, rows[each.first], rows[each.second], comparison) for each in comparison.pairs)
    return ComparisonScore(
        pairs=pairs,
        losses=losses,
        runs={name: len(found) for name, found in rows.items()},
        best=min(losses, key=lambda name: losses[name]),
        forecast_best=comparison.contenders[0],
        brier=float(np.mean([each.brier for each in pairs])),
        level=comparison.level,
        unit=comparison.unit,
        comparison_sha256=comparison.sha256,
        warnings=(),
    )


def _at(table: RunTable, point: Point) -> pd.DataFrame:
    rows = table.targets
    return rows[table.near(rows, point.params, point.tokens)]


def _scored(each: PairComparison, first: pd.DataFrame, second: pd.DataFrame, made: Comparison) -> ScoredPair:
    actual = _difference(first, second)
    better = actual < 0
    low, high = each.difference.low, each.difference.high
    assert each.difference.value is not None
    assert low is not None
    assert high is not None
    multiplier, inside = _multiplier(each, actual, made)
    return ScoredPair(
        first=each.first,
        second=each.second,
        better=each.better,
        right=(each.better >= 0.5) == better,
        brier=(each.better - float(better)) ** 2,
        difference=each.difference.value,
        actual=actual,
        inside=low <= actual <= high,
        multiplier=each.multiplier.value,
        actual_multiplier=multiplier,
        multiplier_inside=inside,
    )


def _difference(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Mean log loss of the second's runs less the first's, over the seeds in common where all runs have one."""
    ours, theirs = (
        np.log(rows["loss"]).groupby(rows["seed"]).mean() if "seed" in rows and rows["seed"].notna().all() else None
        for rows in (first, second)
    )
    if ours is not None and theirs is not None and len(shared := ours.index.intersection(theirs.index)):
        return float((theirs[shared] - ours[shared]).mean())
    return float(np.log(second["loss"]).mean() - np.log(first["loss"]).mean())


def _multiplier(each: PairComparison, actual: float, made: Comparison) -> tuple[float | None, bool | None]:
    """The multiplier of the measured difference, and whether the interval holds it."""
    if not each.gain:
        return None, None
    step, change = np.array(each.gain).T
    falling = np.maximum.accumulate(-change)
    if -actual > falling[-1] or -actual < falling[0]:
        return None, None
    excess = made.targets[each.first].flops / made.targets[each.second].flops
    value = float(np.exp(np.interp(-actual, falling, step)) * excess)
    low, high = each.multiplier.low, each.multiplier.high
    return value, (low is not None and low <= value and (high is None or value <= high))

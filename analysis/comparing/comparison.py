"""A comparison of contenders at a target: what it holds, and the file that it is frozen in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.comparing.text import comparison_text
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable
from analysis.frozen import digest, freeze_once
from analysis.result import Result

_MOST = 1e11


def finite(value: float) -> float | None:
    """A multiplier, or None for one beyond any."""
    return float(value) if np.isfinite(value) and value < _MOST else None


@dataclass(frozen=True)
class Span:
    """A value and the ends of its interval; null where it is not known, or no compute suffices."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Point:
    """A target of one contender: its parameters, tokens and FLOPs."""

    params: float
    tokens: float
    flops: float


@dataclass(frozen=True)
class BudgetRow:
    """What the runs of one budget show.

    Attributes:
        flops: mean of the pairs' FLOPs.
        pairs: pairs of cells there.
        difference: log loss of the second less that of the first.
        multiplier: times the compute that the first needs for the second's loss.
    """

    flops: float
    pairs: int
    difference: Span
    multiplier: Span


@dataclass(frozen=True)
class PairComparison:
    """The second of two contenders against the first.

    Attributes:
        first: its name.
        second: its name.
        difference: log loss of the second less that of the first, at the target.
        loss: the same in the unit of the loss, by the first contender's own surface.
        better: probability that the second's loss is the lower one.
        multiplier: times the compute that the first needs for the second's loss at the target.
        trend: factor by which the multiplier grows per tenfold compute among the runs.
        time: as the multiplier, of seconds.
        money: as the multiplier, of money.
        budgets: what the runs show, from the lowest budget.
        crossing: FLOPs at which the forecast changes sign beyond the runs, or None.
        crosses: probability that the order at the target is not that of the largest paired runs.
        pairs: pairs of cells.
        tested: largest factor of compute that a fold of the runs forecast over; 1 without any.
        weights: of the ways, together 1.
        scatter: standard deviation of one pair's difference.
        drift: standard deviation by which differences left their forecast per factor e of compute.
        freedom: degrees of freedom of Student's t.
        gain: logs of factors of compute and the first's change of log loss at each, to score the multiplier by.
        enough: whether the probability is 95 % or more for one of the two.
        deciding: what further runs would decide, in words; None where these do.
    """

    first: str
    second: str
    difference: Span
    loss: Span
    better: float
    multiplier: Span
    trend: Span
    time: Span | None
    money: Span | None
    budgets: tuple[BudgetRow, ...]
    crossing: float | None
    crosses: float
    pairs: int
    tested: float
    weights: Mapping[str, float]
    scatter: float
    drift: float
    freedom: float
    gain: tuple[tuple[float, float], ...]
    enough: bool
    deciding: str | None


@dataclass(frozen=True)
class Comparison(Result):
    """A comparison of two contenders or more at a target.

    Attributes:
        contenders: their names, from the one that is most likely best.
        best: probability of each that its loss is the lowest.
        may_be_best: those that no other beats with 95 %.
        targets: of each, by name.
        pairs: every two of them.
        unit: of the loss.
        level: of the intervals.
        target_seeds: runs of each whose mean is compared.
        extrapolation: target FLOPs / largest paired FLOPs, the largest of all pairs.
        runs: fitted runs of each, by name.
        sources: file of each, by name.
        where: filter of each, by name.
        parts: of tables that several share the filter of each one's own rows, by name; else null.
        columns: the user's mapping of columns, or None.
        table_hashes: of the fitted rows, by name.
        warnings: in words and codes.
        version: of this package.
        created: UTC, ISO 8601.
    """

    contenders: tuple[str, ...]
    best: Mapping[str, float]
    may_be_best: tuple[str, ...]
    targets: Mapping[str, Point]
    pairs: tuple[PairComparison, ...]
    unit: str
    level: float
    target_seeds: int
    extrapolation: float
    runs: Mapping[str, int]
    sources: Mapping[str, str]
    where: Mapping[str, str | None]
    parts: Mapping[str, str | None]
    columns: Mapping[str, str] | None
    table_hashes: Mapping[str, str]
    warnings: tuple[Diagnostic, ...]
    version: str
    created: str

    def pair(self, first: str, second: str) -> PairComparison:
        """The comparison of two contenders in this order.

        Raises:
            KeyError: they are not compared in this order.
        """
        for each in self.pairs:
            if (each.first, each.second) == (first, second):
                return each
        raise KeyError(f"{first} and {second}")

    def __str__(self) -> str:
        return comparison_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling compare``, contenders as they were given; of two with :func:`of_two` on top."""
        content = self._content() | {"contenders": list(self.targets)}
        return {
            "contenders": content.pop("contenders"),
            "p_best": content.pop("best"),
            **(of_two(self.pairs[0]) if len(self.pairs) == 1 else {}),
            **content,
        }

    def _content(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a pair of contenders."""
        return pd.DataFrame(
            {
                "first": each.first,
                "second": each.second,
                "better": each.better,
                "difference": each.difference.value,
                "low": each.difference.low,
                "high": each.difference.high,
                "multiplier": each.multiplier.value,
                "multiplier_low": each.multiplier.low,
                "multiplier_high": each.multiplier.high,
            }
            for each in self.pairs
        )

    def to_json(self) -> str:
        """Text of the frozen file, with a digest over its other keys."""
        content = self._content()
        return json.dumps({**content, "digest": digest(content)}, indent=1, allow_nan=False) + "\n"

    @property
    def sha256(self) -> str:
        """SHA-256 of the content of the frozen file."""
        return digest(self._content())

    def freeze(self, path: str | Path) -> "Comparison":
        """Writes the comparison once and for all, atomically.

        Returns:
            The frozen comparison: the one already in the file if it differs by its time alone.

        Raises:
            InputError: if the file holds another one, or cannot be written.
        """
        path = Path(path)
        if freeze_once(path, self.to_json()):
            return self
        frozen = read_comparison(path)
        if replace(frozen, created="") != replace(self, created=""):
            raise InputError(f"{path}: holds another frozen comparison; choose another file, or remove it first")
        return frozen


def of_two(pair: PairComparison) -> dict[str, Any]:
    """What programs ask first of two contenders, the second against the first.

    ``delta`` is the second's loss / the first's - 1 at the target, ``multiplier`` the times of compute that the first
    needs for the second's loss: above 1 the second is better. ``crossing`` is null where the order is the same at the
    target as among the runs.
    """
    change, factor = pair.difference, pair.multiplier
    return {
        "delta": None if change.value is None else float(np.expm1(change.value)),
        "delta_interval": [None if end is None else float(np.expm1(end)) for end in (change.low, change.high)],
        "multiplier": factor.value,
        "multiplier_interval": [factor.low, factor.high],
        "by_budget": [
            {
                "flops": row.flops,
                "multiplier": row.multiplier.value,
                "interval": [row.multiplier.low, row.multiplier.high],
            }
            for row in pair.budgets
        ],
        "crossing": None if pair.crossing is None else {"flops": pair.crossing, "probability": pair.crosses},
    }


def read_comparison(path: str | Path) -> Comparison:
    """Reads a frozen comparison and verifies its digest.

    Raises:
        InputError: if it is none, or was changed after it was frozen.
    """
    path = Path(path)
    with readable(path, "comparison"):
        content = json.loads(path.read_text())
    if not isinstance(content, dict) or set(content) != {each.name for each in fields(Comparison)} | {"digest"}:
        raise InputError(f"{path}: not a comparison written by compare --freeze")
    if content.pop("digest") != digest(content):
        raise InputError(f"{path}: was changed after it was frozen: its digest does not match")
    content["contenders"], content["may_be_best"] = tuple(content["contenders"]), tuple(content["may_be_best"])
    content["targets"] = {name: Point(**point) for name, point in content["targets"].items()}
    content["warnings"] = tuple(Diagnostic(**warning) for warning in content["warnings"])
    content["pairs"] = tuple(_pair(each) for each in content["pairs"])
    return Comparison(**content)


def _pair(content: dict[str, Any]) -> PairComparison:
    spans = {
        name: None if content[name] is None else Span(**content[name])
        for name in ("difference", "loss", "multiplier", "trend", "time", "money")
    }
    budgets = tuple(
        BudgetRow(row["flops"], row["pairs"], Span(**row["difference"]), Span(**row["multiplier"]))
        for row in content["budgets"]
    )
    gain = tuple((step, change) for step, change in content["gain"])
    return PairComparison(**{**content, **spans, "budgets": budgets, "gain": gain})

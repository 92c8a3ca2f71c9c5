"""The head of the report as plain data: title, cost and warnings."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.report.findings import Findings

_CONSTANT = 1e-3  # bits per byte follow the loss of one corpus and tokenizer by a constant factor
_LARGEST = 0.5  # of the largest run's FLOPs: runs from there on show the speed at that size


def title(found: Findings, place: Path) -> str:
    """The sweep's name; without one, the name of the folder or file."""
    frame = found.table.frame
    names = list(frame["sweep"].dropna().unique()) if "sweep" in frame else []
    return "Sweep " + str(names[0]) if len(names) == 1 else f"Runs of {place.resolve().name}"


def bits_per_byte(frame: pd.DataFrame, loss: float) -> float | None:
    """A loss in bits per byte, which compares between tokenizers; None where the runs do not determine the factor.

    Args:
        frame: the runs.
        loss: nats per token.
    """
    if "bits_per_byte" not in frame:
        return None
    ratio = (frame["bits_per_byte"] / frame["loss"]).dropna()
    if ratio.empty or not np.isfinite(ratio).all() or ratio.max() > (1 + _CONSTANT) * ratio.min():
        return None
    return float(loss * ratio.median())


@dataclass(frozen=True)
class Spent:
    """What some finished runs took.

    Attributes:
        runs: number of runs; rows that share a run's name are points along it.
        flops: sum over the runs.
        seconds: wall-clock time summed over the runs, or None where one has none.
        devices: names of the devices.
        shared: whether some of them are branches of one trunk, whose FLOPs count in each.
    """

    runs: int
    flops: float
    seconds: float | None
    devices: tuple[str, ...]
    shared: bool

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Spent":
        """What the runs of a table took."""
        rows = rows.sort_values("flops", kind="stable").drop_duplicates("run_id", keep="last")
        timed = "wall_s" in rows and not rows["wall_s"].isna().any()
        devices = sorted(set(rows["device"].dropna().astype(str))) if "device" in rows else []
        seconds = float(rows["wall_s"].sum()) if timed else None
        shared = "trunk_id" in rows and bool(rows["trunk_id"].dropna().duplicated().any())
        return cls(len(rows), float(rows["flops"].sum()), seconds, tuple(devices), shared)


@dataclass(frozen=True)
class SweepCost:
    """What the fitted runs took, and the target's runs once they have ended.

    Attributes:
        fitted: the fitted runs.
        diverged: how many more diverged, or have no finite loss.
        target: the target's runs, or None.
        target_seconds: expected time of a target run at the speed of the largest fitted runs, or None where no speed
            is known.
    """

    fitted: Spent
    diverged: int
    target: Spent | None
    target_seconds: float | None


def sweep_cost(found: Findings) -> SweepCost | None:
    """FLOPs and time of the runs that have ended; None before a fitted run has."""
    table = replace(found.table, best_only=False)
    if table.unfit is not None:
        return None
    target = table.targets
    expected = None if found.forecast is None else _expected_seconds(table.fit, found.forecast.flops)
    return SweepCost(Spent.of(table.fit), len(table.diverged), None if target.empty else Spent.of(target), expected)


def _expected_seconds(rows: pd.DataFrame, flops: float) -> float | None:
    """Seconds that some FLOPs take at the speed of the largest runs, or None where it was not measured."""
    if "wall_s" not in rows:
        return None
    largest = rows[(rows["flops"] > _LARGEST * rows["flops"].max()) & (rows["wall_s"] > 0)]
    return None if largest.empty else flops / float(largest["flops"].sum() / largest["wall_s"].sum())


def warnings(found: Findings) -> tuple[Diagnostic, ...]:
    """What limits the forecast: the warnings of the forecast, of its score and of the loss curves, each once."""
    forecast, score, curves = found.forecast, found.score, found.collapse
    given = [*(forecast.warnings if forecast else ()), *(score.warnings if score else ())]
    given += () if isinstance(curves, str) else curves.warnings
    return tuple(dict.fromkeys(given))

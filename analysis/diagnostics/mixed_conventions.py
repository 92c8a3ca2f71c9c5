"""Whether a column splits a table into recipes or conventions whose losses disagree."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.stats import clusters

_SAME_FLOPS = 1.03
_SAME_SIZE = 1.01
_MAX_VALUES, _MIN_ROWS, _MIN_PAIRS = 20, 4, 8
# A disagreement is clear if it exceeds rounding, and is either far larger than the scatter within a group or, between
# two groups, far too constant for chance.
_MIN_GAP, _TIMES_SCATTER, _TIMES_ERROR = 0.005, 3.0, 8.0
_FEW_PAIRS, _TIMES_FEW = 4, 12.0


@dataclass(frozen=True)
class Disagreement:
    """A column whose values have different losses at the same FLOPs and parameters.

    Attributes:
        column: its name.
        groups: its values.
        gap: median distance between the values' log losses.
    """

    column: str
    groups: tuple[object, ...]
    gap: float


@dataclass(frozen=True)
class _Curve:
    """Median log loss over log parameters, increasing, of one group at one budget."""

    size: Float[np.ndarray, " sizes"]
    loss: Float[np.ndarray, " sizes"]


def disagreements(rows: pd.DataFrame, columns: list[str]) -> list[Disagreement]:
    """The columns that split the rows into groups whose losses disagree, the largest gap first.

    At each FLOP budget the loss of one group, interpolated over log parameters, is compared with the other groups'
    rows in its range. Groups that share no budget or no range of sizes are not compared.

    Args:
        rows: with ``params flops loss``.
        columns: candidates.
    """
    frame = pd.DataFrame({name: np.log(rows[name].to_numpy()) for name in ("params", "flops", "loss")})
    frame["budget"] = clusters(frame["flops"].to_numpy(), float(np.log(_SAME_FLOPS)))
    found = []
    for column in columns:
        values = rows[column].reset_index(drop=True)
        count = values.value_counts()
        common = count.index[count >= _MIN_ROWS]
        if 2 <= len(common) <= _MAX_VALUES:
            kept = values.isin(common)
            gap = _gap(frame[kept].assign(group=values[kept]))
            if gap >= _MIN_GAP:
                found.append(Disagreement(column, tuple(sorted(common.tolist(), key=str)), gap))
    return sorted(found, key=lambda each: -each.gap)


def _gap(frame: pd.DataFrame) -> float:
    """The median distance between groups in log loss if it is clear, else 0."""
    pairs: dict[tuple[object, object], list[float]] = {}
    scatter: list[float] = []
    for _, budget in frame.groupby("budget"):
        curves = {}
        for name, rows in budget.groupby("group"):
            scatter += _replicates(rows)
            means = rows.groupby("params")["loss"].median()
            curves[name] = _Curve(means.index.to_numpy(), means.to_numpy())
            scatter += _interpolation_errors(curves[name])
        for (one, first), (other, second) in combinations(curves.items(), 2):
            pairs.setdefault((one, other), []).extend([*_differences(first, second), *-_differences(second, first)])
    gaps = np.abs([gap for each in pairs.values() for gap in each])
    if len(gaps) < _MIN_PAIRS:
        return 0.0
    gap = float(np.median(gaps))
    if min(len(gaps), len(scatter)) >= 2 * _MIN_PAIRS and gap > _TIMES_SCATTER * float(np.median(np.abs(scatter))):
        return gap
    two = len(pairs) == 1
    constant = [abs(float(np.median(each))) for each in pairs.values() if _is_constant(np.array(each), two)]
    return max(constant, default=0.0)


def _is_constant(gaps: Float[np.ndarray, " pairs"], two: bool) -> bool:
    """Whether the difference of two groups is constant; each row enters it twice, so half of the pairs count.

    Of two groups, four pairs may suffice; among many groups some would agree so far by chance.
    """
    count = len(gaps) / 2
    if count < (_FEW_PAIRS if two else _MIN_PAIRS):
        return False
    times = _TIMES_ERROR if count >= _MIN_PAIRS else _TIMES_FEW
    return bool(abs(gaps.mean()) > times * gaps.std() / np.sqrt(count))


def _differences(curve: _Curve, other: _Curve) -> Float[np.ndarray, " pairs"]:
    """Log loss of one group less that of another, at the sizes within the other's range."""
    margin = np.log(_SAME_SIZE)
    inside = (curve.size >= other.size[0] - margin) & (curve.size <= other.size[-1] + margin)
    difference: Float[np.ndarray, " pairs"] = (curve.loss - np.interp(curve.size, other.size, other.loss))[inside]
    return difference


def _interpolation_errors(curve: _Curve) -> list[float]:
    """Log loss of each size less the line between its neighbours: noise, and the error of interpolation."""
    size, loss = curve.size, curve.loss
    share = (size[1:-1] - size[:-2]) / (size[2:] - size[:-2])
    errors: list[float] = (loss[1:-1] - loss[:-2] * (1 - share) - loss[2:] * share).tolist()
    return errors


def _replicates(rows: pd.DataFrame) -> list[float]:
    """Log loss of each replicate less the mean of the others of its size."""
    sizes = rows.groupby("params")["loss"]
    count = sizes.transform("size")
    return ((rows["loss"] - sizes.transform("mean")) * count / (count - 1))[count > 1].tolist()

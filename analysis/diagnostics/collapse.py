"""Whether the loss curves of a sweep collapse onto one curve, and which runs depart from it.

Where hyperparameters scale correctly, loss curves of all sizes and lengths collapse once each is divided by its final
loss and drawn over the fraction of its run (2507.02119). A run whose curve departs from the others' has the wrong
recipe or other data; curves that collapse, with final losses that the laws miss, point to the fit.

Each curve is averaged over equal parts of the run, after the longest warm-up. In each part a run of N parameters and D
tokens has an expected

    loss = a + b u + c v    with u = N^(-1/3), v = D^(-1/3), and with many runs also terms in u u, u v and v v,

nearly Chinchilla's form (2203.15556), whose exponents the second order corrects for. Losses are divided by the final
loss expected by that form: divided by its own, a run that is bad throughout would look like any other. Each run is
judged by the others: its studentised residual on the scale of their median deviation, which may shrink with compute as
seed noise does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import t as student

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import listed
from analysis.runs.table import RunTable
from analysis.stats import robust_std

_PARTS = 8
_EARLIEST = 0.1  # of a run
_LATEST = 0.5
_MIN_FREEDOM = 5  # runs beyond the terms fitted
_MANY = 16  # runs, for the terms of second order and for noise that shrinks with compute
_RATE = 0.05  # of false alarms, if residuals were normal and a departure in one part enough
_RELEVANT = 0.01  # of the loss
_HUBER = 1.345
_ROUNDS = 30
_LEAST = 0.1  # share of a loss below which its expected value is not taken
_EXPONENT = -1 / 3  # published ones lie between .2 and .5


@dataclass(frozen=True)
class Departure:
    """A run that departs from the common curve.

    Attributes:
        run_id: of the run.
        begins: fraction of the run at which it departs, the first of two parts in a row.
        most: its greatest log(loss / expected loss).
        times: the same in standard deviations of the other runs.
    """

    run_id: str
    begins: float
    most: float
    times: float


@dataclass(frozen=True, eq=False)
class Collapse:
    """The collapsed loss curves of a sweep.

    Attributes:
        share: fraction of a run, at the middle of each part.
        runs: ``run_id params tokens flops loss`` of the runs compared, in the order of ``off``.
        common: log(loss / loss of the last part), by part, of a run in the middle of the sweep.
        off: log(loss / loss expected from the other runs), by run and part.
        scale: standard deviation of ``off``.
        departures: runs that depart from the common curve, the furthest first.
        left_out: number of runs whose curves have too few rows.
    """

    share: Float[np.ndarray, " parts"]
    runs: pd.DataFrame
    common: Float[np.ndarray, " parts"]
    off: Float[np.ndarray, "runs parts"]
    scale: Float[np.ndarray, "runs parts"]
    departures: tuple[Departure, ...]
    left_out: int

    @property
    def spread(self) -> float:
        """Root mean square of ``off`` over the runs that do not depart; 0.01 is 1 % of the loss."""
        gone = {each.run_id for each in self.departures}
        stay = ~self.runs["run_id"].isin(gone).to_numpy()
        return float(np.sqrt(np.mean(self.off[stay] ** 2)))

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Which runs depart from the common curve, and the likely cause."""
        warnings = []
        for above, reason in ((True, _ABOVE), (False, _BELOW)):
            gone = [each for each in self.departures if (each.most > 0) == above]
            if gone:
                first, side = gone[0], "above" if above else "below"
                who = f"{len(gone)} of {len(self.runs)} runs leave{'s' * (len(gone) == 1)} the others' curve"
                warnings.append(
                    Diagnostic(
                        "off-curve",
                        f"{who}: {listed([each.run_id for each in gone])}; {first.run_id} by "
                        f"{abs(np.expm1(first.most)):.1%} {side} it, from {first.begins:.0%} of the "
                        f"run on. {reason}",
                    )
                )
        return tuple(warnings)


_ABOVE = (
    "Its neighbours show this, not a law: its learning rate does not suit that size or length, or it saw a "
    "spike or other data. A problem of the recipe, not of the fit: `scaling recipe check` tries other rates"
)
_BELOW = (
    "Its neighbours show this, not a law: it saw other data, or held-out text, or its recipe is the only good "
    "one. A problem of the recipe, not of the fit"
)


def collapse(table: RunTable, curves: pd.DataFrame) -> Collapse:
    """Compares the loss curves of a table's fitted runs with its most common schedule.

    Args:
        table: the runs; of the branches of one trunk the longest is taken.
        curves: rows of ``run_id tokens loss``, the training loss since the row before.

    Raises:
        InputError: too few curves, or all of one size.
    """
    rows = _comparable(table.fit)
    first = _first_share(rows)
    edges = first + (1 - first) * np.arange(_PARTS + 1) / _PARTS
    levels, kept = [], []
    groups = dict(tuple(curves[curves["run_id"].isin(rows["run_id"])].groupby("run_id")))
    for place, (run_id, tokens) in enumerate(zip(rows["run_id"], rows["tokens"], strict=True)):
        level = _levels(groups[run_id], float(tokens), edges) if run_id in groups else None
        if level is not None:
            levels.append(level)
            kept.append(place)
    compared = rows.iloc[kept].reset_index(drop=True)
    terms = 6 if len(compared) >= _MANY else 3
    if len(compared) < terms + _MIN_FREEDOM or compared["params"].nunique() < 2:
        raise InputError(
            f"{len(compared)} runs have curves that can be compared, of {compared['params'].nunique()} sizes; "
            f"{terms + _MIN_FREEDOM} are needed, of two sizes at least"
        )
    share = (edges[1:] + edges[:-1]) / 2
    return _compared(compared, share, np.array(levels), terms, len(rows) - len(compared))


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Runs of the most common schedule; the longest branch of each trunk, whose curve contains those of the others."""
    shape = [name for name in ("schedule", "decay_fraction") if name in rows]
    if shape:
        keys = rows[shape].round(3).astype(str).agg(" ".join, axis=1)
        rows = rows[keys == keys.value_counts().index[0]]
    if "trunk_id" in rows:
        rows = rows.sort_values("tokens").drop_duplicates("trunk_id", keep="last")
    wanted = ["run_id", "params", "tokens", "flops", "loss", "seed", "warmup_tokens"]
    rows = rows.assign(flops=6 * rows["params"] * rows["tokens"]) if "flops" not in rows else rows
    return rows[[name for name in wanted if name in rows]].sort_values("run_id")


def _first_share(rows: pd.DataFrame) -> float:
    """Fraction of a run at which the comparison begins: after the longest warm-up, at half of the run at most."""
    if "warmup_tokens" not in rows:
        return _EARLIEST
    warm = float((rows["warmup_tokens"] / rows["tokens"]).max())
    return min(max(warm, _EARLIEST), _LATEST) if np.isfinite(warm) else _EARLIEST


def _levels(
    curve: pd.DataFrame, tokens: float, edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, " parts"] | None:
    """The mean loss in each part of a run; None where a part has no row."""
    ordered = curve.sort_values("tokens")
    end = ordered["tokens"].to_numpy(float) / tokens
    loss = ordered["loss"].to_numpy(float)
    middle = (end + np.concatenate([[0.0], end[:-1]])) / 2
    part = np.searchsorted(edges, middle, side="right") - 1
    sound = (part >= 0) & (part < len(edges) - 1) & np.isfinite(loss) & (loss > 0)
    count = np.bincount(part[sound], minlength=len(edges) - 1)
    if not count.all():
        return None
    total: Float[np.ndarray, " parts"] = np.bincount(part[sound], loss[sound], minlength=len(edges) - 1)
    return total / count


def _compared(
    runs: pd.DataFrame,
    share: Float[np.ndarray, " parts"],
    loss: Float[np.ndarray, "runs parts"],
    terms: int,
    left_out: int,
) -> Collapse:
    design = _design(runs, terms)
    off, scale, studentised = np.zeros_like(loss), np.zeros_like(loss), np.zeros_like(loss)
    level = np.zeros(len(share))
    compute = np.log(runs["flops"].to_numpy(float))
    for part in range(len(share)):
        coefficients, leverage = _robust(design, loss[:, part])
        level[part] = coefficients[0]
        residual = loss[:, part] / np.maximum(design @ coefficients, _LEAST * loss[:, part]) - 1
        off[:, part] = np.log1p(np.maximum(residual / (1 - leverage), _LEAST - 1))
        plain = residual / np.sqrt(1 - leverage)
        scale[:, part] = _scale(plain, compute, len(runs) >= _MANY, len(runs) - terms)
        studentised[:, part] = plain / scale[:, part]
    gone = _departures(runs, share, off, studentised, terms)
    return Collapse(share, runs, np.log(level / level[-1]), off, scale, gone, left_out)


def _design(runs: pd.DataFrame, terms: int) -> Float[np.ndarray, "runs terms"]:
    """Design matrix: columns 1, u, v and of second order, with u and v standardised where they vary."""
    u, v = (runs[name].to_numpy(float) ** _EXPONENT for name in ("params", "tokens"))
    u, v = ((x - x.mean()) / (x.std() or 1.0) for x in (u, v))
    columns: Float[np.ndarray, "runs terms"] = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v][:terms], axis=1)
    return columns


def _robust(
    design: Float[np.ndarray, "runs terms"], y: Float[np.ndarray, " runs"]
) -> tuple[Float[np.ndarray, " terms"], Float[np.ndarray, " runs"]]:
    """Huber regression by iterative reweighting: coefficients, and the leverage of each run, below 1."""
    weight = np.ones(len(y))
    for _ in range(_ROUNDS):
        root = np.sqrt(weight)
        inverse = np.linalg.pinv(design * root[:, None])
        coefficients = inverse @ (root * y)
        residual = y - design @ coefficients
        spread = robust_std(residual) or 1e-12
        weight = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(residual), 1e-12))
    leverage = np.einsum("rt,tr->r", design * root[:, None], inverse)
    return coefficients, np.clip(leverage, 0.0, 0.99)


def _scale(
    plain: Float[np.ndarray, " runs"], compute: Float[np.ndarray, " runs"], shrinks: bool, freedom: int
) -> Float[np.ndarray, " runs"]:
    """Robust standard deviation of each residual, a power of compute where runs are many."""
    trend = np.zeros(len(plain))
    if shrinks and np.ptp(compute) > 0:
        size = np.log(np.maximum(np.abs(plain), 1e-12))
        centred = compute - compute.mean()
        trend = np.clip(centred @ size / (centred @ centred), -0.5, 0.0) * centred
    even = np.abs(plain) / np.exp(trend)
    # The median of a few is sometimes much too small: the upper quartile guards against that.
    spread = max(robust_std(even), float(np.quantile(even, 0.75)) / 1.15)
    return np.maximum(spread, 1e-9) * np.sqrt(len(plain) / freedom) * np.exp(trend)


def _departures(
    runs: pd.DataFrame,
    share: Float[np.ndarray, " parts"],
    off: Float[np.ndarray, "runs parts"],
    studentised: Float[np.ndarray, "runs parts"],
    terms: int,
) -> tuple[Departure, ...]:
    """Runs with ``off`` beyond chance and beyond ``_RELEVANT`` in two parts in a row, on the same side."""
    count, parts = off.shape
    limit = float(student.isf(_RATE / (2 * count * parts), count - terms))
    found = []
    for place, run_id in enumerate(runs["run_id"]):
        beyond = np.sign(off[place]) * ((np.abs(studentised[place]) > limit) & (np.abs(off[place]) > _RELEVANT))
        both: Int[np.ndarray, " pairs"] = np.flatnonzero((beyond[:-1] == beyond[1:]) & (beyond[1:] != 0))
        if len(both):
            inside: Sequence[int] = sorted({*both.tolist(), *(both + 1).tolist()})
            most = max(inside, key=lambda part: abs(off[place, part]))
            found.append(
                Departure(
                    str(run_id),
                    float(share[both[0]]),
                    float(off[place, most]),
                    float(abs(studentised[place, most])),
                )
            )
    return tuple(sorted(found, key=lambda each: -each.times))

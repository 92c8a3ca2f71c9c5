"""Backtests: forecasts of a table's high-compute runs from its low-compute ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.diagnostics import checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.forecasting.ensemble import AUTO, Ensemble, ensemble_of_arrays, ensembles_of_arrays, weighed_of
from analysis.forecasting.text import backtest_text
from analysis.laws import usual
from analysis.result import Result
from analysis.runs.arrays import RunArrays
from analysis.runs.table import RunTable

LEVEL = 0.9
_FACTORS = (3.0, 10.0, 30.0, 100.0)
_ROUNDING = 0.01  # in log FLOPs: nearer than this, two runs are of one budget
_FEWEST_TRAIN, _FEWEST_TEST = 12, 3


@dataclass(frozen=True)
class LawScore:
    """Errors and coverage of a law on one split by FLOPs, as fractions.

    Attributes:
        are: mean of the absolute value of predicted / actual - 1 over the held-out runs.
        signed: mean of predicted / actual - 1.
        covered: fraction of the held-out runs inside the 90 % interval.
        half_width: mean of (high - low) / (2 predicted).
    """

    are: float
    signed: float
    covered: float
    half_width: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Forecasts of a split's held-out runs by one law.

    Attributes:
        reach: a run's FLOPs / the largest fitted FLOPs.
        error: predicted / actual - 1.
        half_width: (high - low) / (2 predicted).
        covered: whether the 90 % interval holds the actual loss.
    """

    reach: Float[np.ndarray, " runs"]
    error: Float[np.ndarray, " runs"]
    half_width: Float[np.ndarray, " runs"]
    covered: Bool[np.ndarray, " runs"]

    @property
    def score(self) -> LawScore:
        """Mean error, coverage and half-width over the held-out runs."""
        return LawScore(
            are=float(np.abs(self.error).mean()),
            signed=float(self.error.mean()),
            covered=float(self.covered.mean()),
            half_width=float(self.half_width.mean()),
        )


@dataclass(frozen=True)
class SplitScore:
    """Scores of all laws on one split by FLOPs.

    Attributes:
        train_below: the largest training FLOPs of the fitted runs.
        extrapolation: FLOPs of the largest held-out run / of the largest fitted run.
        n_train: fitted runs.
        n_test: held-out runs.
        held_out: forecasts of the held-out runs, by law.
    """

    train_below: float
    extrapolation: float
    n_train: int
    n_test: int
    held_out: Mapping[str, HeldOut]

    @property
    def laws(self) -> dict[str, LawScore]:
        """Errors and coverage of each law, by name."""
        return {name: runs.score for name, runs in self.held_out.items()}

    def to_dict(self) -> dict[str, Any]:
        """The split as a JSON object, without single runs."""
        return {
            "train_below": self.train_below,
            "extrapolation": self.extrapolation,
            "n_train": self.n_train,
            "n_test": self.n_test,
            "laws": {name: asdict(score) for name, score in self.laws.items()},
        }


@dataclass(frozen=True)
class Backtest(Result):
    """The scores of every split, from the highest threshold, and the warnings about the table."""

    splits: tuple[SplitScore, ...]
    warnings: tuple[Diagnostic, ...]

    @property
    def summary(self) -> dict[str, dict[str, float]]:
        """Mean and worst error, coverage and median half-width, of each law that every split allows."""
        names = [n for n in self.splits[0].laws if all(n in split.laws for split in self.splits)]
        return {name: _summary([split.laws[name] for split in self.splits]) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling backtest``."""
        return {
            "splits": [split.to_dict() for split in self.splits],
            "summary": self.summary,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def __str__(self) -> str:
        return backtest_text(self)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row per split and law, and the figures of :class:`LawScore`."""
        return pd.DataFrame(
            {
                "train_below": split.train_below,
                "extrapolation": split.extrapolation,
                "n_train": split.n_train,
                "n_test": split.n_test,
                "law": name,
                **asdict(score),
            }
            for split in self.splits
            for name, score in split.laws.items()
        )


def backtest(
    table: RunTable,
    laws: Sequence[str] | None = None,
    train_below: float | None = None,
    bootstrap: int = 300,
) -> Backtest:
    """Forecasts the high-compute runs of a table from its low-compute ones.

    Args:
        table: the runs.
        laws: names in ``LAWS``, or ``auto``; by default ``auto`` and every law of runs of this kind.
        train_below: train on flops <= this, test on the rest; by default thresholds 3, 10, 30 and 100 times
            below the largest run, wherever 12 runs to train on and 3 to test remain.
        bootstrap: resamples of each fit.

    Raises:
        InputError: for an unknown law, or a table too small to split.
    """
    runs = table.arrays
    if laws is None:
        laws = (*(usual() if runs.stage is None else weighed_of(runs)), AUTO)
    flops = np.exp(runs.inputs.c)
    if train_below is None:
        limits = [float(flops.max()) / factor * (1 + 1e-9) for factor in _FACTORS]
        counts = {f: int(_below(runs, f).sum()) for f in limits}
        limits = [f for f in limits if counts[f] >= _FEWEST_TRAIN and len(runs) - counts[f] >= _FEWEST_TEST]
        limits = list({counts[f]: f for f in reversed(limits)}.values())[::-1]  # the same split once
        if not limits:
            raise InputError(
                f"{table.source}: no threshold of 3, 10, 30 or 100 times below the largest run leaves {_FEWEST_TRAIN} "
                f"runs to train on and {_FEWEST_TEST} to test; choose one with `train_below`"
            )
    else:
        limits = [train_below]
        if _below(runs, train_below).all() or not _below(runs, train_below).any():
            raise InputError(
                f"`train_below` {train_below:.4g}: the runs span {flops.min():.4g} to {flops.max():.4g} FLOPs"
            )
    splits = tuple(_split(runs, laws, limit, bootstrap) for limit in limits)
    return Backtest(splits, tuple(checks.check_table(table)))


def _below(runs: RunArrays, limit: float) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the runs up to a limit in FLOPs, and of those that differ from these by rounding.

    Runs of one budget differ by part of a step, or by the digits that are printed: a limit does not part them.
    """
    order = np.argsort(runs.inputs.c, kind="stable")
    compute = runs.inputs.c[order]
    count = int(np.searchsorted(compute, np.log(limit) + 1e-9, side="right"))
    most = int(np.searchsorted(compute, np.log(limit) + 2 * _ROUNDING, side="right"))
    while 0 < count < most and compute[count] - compute[count - 1] <= _ROUNDING:
        count += 1
    below = np.zeros(len(runs), bool)
    below[order[:count]] = True
    return below


def _split(runs: RunArrays, laws: Sequence[str], limit: float, bootstrap: int) -> SplitScore:
    below = _below(runs, limit)
    train, test = runs.subset(below), runs.subset(~below)
    fitted = ensembles_of_arrays(train, laws, bootstrap)
    if not fitted:
        ensemble_of_arrays(train, laws[0], bootstrap)  # says what is missing
    held_out = {law: _held_out(fitted[law], train, test) for law in laws if law in fitted}
    reach = float(np.exp(test.inputs.c.max() - train.inputs.c.max()))
    return SplitScore(limit, reach, len(train), len(test), held_out)


def _held_out(fitted: Ensemble, train: RunArrays, test: RunArrays) -> HeldOut:
    loss, low, high = fitted.predict(test.inputs, LEVEL)
    actual = np.exp(test.log_loss)
    return HeldOut(
        reach=np.exp(test.inputs.c - train.inputs.c.max()),
        error=loss / actual - 1,
        half_width=(high - low) / (2 * loss),
        covered=(low <= actual) & (actual <= high),
    )


def _summary(scores: Sequence[LawScore]) -> dict[str, float]:
    return {
        "mean_are": float(np.mean([s.are for s in scores])),
        "worst_are": float(max(s.are for s in scores)),
        "coverage": float(np.mean([s.covered for s in scores])),
        "median_half_width": float(np.median([s.half_width for s in scores])),
    }

"""The backtest of a law of over-optimisation on a table: over proxies of more pairs, and along each run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.result import Result
from analysis.rewards.curves import RewardCurve, RewardTable
from analysis.rewards.fitting.curve_fit import moments_of
from analysis.rewards.fitting.reward_fit import EITHER, law_of
from analysis.rewards.forecasting.backtest import Misses, backtest_rewards
from analysis.rewards.forecasting.within_run import first_part, forecast_run, score_run
from analysis.rewards.laws import REINFORCEMENT
from analysis.table_text import table_text

_SHARE = 0.25


@dataclass(frozen=True)
class TestedRun:
    """The forecast of a run's last three quarters from its first, scored.

    Attributes:
        run_id: of the run.
        rms: root mean square error over its later rows.
        naive_rms: of the mean of the last rows fitted.
        inside: share of the later rows inside their 90 % interval.
        refused: why the law's forecast is not given, or None.
    """

    run_id: str
    rms: float
    naive_rms: float
    inside: float
    refused: str | None


@dataclass(frozen=True)
class RewardBacktest(Result):
    """How far forecasts of rewards miss what the table knows already.

    Attributes:
        law: its name.
        ways: errors on the proxies of more pairs than those fitted, by way; empty with fewer than three numbers of
            pairs.
        weights: of the law's forms in a forecast.
        together: errors of the forms, weighted; None without ways.
        refused: why a forecast from this table is refused, or None.
        held_out: how many different runs were held out.
        runs: of trained policies, each run's last three quarters from its first.
        warnings: in words and codes.
        source: the table's file.
    """

    law: str
    ways: Mapping[str, Misses]
    weights: Mapping[str, float]
    together: Misses | None
    refused: str | None
    held_out: int
    runs: tuple[TestedRun, ...]
    warnings: tuple[Diagnostic, ...]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling backtest --law overoptimization-...``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a way: errors of the gain, the peak and its place."""
        return pd.DataFrame({name: asdict(miss) for name, miss in self.ways.items()}).T.rename_axis("way")

    def __str__(self) -> str:
        lines = [f"{self.law}: proxies of more pairs than those fitted, {self.held_out} runs held out"]
        rows = [
            [name, f"{miss.gain:.3f}", f"{miss.peak:.3f}", f"{miss.place:.3g}", f"{self.weights.get(name, 0):.0%}"]
            for name, miss in self.ways.items()
        ]
        if rows:
            lines.append(table_text("lrrrr", ["way", "gain", "peak", "place", "weight"], rows))
        lines.append(f"forecasts  {'given' if self.refused is None else f'refused: {self.refused}'}")
        if self.runs:
            cells = [
                [
                    run.run_id,
                    f"{run.rms:.3f}",
                    f"{run.naive_rms:.3f}",
                    f"{run.inside:.0%}",
                    "refused" * bool(run.refused),
                ]
                for run in self.runs
            ]
            lines += ["", "the last three quarters of each run from its first:"]
            lines.append(table_text("lrrrl", ["run", "error", "naive", "inside", ""], cells))
        return "\n".join(lines)


def backtest_table(table: RewardTable, law: str = EITHER) -> RewardBacktest:
    """Backtests forecasts of rewards by what a table knows already.

    Args:
        table: the fitted runs: rows of role ``fit``, or all where there are no roles.
        law: as for ``fit_rewards``.

    Raises:
        InputError: for a table without runs of the law, or if neither pairs nor the runs' own rows give a test.
    """
    chosen, fitted = law_of(table, law), table.fitted()
    curves = fitted.of(chosen)
    runs, short = moments_of(curves, table.source)
    tested = backtest_rewards(runs, 0.0) if np.isfinite([run.curve.pairs for run in runs]).all() else None
    courses = _courses(curves) if chosen is REINFORCEMENT else ()
    if tested is None and not courses:
        raise InputError(
            f"{table.source}: nothing to test on: three numbers of pairs are needed, or runs of a trained policy "
            "with many rows"
        )
    return RewardBacktest(
        law=chosen.name,
        ways={} if tested is None else tested.misses,
        weights={} if tested is None else tested.weights,
        together=None if tested is None else tested.together,
        refused="fewer than three numbers of pairs leave nothing to test it on" if tested is None else tested.refusal,
        held_out=0 if tested is None else tested.runs,
        runs=courses,
        warnings=(*fitted.warnings(), *short),
        source=table.source,
    )


def _courses(curves: Sequence[RewardCurve]) -> tuple[TestedRun, ...]:
    """The runs whose first quarter has rows enough."""
    made = []
    for curve in curves:
        try:
            found = forecast_run(first_part(curve, _SHARE), curve.kl)
            score = score_run(found, curve)
        except InputError:  # too few rows before or after: nothing to test
            continue
        made.append(TestedRun(curve.run_id, score.rms, score.naive_rms, score.inside, found.refused))
    return tuple(made)

"""A law of over-optimisation fitted to a table: each run's coefficients, and what these follow over runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import format_quantity, format_reward
from analysis.result import Result
from analysis.rewards.curves import RewardTable
from analysis.rewards.fitting.coefficients import LOSS, ONE, Coefficients, fit_coefficients, usual_terms
from analysis.rewards.fitting.curve_fit import CurveFit, Moments, fit_curve, moments_of
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT, REWARD_LAWS, RewardLaw
from analysis.table_text import table_text

EITHER = "overoptimization"  # whichever of the two laws suits the table


@dataclass(frozen=True)
class RewardFit(Result):
    """A law of over-optimisation fitted to the runs of a table.

    Attributes:
        law: its name.
        reward: the column fitted: ``gold``, or ``proxy`` where nobody measured it.
        runs: each run's coefficients and peak.
        coefficients: what alpha and beta follow over runs, by the names ``pairs`` (log pairs, and log params where the
            runs tell) and ``loss``; those that the runs determine.
        warnings: in words and codes.
        source: the table's file.
        table_hash: of the fitted rows.
    """

    law: str
    reward: str
    runs: tuple[CurveFit, ...]
    coefficients: Mapping[str, Coefficients]
    warnings: tuple[Diagnostic, ...]
    source: str
    table_hash: str

    @property
    def form(self) -> RewardLaw:
        """The law: its formula and source."""
        return REWARD_LAWS[self.law]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling fit``."""
        joint: dict[str, dict[str, dict[str, dict[str, float | None]]]] = {}
        for name, found in self.coefficients.items():
            joint[name] = {"alpha": {}, "beta": {}}
            for of, term, value, error in found.named():
                joint[name][of][term] = {"value": value, "stderr": None if math.isnan(error) else error}
        return {
            "law": self.law,
            "formula": self.form.formula,
            "reward": self.reward,
            "runs": [{name: _plain(value) for name, value in asdict(run).items()} for run in self.runs],
            "coefficients": joint,
            "n_runs": len(self.runs),
            "warnings": [warning.to_dict() for warning in self.warnings],
            "source": self.source,
            "table_hash": self.table_hash,
        }

    def __str__(self) -> str:
        head = ["run", "pairs", "alpha", "", "beta", "", "rms", "peak gain", "at KL"]
        rows = [
            [
                run.run_id,
                _number(run.pairs),
                format_reward(run.alpha),
                f"+- {run.alpha_stderr:.2g}",
                format_reward(run.beta),
                f"+- {run.beta_stderr:.2g}",
                format_reward(run.rms),
                *_peak(run),
            ]
            for run in self.runs
        ]
        lines = [f"{self.law}: {self.form.formula}    ({self.form.source})"]
        lines.append(table_text("lrrlrlrrr", head, rows))
        for name, found in self.coefficients.items():
            lines.append(f"over {name}:")
            lines += [f"  {of:<6} {_linear(found, of)}" for of in ("alpha", "beta")]
        lines.append(f"fitted     {len(self.runs)} runs of {self.source}, {self.reward}, table {self.table_hash[:12]}")
        return "\n".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a run."""
        return pd.DataFrame([asdict(run) for run in self.runs])


def fit_rewards(table: RewardTable, law: str = EITHER, bootstrap: int = 1000, seed: int = 0) -> RewardFit:
    """Fits a law of over-optimisation to every run of a table, and its coefficients over runs.

    Args:
        table: the rows; those of role ``fit`` where there are roles.
        law: ``overoptimization-bon`` or ``overoptimization-rl``; ``overoptimization`` takes the one whose runs the
            table has.
        bootstrap: resamples of runs, and of prompts where their samples are known, for standard errors.
        seed: of the resampling.

    Raises:
        InputError: for a table without such runs, or with runs of both kinds, or with too few rows.
    """
    chosen = law_of(table, law)
    fitted = table.fitted()
    runs, short = moments_of(fitted.of(chosen), table.source)
    coefficients, warnings = over_runs(runs, bootstrap, seed)
    return RewardFit(
        law=chosen.name,
        reward=table.reward,
        runs=tuple(fit_curve(run, bootstrap, seed) for run in runs),
        coefficients=coefficients,
        warnings=(*fitted.warnings(), *short, *warnings),
        source=table.source,
        table_hash=fitted.hash(),
    )


def over_runs(
    runs: Sequence[Moments], bootstrap: int, seed: int
) -> tuple[dict[str, Coefficients], tuple[Diagnostic, ...]]:
    """Coefficients over log pairs and over loss, where the runs determine them, and warnings."""
    terms, warnings = usual_terms(runs)
    found = {}
    if len(terms) > 1 and (made := fit_coefficients(runs, terms, terms, bootstrap, seed)) is not None:
        found["pairs"] = made
    if (made := fit_coefficients(runs, (ONE, LOSS), (ONE, LOSS), bootstrap, seed)) is not None:
        found["loss"] = made
    return found, warnings


def law_of(table: RewardTable, law: str) -> RewardLaw:
    """The law of a name, where the table has runs to fit it to.

    Raises:
        InputError: if it has none, or runs of both kinds and no choice between them.
    """
    kinds = [each for each in (BEST_OF_N, REINFORCEMENT) if table.fitted().of(each)]
    if not kinds:
        raise InputError(f"{table.source}: no row to fit: role is 'fit' in none")
    if law == EITHER:
        if len(kinds) > 1:
            named = " or ".join(each.name for each in kinds)
            raise InputError(f"{table.source}: has both best-of-n and trained policies: choose with `law` {named}")
        return kinds[0]
    if law not in REWARD_LAWS:
        raise InputError(f"`law` {law!r}: not a law of rewards; one of {EITHER}, {', '.join(REWARD_LAWS)}")
    if REWARD_LAWS[law] not in kinds:
        needed = "rows with 'n'" if law == BEST_OF_N.name else "rows with 'kl' and without 'n'"
        raise InputError(f"{table.source}: {law} needs {needed}, and there are none")
    return REWARD_LAWS[law]


def _peak(run: CurveFit) -> tuple[str, str]:
    """The gain at the peak and its KL; of a peak beyond the rows only that it was not seen."""
    if run.peak_gain is None or run.peak_kl is None:
        return "no end", ""
    if run.peak_kl > run.last_kl:
        return "not seen", f"> {run.last_kl:.3g}"
    return format_reward(run.peak_gain), f"{run.peak_kl:.3g}"


def _linear(found: Coefficients, of: str) -> str:
    """A coefficient as a sum of terms: ``0.08 (+- 0.06) + 0.122 (+- 0.01) log pairs``."""
    text = ""
    for which, term, value, error in found.named():
        if which == of:
            sign = ("-" if value < 0 else "+") if text else ("-" if value < 0 else "")
            spread = "" if math.isnan(error) else f" (+- {error:.2g})"
            text += f"{' ' if text else ''}{sign}{' ' if text else ''}{abs(value):.4g}{spread}"
            text += "" if term == ONE else f" {term}"
    return text


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _number(value: float | None) -> str:
    return "" if value is None else format_quantity(value)

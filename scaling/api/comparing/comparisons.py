"""Comparisons of contenders at a target, their backtests and their scores."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.comparing import backtest as backtests
from analysis.comparing import compare as comparisons
from analysis.comparing import design as designs
from analysis.comparing import score as scores
from analysis.comparing.backtest import ComparisonBacktest
from analysis.comparing.comparison import Comparison, read_comparison
from analysis.comparing.contenders import part_of
from analysis.comparing.design import ComparisonDesign
from analysis.comparing.score import ComparisonScore
from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.runs.filter import columns_of
from analysis.runs.table import RunTable
from scaling.api.comparing.contenders import Contenders, contenders_below, names_of, read_contenders
from scaling.api.comparing.targets import Requested, refuse_known_targets
from scaling.api.tables import Runs, read_runs
from scaling.errors import InputError


def compare(
    *runs: Contenders,
    by: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    model: str | None = None,
    flops: float | None = None,
    interval: float = 0.9,
    seeds: int | None = None,
    bootstrap: int = 200,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    unseen: bool = False,
) -> Comparison:
    """Compares contenders (recipes, optimizers, corpora, models) at a target: which has the lower loss, and by how many
    times the compute.

    Args:
        runs: a mapping from names to tables of runs; or several tables; or the folder of a sweep with contenders; or
            one table, with ``by``. See :func:`read_runs` for what a table may be, and for ``where`` and ``columns``.
        by: the column of one table that tells contenders apart, such as ``optimizer`` or ``corpus``.
        params: the target's parameters, counted as in the tables; or
        model: a published Llama, such as ``llama3-8b``.
        tokens: the target's training tokens. Without a target each contender's own is compared, that of its sweep.
        flops: the target's training FLOPs; by default what each contender's runs nearest in size need per parameter and
            token.
        interval: the probability that an interval holds.
        seeds: runs of each contender at the target whose mean is compared; by default 1, or as many as the sweeps plan.
        bootstrap: resamples of pairs and of runs.
        columns: the schema's name -> the tables' own; ``{"loss": "loss_code"}`` compares another loss.
        unseen: whether to refuse a target that is among the runs, as a comparison to be frozen must.

    Raises:
        InputError: for contenders without common ground (no budget in common, other units, other held-out text), one
            contender alone, no target, or one absurdly far away.
    """
    contenders = read_contenders(runs, by, where, columns)
    request = Requested(params, model, tokens, flops, interval, seeds, bootstrap).of(contenders)
    if unseen:
        refuse_known_targets(contenders, request)
    return comparisons.compare(contenders, request)


def backtest_comparisons(
    *runs: Contenders,
    by: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> ComparisonBacktest:
    """Measures how often comparisons from low-compute runs rank their high-compute runs right, beside two baselines.

    Args:
        runs, by, where, columns: as for :func:`compare`.

    Raises:
        InputError: as for :func:`compare`, or where no two contenders have runs enough to hold some back.
    """
    return backtests.backtest_comparisons(read_contenders(runs, by, where, columns))


def design_comparison(
    *runs: Contenders,
    by: str | None = None,
    params: float | None = None,
    tokens: float | None = None,
    model: str | None = None,
    spend: float | None = None,
    seeds: int | None = None,
    bootstrap: int = 200,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> ComparisonDesign:
    """Says which further pairs of runs would decide a comparison, what they cost, and what it would then state.

    Args:
        spend: the most FLOPs for further runs of two contenders; by default any.
        runs, by, params, tokens, model, seeds, bootstrap, where, columns: as for :func:`compare`.

    Raises:
        InputError: as for :func:`compare`; or one further run of each costs more than ``spend``.
    """
    contenders = read_contenders(runs, by, where, columns)
    request = Requested(params, model, tokens, seeds=seeds, bootstrap=bootstrap).of(contenders)
    return designs.design_comparison(contenders, request, spend)


def score_comparison(comparison: Comparison | str | Path, *runs: Contenders) -> ComparisonScore:
    """Compares a frozen comparison with the runs made after it.

    Args:
        comparison: the comparison, or the file that it is frozen in.
        runs: the tables that it was made from, with the targets' runs beside, as for :func:`compare` and with the same
            names; of contenders of one table that table. By default the files that it was made from.

    Raises:
        InputError: one line per contender whose table is missing, is another one, or has no run at the target.
    """
    made = comparison if isinstance(comparison, Comparison) else read_comparison(comparison)
    return scores.score_comparison(made, _tables(made, runs))


def _tables(made: Comparison, runs: Sequence[Contenders]) -> dict[str, RunTable]:
    """The contenders' tables as the comparison reads them, those that are given in place of its own files."""
    given = _given(made, runs)
    if strange := [name for name in given if name not in made.targets]:
        raise InputError(
            f"{name}: not among the contenders compared, which are {', '.join(made.targets)}; name a table with "
            "NAME=TABLE"
            for name in strange
        )
    errors: list[str] = []
    tables = {}
    for name in made.targets:
        part = made.parts[name]
        source = given.get(name, made.sources[name])
        kept = tuple(columns_of(part)) if part is not None else ()
        try:
            if isinstance(source, RunTable):
                table = source
            else:
                table = read_runs(source, where=made.where[name], columns=made.columns, kept=kept)
            tables[name] = part_of(table, part)
        except InputError as error:
            errors += [line for line in error.errors if line not in errors]
    if errors:
        raise InputError(errors)
    return tables


def _given(made: Comparison, runs: Sequence[Contenders]) -> dict[str, Runs]:
    """The tables that are given, by contender."""
    found: dict[str, Runs] = {}
    plain: list[Runs] = []
    for each in runs:
        if isinstance(each, Mapping):
            found |= each
        elif (below := contenders_below(each)) is not None:
            found |= below
        else:
            plain.append(each)
    if len(plain) == 1 and any(made.parts.values()):
        return dict.fromkeys(made.targets, plain[0]) | found
    return dict(zip(names_of(plain), plain, strict=True)) | found


@dataclass(frozen=True)
class FrozenComparison(Result):
    """A comparison, and the file that it is frozen in."""

    comparison: Comparison
    path: str
    warnings: tuple[Diagnostic, ...]

    @classmethod
    def at(cls, comparison: Comparison, path: str) -> "FrozenComparison":
        """Freezes a comparison in a file, which must not hold another.

        Raises:
            InputError: if it does, or cannot be written.
        """
        frozen = comparison.freeze(path)
        return cls(frozen, path, frozen.warnings)

    def __str__(self) -> str:
        return f"{self.comparison}\nfrozen in {self.path}, sha256 {self.comparison.sha256}"

    def to_dict(self) -> dict[str, Any]:
        return self.comparison.to_dict()

    def to_frame(self) -> pd.DataFrame:
        return self.comparison.to_frame()


def frozen_comparison(path: str | Path) -> Comparison | None:
    """The comparison in a file; None where the file holds something else, or is not there.

    Raises:
        InputError: it was changed after it was frozen.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return None
    return read_comparison(path) if isinstance(content, dict) and "may_be_best" in content else None

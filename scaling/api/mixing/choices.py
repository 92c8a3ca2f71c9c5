"""Mixtures of data: the laws of what they change, the best one for a target, its score and its backtest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.mixing import backtest as backtests
from analysis.mixing.backtest import MixtureBacktest
from analysis.mixing.choice import Choice, read_choice
from analysis.mixing.choose import choose
from analysis.mixing.contrast import fitted
from analysis.mixing.contrast.fitted import MixtureFit
from analysis.mixing.contrast.shapes import SHAPES
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import KL, ChoiceRequest
from analysis.mixing.score import ChoiceScore, score_choice
from analysis.mixing.table import MixtureTable
from analysis.result import Result
from analysis.runs.recognition.spelling import normalised
from scaling.api.tables import Runs
from scaling.api.targets import names_no_embeddings, target_of
from scaling.errors import InputError

MixtureRuns = Runs | MixtureTable


def choose_mixture(
    runs: MixtureRuns,
    *,
    params: float | None = None,
    model: str | None = None,
    tokens: float | None = None,
    flops: float | None = None,
    objective: Mapping[str, float] | None = None,
    most: Mapping[str, float] | None = None,
    unique: Mapping[str, float] | None = None,
    law: str = "auto",
    kl: float = KL,
    interval: float = 0.9,
    seeds: int = 1,
    mix: str | None = None,
    losses: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    unseen: bool = False,
) -> Choice:
    """Chooses the mixture of sources for a target by runs on many, and says what it is worth and how sure that is.

    Args:
        runs: a sweep's folder, a table's file, a DataFrame, a table that is read already, or one of mixtures.
        params: the target's parameters, counted as in the table; or
        model: a published Llama, such as ``llama3-8b``.
        tokens: the target's training tokens.
        flops: the target's training FLOPs; by default what the table's largest runs need per parameter and token.
        objective: the weight of each domain's loss; by default all alike.
        most: passes over a source at most; by default 4, or as many as some run has made.
        unique: training tokens that each source has at the target; by default those of the runs.
        law: of what a mixture changes, or ``auto`` for all by what each missed.
        kl: the pull towards the proportional mixture; 0 for none.
        interval: the probability that an interval holds.
        seeds: runs of the target whose mean is forecast.
        mix, losses: patterns of the columns of shares, such as ``weight_*``, and of losses; by default the usual ones.
        where, columns: as for :func:`read_runs`.
        unseen: whether to refuse a target that is among the runs, as a choice to be frozen must.

    Raises:
        InputError: one line per error in the table or the request.
    """
    table = _read(runs, mix, losses, where, columns)
    nonembedding = names_no_embeddings((table.columns or {}).get("params", ""))
    size, length = target_of(params, model, tokens, nonembedding)
    request = ChoiceRequest(
        params=size,
        tokens=length,
        flops=flops,
        objective=None if objective is None else _by_name(objective),
        most=_by_name(most or {}),
        unique=_by_name(unique or {}),
        kl=kl,
        level=interval,
        seeds=seeds,
        law=law,
    )
    if unseen:
        _refuse_known(table, size, length)
    return choose(table, request)


def fit_mixture(
    runs: MixtureRuns,
    *,
    law: str = "auto",
    mix: str | None = None,
    losses: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> MixtureFit:
    """Fits the laws of what a mixture changes to runs on many, and weighs them by what each missed.

    Args:
        runs, law, mix, losses, where, columns: as for :func:`choose_mixture`.

    Raises:
        InputError: one line per error in the table or the request.
    """
    return fitted.fit_mixture(_read(runs, mix, losses, where, columns), law)


def score_mixture(choice: Choice | str | Path, runs: MixtureRuns) -> ChoiceScore:
    """Compares a frozen choice with the runs made after it on its candidates.

    Args:
        choice: the choice, or the file that it is frozen in.
        runs: the table that it was made from, with the targets' runs beside.

    Raises:
        InputError: another table, or no run of a candidate at the target.
    """
    made = choice if isinstance(choice, Choice) else read_choice(choice)
    if isinstance(runs, MixtureTable):
        return score_choice(made, runs)
    return score_choice(made, _read(runs, made.mix, made.losses_pattern, made.where, made.columns))


def backtest_mixtures(
    runs: MixtureRuns,
    *,
    law: str | None = None,
    mix: str | None = None,
    losses: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> MixtureBacktest:
    """Forecasts a table's dearer runs on mixtures from its cheaper ones, by every law and by all of them together.

    Args:
        law: one of them, or ``auto`` for all together; by default each, and ``auto``.
        runs, mix, losses, where, columns: as for :func:`choose_mixture`.

    Raises:
        InputError: one line per error in the table, or one too small to hold runs back.
    """
    table = _read(runs, mix, losses, where, columns)
    if law not in (None, "auto", *SHAPES):
        raise InputError(f"`law` = {law!r} is none of auto, {', '.join(SHAPES)}")
    return backtests.backtest_mixtures(table, None if law is None else [law])


@dataclass(frozen=True)
class FrozenChoice(Result):
    """A choice, and the file that it is frozen in."""

    choice: Choice
    path: str
    warnings: tuple[Diagnostic, ...]

    @classmethod
    def at(cls, choice: Choice, path: str) -> "FrozenChoice":
        """Freezes a choice in a file, which must not hold another.

        Raises:
            InputError: if it does, or cannot be written.
        """
        choice.freeze(path)
        return cls(choice, path, choice.warnings)

    def __str__(self) -> str:
        return f"{self.choice}\nfrozen in {self.path}"

    def to_dict(self) -> dict[str, Any]:
        return self.choice.to_dict()

    def to_frame(self) -> pd.DataFrame:
        return self.choice.to_frame()


def frozen_choice(path: str | Path) -> Choice | None:
    """The choice in a file; None where the file holds something else, or is not there.

    Raises:
        InputError: it was changed after it was frozen.
    """
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return None
    return read_choice(path) if isinstance(content, dict) and {"candidates", "p_better"} <= set(content) else None


def _read(
    runs: MixtureRuns,
    mix: str | None,
    losses: str | None,
    where: str | None,
    columns: Mapping[str, str] | None,
) -> MixtureTable:
    if not isinstance(runs, MixtureTable):
        return read_mixtures(runs, mix=mix, losses=losses, where=where, columns=columns)
    given = {"mix": mix, "losses": losses, "where": where, "columns": columns}
    if wrong := [name for name, value in given.items() if value]:
        raise InputError(f"`{name}` applies where a table is read, and this one is read already" for name in wrong)
    return runs


def _by_name(values: Mapping[str, float]) -> dict[str, float]:
    """Values by the names of sources or domains, spelled as a table of mixtures spells them.

    Raises:
        InputError: two of one name.
    """
    found = {normalised(name): value for name, value in values.items()}
    if len(found) < len(values):
        raise InputError(f"two of {', '.join(values)} are the same name")
    return found


def _refuse_known(table: MixtureTable, params: float, tokens: float) -> None:
    points = table.fit
    if ((abs(points.params / params - 1) < 0.01) & (abs(points.tokens / tokens - 1) < 0.01)).any():
        raise InputError(
            f"{table.source}: has fitted runs of the target's {params:.4g} parameters and {tokens:.4g} tokens, and a "
            "choice is frozen before these are known: leave them out with `where`, or give them the role 'target'"
        )

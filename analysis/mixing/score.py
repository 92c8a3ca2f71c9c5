"""The score of a frozen choice: the losses forecast for its candidates against those of the runs made after it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable, save_text
from analysis.mixing.choice import CHOSEN, Candidate, Choice, Span
from analysis.mixing.judging.text import score_text
from analysis.mixing.points import MixturePoints
from analysis.mixing.table import MixtureTable
from analysis.result import Result

# Shares of a run that was made with those of a candidate, written with three digits.
_SAME_SHARE = 1e-3
_SAME_SCALE = 0.01


@dataclass(frozen=True)
class ScoredLoss:
    """A forecast loss against the mean of the runs, in nats per token; error = predicted / actual - 1."""

    predicted: float
    actual: float
    error: float
    interval: tuple[float, float]
    covered: bool


@dataclass(frozen=True)
class ScoredCandidate:
    """A mixture that was trained at the target.

    Attributes:
        runs: their ids.
        losses: of each domain.
        objective: the weighted mean of the losses.
    """

    runs: tuple[str, ...]
    losses: Mapping[str, ScoredLoss]
    objective: ScoredLoss


@dataclass(frozen=True)
class ScoredDecision:
    """The chosen mixture against another candidate.

    Attributes:
        other: the candidate.
        better: the probability, as frozen, that the chosen one's objective is the lower one.
        right: whether the likelier one had it.
        brier: (better - outcome)^2.
        gain: by what share of its objective the other was forecast to be worse.
        actual: as measured; of runs of one seed paired where both have it.
        inside: whether the interval of the gain holds it.
    """

    other: str
    better: float
    right: bool
    brier: float
    gain: float
    actual: float
    inside: bool


@dataclass(frozen=True)
class ChoiceScore(Result):
    """The score of a choice.

    Attributes:
        candidates: those that were trained at the target, by name.
        untrained: names of the others.
        decisions: the chosen mixture against each other one that was trained.
        best: the candidate of the lowest objective.
        regret: objective of the chosen mixture over the lowest, less 1; None where the chosen one was not trained.
        domain_error: mean over candidates and domains of the absolute errors.
        contrast_error: the same of differences of log losses from the candidates' mean; None for a single one.
        level_error: mean over domains of the candidates' mean error, absolute.
        coverage: share of the domains' intervals that hold the actual loss.
        ranked: share of all pairs of candidates, on each domain, that were ranked right; None for a single one.
        right: share of the decisions that were; None without any.
        brier: mean over the decisions; None without any.
        extrapolation: target FLOPs over those of the largest fitted runs.
        level: of the intervals.
        choice_sha256: of the frozen file.
        warnings: in words and codes.
    """

    candidates: Mapping[str, ScoredCandidate]
    untrained: tuple[str, ...]
    decisions: tuple[ScoredDecision, ...]
    best: str
    regret: float | None
    domain_error: float
    contrast_error: float | None
    level_error: float
    coverage: float
    ranked: float | None
    right: float | None
    brier: float | None
    extrapolation: float
    level: float
    choice_sha256: str
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return score_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling score`` of a choice."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row a candidate and domain, and one a candidate of its objective."""
        rows = [
            {"candidate": name, "domain": domain, **asdict(each)}
            for name, candidate in self.candidates.items()
            for domain, each in (*candidate.losses.items(), ("objective", candidate.objective))
        ]
        return pd.DataFrame(rows)

    def write(self, path: str | Path) -> None:
        """Writes the score as JSON, atomically."""
        save_text(Path(path), json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n")


def read_choice_score(path: str | Path) -> ChoiceScore:
    """Reads a score that :meth:`ChoiceScore.write` wrote.

    Raises:
        InputError: the file holds something else.
    """
    with readable(Path(path), "score of a choice"):
        content = json.loads(Path(path).read_bytes())
        content["candidates"] = {name: _candidate(each) for name, each in content["candidates"].items()}
        content["untrained"] = tuple(content["untrained"])
        content["decisions"] = tuple(ScoredDecision(**each) for each in content["decisions"])
        content["warnings"] = tuple(Diagnostic(**each) for each in content["warnings"])
        return ChoiceScore(**content)


def score_choice(choice: Choice, table: MixtureTable) -> ChoiceScore:
    """Compares a frozen choice with the runs that were made of its candidates at the target.

    Args:
        choice: as frozen.
        table: the one that it was made from, with the target's runs beside: as rows of role target or, without roles,
            rows at the target's parameters and tokens (within 1 %). A run is a candidate's by its shares.

    Raises:
        InputError: the fitted rows or the held-out text are others, or no candidate was trained at the target.
    """
    fitted, targets = _parted(table, choice)
    _check_same(choice, table, fitted)
    rows = {name: _of(choice.candidates[name], targets) for name in choice.candidates}
    rows = {name: mask for name, mask in rows.items() if mask.any()}
    if not rows:
        raise InputError(
            f"{table.source}: no finished run of a candidate ({', '.join(choice.candidates)}) at the choice's "
            f"{choice.params:.4g} parameters and {choice.tokens:.4g} tokens"
        )
    scored = {name: _scored(choice, choice.candidates[name], targets.take(mask)) for name, mask in rows.items()}
    decisions = tuple(_decisions(choice, {name: targets.take(mask) for name, mask in rows.items()}))
    objectives = {name: each.objective.actual for name, each in scored.items()}
    errors = np.array([[np.log1p(loss.error) for loss in each.losses.values()] for each in scored.values()])
    every = [loss for each in scored.values() for loss in each.losses.values()]
    ranked = list(_ranked(scored, choice))
    return ChoiceScore(
        candidates=scored,
        untrained=tuple(name for name in choice.candidates if name not in scored),
        decisions=decisions,
        best=min(objectives, key=lambda name: objectives[name]),
        regret=objectives[CHOSEN] / min(objectives.values()) - 1 if CHOSEN in objectives else None,
        domain_error=float(np.mean([abs(loss.error) for loss in every])),
        contrast_error=float(np.abs(errors - errors.mean(axis=0)).mean()) if len(scored) > 1 else None,
        level_error=float(np.abs(np.expm1(errors.mean(axis=0))).mean()),
        coverage=float(np.mean([loss.covered for loss in every])),
        ranked=float(np.mean(ranked)) if ranked else None,
        right=float(np.mean([each.right for each in decisions])) if decisions else None,
        brier=float(np.mean([each.brier for each in decisions])) if decisions else None,
        extrapolation=choice.extrapolation,
        level=choice.level,
        choice_sha256=hashlib.sha256(choice.to_json().encode()).hexdigest(),
        warnings=(),
    )


def _parted(table: MixtureTable, choice: Choice) -> tuple[MixtureTable, MixturePoints]:
    """The table without the target's rows, and these."""
    points = table.targets if table.targets is not None else table.fit
    apart = [np.abs(points.params / choice.params - 1), np.abs(points.tokens / choice.tokens - 1)]
    near = np.max(apart, axis=0) < _SAME_SCALE
    if table.targets is not None:
        return table, points.take(near)
    return replace(table, fit=points.take(~near)), points.take(near)


def _check_same(choice: Choice, table: MixtureTable, fitted: MixtureTable) -> None:
    """Refuses a table that the choice was not made from, and losses on another text."""
    errors = []
    if fitted.hash() != choice.table_hash:
        errors.append(
            f"{table.source}: not the table that the choice was made from: its fitted rows hash to "
            f"{fitted.hash()[:12]}, the choice's to {choice.table_hash[:12]}"
        )
    errors += [
        f"{table.source}: the losses on {domain} are on another held-out text ({table.held_out[domain][:12]}) than "
        f"the choice's ({text[:12]})"
        for domain, text in choice.held_out.items()
        if table.held_out.get(domain, text) != text
    ]
    if errors:
        raise InputError(errors)


def _of(candidate: Candidate, targets: MixturePoints) -> Bool[np.ndarray, " runs"]:
    """Mask of the runs with a candidate's shares."""
    shares = np.array([candidate.shares[name] for name in targets.sources])
    return np.asarray((np.abs(targets.shares - shares) <= _SAME_SHARE).all(axis=1))


def _scored(choice: Choice, candidate: Candidate, runs: MixturePoints) -> ScoredCandidate:
    weights = np.array([choice.objective[name] for name in runs.domains])
    losses = {name: _loss(candidate.losses[name], runs.losses[:, at]) for at, name in enumerate(runs.domains)}
    return ScoredCandidate(runs.run_ids, losses, _loss(candidate.objective, runs.losses @ weights))


def _loss(span: Span, losses: Float[np.ndarray, " runs"]) -> ScoredLoss:
    actual = float(losses.mean())
    covered = span.low <= actual <= span.high
    return ScoredLoss(span.value, actual, span.value / actual - 1, (span.low, span.high), covered)


def _decisions(choice: Choice, runs: Mapping[str, MixturePoints]) -> Iterator[ScoredDecision]:
    for other in runs:
        # A candidate of the chosen one's own shares has its very runs: there is nothing to decide.
        if CHOSEN in runs and set(runs[other].run_ids) != set(runs[CHOSEN].run_ids):
            better, gain = choice.p_better[other], choice.gain[other]
            actual = _gain(choice, runs[CHOSEN], runs[other])
            yield ScoredDecision(
                other=other,
                better=better,
                right=(better >= 0.5) == (actual > 0),
                brier=(better - float(actual > 0)) ** 2,
                gain=gain.value,
                actual=actual,
                inside=gain.low <= actual <= gain.high,
            )


def _gain(choice: Choice, chosen: MixturePoints, other: MixturePoints) -> float:
    """By what share the other's objective is worse, over the seeds in common where there are any."""
    weights = np.array([choice.objective[name] for name in chosen.domains])
    ours, theirs = (_by_seed(runs, weights) for runs in (chosen, other))
    shared = [seed for seed in ours if seed in theirs]
    if shared:
        return float(np.mean([theirs[seed] for seed in shared]) / np.mean([ours[seed] for seed in shared]) - 1)
    return float((other.losses @ weights).mean() / (chosen.losses @ weights).mean() - 1)


def _by_seed(runs: MixturePoints, weights: Float[np.ndarray, " domains"]) -> dict[int, float]:
    objective = runs.losses @ weights
    return {int(seed): float(objective[runs.seeds == seed].mean()) for seed in np.unique(runs.seeds)}


def _ranked(scored: Mapping[str, ScoredCandidate], choice: Choice) -> Iterator[bool]:
    """Of each two candidates, on each domain, whether the one forecast to be better was."""
    for first, second in combinations(scored, 2):
        if set(scored[first].runs) != set(scored[second].runs):
            for domain in choice.objective:
                one, other = scored[first].losses[domain], scored[second].losses[domain]
                yield (one.predicted < other.predicted) == (one.actual < other.actual)


def _candidate(content: Mapping[str, Any]) -> ScoredCandidate:
    losses = {name: _read_loss(each) for name, each in content["losses"].items()}
    return ScoredCandidate(tuple(content["runs"]), losses, _read_loss(content["objective"]))


def _read_loss(content: Mapping[str, Any]) -> ScoredLoss:
    low, high = content["interval"]
    return ScoredLoss(**{**content, "interval": (low, high)})

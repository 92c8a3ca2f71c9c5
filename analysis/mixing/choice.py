"""The choice of a mixture for a target: what it holds, and the file that it is frozen in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.files import readable
from analysis.frozen import digest, freeze_once
from analysis.mixing.text import choice_text
from analysis.result import Result

CHOSEN = "chosen"


@dataclass(frozen=True)
class Span:
    """A forecast and the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Candidate:
    """A mixture at the target.

    Attributes:
        shares: of each source.
        losses: on each domain, nats per token, of the mean of ``seeds`` runs.
        objective: the weighted mean of these.
        epochs: passes over each source; empty where the sources' sizes are unknown.
    """

    shares: Mapping[str, float]
    losses: Mapping[str, Span]
    objective: Span
    epochs: Mapping[str, float]


@dataclass(frozen=True)
class LengthChoice:
    """The choice for a model of the target's size that is trained for another length.

    Attributes:
        tokens: of training.
        shares: of each source.
        epochs: passes over each source whose size is known.
        cost: of text that runs out: by what share the objective is above that of sources without end.
    """

    tokens: float
    shares: Mapping[str, float]
    epochs: Mapping[str, float]
    cost: float


@dataclass(frozen=True)
class ScarceText:
    """What sources that run out change.

    Attributes:
        endless: shares of the mixture that would be chosen at the target if no source ran out.
        repeat: constant R of the worth of repeated text, in epochs (2305.16264).
        lengths: the choice for shorter and longer training.
    """

    endless: Mapping[str, float]
    repeat: float
    lengths: tuple[LengthChoice, ...]


@dataclass(frozen=True)
class Choice(Result):
    """The mixture for a target, and what it is worth.

    Attributes:
        candidates: ``chosen``, ``proportional``, ``uniform`` and ``best_run``, the best mixture that was tried.
        ranges: least and largest share of each source among the mixtures that cannot be told from the chosen one.
        flat: sources whose share hardly matters.
        p_better: probability that the chosen mixture's objective is the lower one, against each other candidate.
        gain: by what share of its objective each other candidate is worse.
        scarce: what sources that run out change; None where none does, or their sizes are unknown.
        objective: weight of each domain, together 1.
        kl: weight of the pull towards the proportional mixture.
        limits: most passes over each source that were allowed; empty where the sources' sizes are unknown.
        params: of the target.
        tokens: of the target.
        flops: of the target.
        seeds: runs of the target whose mean is forecast.
        extrapolation: target FLOPs over those of the largest fitted runs.
        level: the probability that an interval shall hold.
        weights: of each law of the contrast, averaged over domains.
        misses: what each law missed of left-out mixtures and larger runs, root mean square of the log loss.
        level_sd: standard deviation of the level's log loss on each domain.
        n_runs: runs fitted.
        n_mixtures: mixtures that were tried.
        source: the table's file.
        where: the filter that chose the fitted rows, or None.
        columns: the user's mapping of columns, or None.
        mix: pattern of the shares' columns.
        losses_pattern: pattern of the losses' columns.
        held_out: hash of the text of each domain's losses, where the table has them.
        table_hash: of the fitted rows.
        warnings: in words and codes.
        version: of this package.
        created: UTC, ISO 8601.
    """

    candidates: Mapping[str, Candidate]
    ranges: Mapping[str, tuple[float, float]]
    flat: tuple[str, ...]
    p_better: Mapping[str, float]
    gain: Mapping[str, Span]
    scarce: ScarceText | None
    objective: Mapping[str, float]
    kl: float
    limits: Mapping[str, float]
    params: float
    tokens: float
    flops: float
    seeds: int
    extrapolation: float
    level: float
    weights: Mapping[str, float]
    misses: Mapping[str, float | None]
    level_sd: Mapping[str, float]
    n_runs: int
    n_mixtures: int
    source: str
    where: str | None
    columns: Mapping[str, str] | None
    mix: str
    losses_pattern: str
    held_out: Mapping[str, str]
    table_hash: str
    warnings: tuple[Diagnostic, ...]
    version: str
    created: str

    @property
    def shares(self) -> Mapping[str, float]:
        """The chosen mixture."""
        return self.candidates[CHOSEN].shares

    @property
    def losses(self) -> Mapping[str, Span]:
        """The losses of the chosen mixture."""
        return self.candidates[CHOSEN].losses

    def __str__(self) -> str:
        return choice_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling mixture choose``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        losses = {name: {"loss": span.value, "interval": [span.low, span.high]} for name, span in self.losses.items()}
        return {"shares": dict(self.shares), "losses": losses, **plain}

    def to_frame(self) -> pd.DataFrame:
        """One row a source: the chosen share, its range, and the shares of the other candidates."""
        rows = [
            {
                "source": name,
                "share": share,
                "low": self.ranges[name][0],
                "high": self.ranges[name][1],
                **{other: each.shares[name] for other, each in self.candidates.items() if other != CHOSEN},
            }
            for name, share in self.shares.items()
        ]
        return pd.DataFrame(rows)

    def to_json(self) -> str:
        """Text of the frozen file, with a digest over its other keys."""
        content = self.to_dict()
        return json.dumps({**content, "digest": digest(content)}, indent=2, allow_nan=False) + "\n"

    def freeze(self, path: str | Path) -> None:
        """Writes the choice to a new file.

        Raises:
            InputError: if there is a file already, or it cannot be written.
        """
        if not freeze_once(Path(path), self.to_json()):
            raise InputError(f"{path}: there is a file already, and a frozen choice is not replaced")


def read_choice(path: str | Path) -> Choice:
    """Reads a frozen choice.

    Raises:
        InputError: it is missing, no such file, or was changed since it was frozen.
    """
    path = Path(path)
    with readable(path, "frozen choice of a mixture"):
        content = json.loads(path.read_bytes())
        found = content.pop("digest")
        if found != digest(content):
            raise InputError(f"{path}: changed since it was frozen")
        given = {field.name: content[field.name] for field in fields(Choice)}
        given["candidates"] = {name: _candidate(each) for name, each in given["candidates"].items()}
        given["gain"] = {name: Span(**each) for name, each in given["gain"].items()}
        given["ranges"] = {name: (low, high) for name, (low, high) in given["ranges"].items()}
        given["scarce"] = None if given["scarce"] is None else _scarce(given["scarce"])
        given["flat"] = tuple(given["flat"])
        given["warnings"] = tuple(Diagnostic(**each) for each in given["warnings"])
        return Choice(**given)


def _candidate(content: Mapping[str, Any]) -> Candidate:
    losses = {name: Span(**each) for name, each in content["losses"].items()}
    return Candidate(dict(content["shares"]), losses, Span(**content["objective"]), dict(content["epochs"]))


def _scarce(content: Mapping[str, Any]) -> ScarceText:
    lengths = tuple(LengthChoice(**each) for each in content["lengths"])
    return ScarceText(dict(content["endless"]), content["repeat"], lengths)

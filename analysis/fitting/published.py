"""Constants from papers, read from published.toml with their sources; a fit by the name ``published:NAME``."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import exp
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ConfigDict

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import FitResult
from analysis.fitting.law_fit import FitStatus
from analysis.laws import LAWS
from analysis.package_data import read_toml
from analysis.result import Result
from analysis.runs.arrays import inputs_at
from analysis.runs.filter import closest

PREFIX = "published:"
# Extrapolation factor of the longest forecast on record that came true (Marin's Delphi).
LONGEST = 333.0
_WHOLE = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class _Range:
    """The range of published runs: a table of ``published.toml``.

    Attributes:
        params: geometric mean of the runs' parameters.
        tokens: geometric mean of the runs' training tokens.
        smallest: FLOPs of the smallest run.
        largest: FLOPs of the largest run.
        ratios: fewest and most tokens per parameter.
    """

    params: float
    tokens: float
    smallest: float
    largest: float
    ratios: tuple[float, float]
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class PublishedRuns(_Range):
    """The runs behind published constants: their range, and the standard errors of the exponents.

    Attributes:
        exponent_errors: standard errors of the exponents of parameters and of tokens, as fractions of each.
        error_source: where these errors are from.
    """

    exponent_errors: tuple[float, float]
    error_source: str

    @property
    def assumed(self) -> bool:
        """Whether the exponents' standard errors are assumed rather than the paper's."""
        return self.error_source.startswith("assumed")

    def warnings(self, params: float, tokens: float) -> Iterator[Diagnostic]:
        """Warnings of a target (parameters, tokens) far outside the range of the runs."""
        flops, ratio = 6 * params * tokens, tokens / params
        if flops > LONGEST * self.largest:
            yield Diagnostic(
                "far-extrapolation",
                f"{flops / self.largest:.3g} times the FLOPs of the largest run behind these constants; the longest "
                f"forecast on record that came true reached {LONGEST:g} times"
                + ("; the constants' errors are assumed, and nothing this far out has tested that" * self.assumed),
            )
        if flops < self.smallest / 10:
            yield Diagnostic(
                "far-extrapolation",
                f"{self.smallest / flops:.3g} times fewer FLOPs than the smallest run behind these constants: laws do "
                "not hold for models that learn next to nothing",
            )
        fewest, most = self.ratios
        if not fewest / 2 <= ratio <= 2 * most:
            yield Diagnostic(
                "far-extrapolation",
                f"{ratio:.3g} tokens per parameter, and the runs behind these constants {fewest:.3g} to {most:.3g}: "
                "how laws bend beyond is not known",
            )


@dataclass(frozen=True)
class Published:
    """A published fit: constants, source and runs.

    Attributes:
        law: name of its law in ``LAWS``.
        params: the law's constants by name.
        source: where they are printed.
        runs: the runs that they were fitted to.
        convention: how N and FLOPs are counted.
        stderr: standard errors of the constants, where the paper prints them.
    """

    law: str
    params: dict[str, float]
    source: str
    runs: PublishedRuns
    convention: str = "total params, flops = 6 params tokens"
    stderr: dict[str, float] = field(default_factory=dict)

    @property
    def nonembedding(self) -> bool:
        """Whether the fit's parameters leave out the embeddings."""
        return self.convention.startswith("non-embedding")


@dataclass(frozen=True)
class _Fit:
    """A fit's table in ``published.toml``."""

    law: str
    params: dict[str, float]
    source: str
    runs: str
    exponent_errors: tuple[float, float]
    error_source: str
    log_params: dict[str, float] = field(default_factory=dict)
    stderr: dict[str, float] = field(default_factory=dict)
    nonembedding: bool = False
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class _File:
    """The content of ``published.toml``."""

    runs: dict[str, _Range]
    fit: dict[str, _Fit]
    __pydantic_config__ = _WHOLE

    def published(self, fit: _Fit) -> Published:
        """A fit with its runs."""
        return Published(
            law=fit.law,
            params={**{name: exp(value) for name, value in fit.log_params.items()}, **fit.params},
            source=fit.source,
            runs=PublishedRuns(
                **asdict(self.runs[fit.runs]), exponent_errors=fit.exponent_errors, error_source=fit.error_source
            ),
            convention=f"{'non-embedding' if fit.nonembedding else 'total'} params, flops = 6 params tokens",
            stderr=fit.stderr,
        )


_FILE = read_toml("analysis.fitting", "published.toml", _File)
PUBLISHED: dict[str, Published] = {name: _FILE.published(fit) for name, fit in _FILE.fit.items()}


def constants(name: str) -> Published:
    """Finds a published fit by its name, with or without the prefix ``published:``.

    Raises:
        InputError: with the closest name, if there is none.
    """
    key = name.removeprefix(PREFIX)
    if key not in PUBLISHED:
        raise InputError(f"no {PREFIX}{key}{closest(key, list(PUBLISHED))}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[key]


def published(name: str) -> FitResult:
    """A published fit, by its name, as a ``FitResult`` without resamples.

    Raises:
        InputError: with the closest name, if there is none.
    """
    entry = constants(name)
    return FitResult(
        law=entry.law,
        params=entry.params,
        stderr={key: entry.stderr.get(key) for key in entry.params},
        objective=None,
        status=FitStatus.PUBLISHED,
        n_runs=0,
        warnings=(),
        table_hash=entry.source,
        convention=entry.convention,
        samples=np.zeros((0, len(LAWS[entry.law].names))),
    )


@dataclass(frozen=True)
class PublishedLoss(Result):
    """The loss by published constants, which allow no interval.

    Attributes:
        law: the constants' law.
        loss: nats per token.
        params: of the target, counted as ``convention`` says.
        tokens: of the target.
        source: the paper.
        convention: how parameters and FLOPs are counted.
        warnings: how far the target lies beyond the paper's runs.
    """

    law: str
    loss: float
    params: float
    tokens: float
    source: str
    convention: str
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return (
            f"loss           {self.loss:.4f} nats per token, from constants: no interval\n"
            f"constants      {self.source}\ncounts         {self.convention}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling predict``."""
        return {
            "law": self.law,
            "loss": self.loss,
            "interval": None,
            "level": None,
            "extrapolation": None,
            "weights": {self.law: 1.0},
            "warnings": [warning.to_dict() for warning in self.warnings],
            "params": self.params,
            "tokens": self.tokens,
            "source": self.source,
            "convention": self.convention,
        }

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row: the target and its loss."""
        names = ("params", "tokens", "loss", "law", "source")
        return pd.DataFrame([{name: value for name, value in asdict(self).items() if name in names}])


def predict_published(name: str, params: float, tokens: float) -> PublishedLoss:
    """Predicts the loss at a target by published constants.

    Raises:
        InputError: with the closest name, if there is none.
    """
    fit = published(name)
    return PublishedLoss(
        law=fit.law,
        loss=float(fit.predict(inputs_at(params, tokens, 6.0 * params * tokens))[0]),
        params=params,
        tokens=tokens,
        source=fit.table_hash,
        convention=fit.convention,
        warnings=tuple(constants(name).runs.warnings(params, tokens)),
    )

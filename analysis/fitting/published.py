"""Constants from papers, each with its source; usable wherever a fit is, as ``published:NAME``."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp
from typing import Any

import numpy as np

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import FitResult, FitStatus
from analysis.laws import LAWS
from analysis.runs.arrays import inputs_at
from analysis.runs.filter import closest

PREFIX = "published:"
# The longest forecast on record that came true reached so many times its largest fitted run.
LONGEST = 333.0


@dataclass(frozen=True)
class Runs:
    """The runs behind published constants: where they lie, and how well they tell the exponents.

    Attributes:
        params: geometric mean.
        tokens: geometric mean.
        smallest: FLOPs of the smallest.
        largest: FLOPs of the largest.
        ratios: fewest and most tokens per parameter.
        exponents: standard error of the exponents of parameters and of tokens, as a fraction of each.
        why: where these come from.
    """

    params: float
    tokens: float
    smallest: float
    largest: float
    ratios: tuple[float, float]
    exponents: tuple[float, float]
    why: str

    @property
    def assumed(self) -> bool:
        """Whether the exponents' errors are not of the paper."""
        return self.why.startswith("assumed")

    def warnings(self, params: float, tokens: float) -> Iterator[Diagnostic]:
        """Whether a target, its FLOPs 6 params tokens, lies further out than the runs can vouch for."""
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
    """A published fit: its law, parameters, where they were printed, the runs, and what its N and FLOPs count."""

    law: str
    params: dict[str, float]
    source: str
    runs: Runs
    convention: str = "total params, flops = 6 params tokens"
    stderr: dict[str, float] = field(default_factory=dict)

    @property
    def nonembedding(self) -> bool:
        """Whether its parameters leave out the embeddings."""
        return self.convention.startswith("non-embedding")


# 2404.10102 digitised 240 of the runs of 2203.15556, which tell the centre and the ends.
_CHINCHILLA_ERRORS = (0.015 / 0.3478, 0.021 / 0.3658)
_CHINCHILLA_RUNS = (8.5e8, 1.7e10, 1.4e18, 1.3e22, (0.46, 341.0))
_SAME_RUNS = Runs(
    *_CHINCHILLA_RUNS,
    _CHINCHILLA_ERRORS,
    "assumed: the paper's standard errors are too small (2404.10102); those of the refit to its runs, 4 and 6 % of "
    "the exponents",
)
_ASSUMED = (0.05, 0.05)
_NONE_PRINTED = "assumed: the paper prints no standard errors; 5 % of the exponents, as of Chinchilla's (2404.10102)"
# 11M, 79M, 154M and 412M on 20 tokens per parameter, and 11M on 320.
_GADRE = Runs(5.6e7, 2.0e9, 1.5e16, 2.0e19, (20.0, 320.0), _ASSUMED, _NONE_PRINTED)

PUBLISHED: dict[str, Published] = {
    "chinchilla-epoch": Published(
        "chinchilla",
        {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        "2404.10102, table 1: the Chinchilla figure, digitised and refitted",
        Runs(*_CHINCHILLA_RUNS, _CHINCHILLA_ERRORS, "the paper's standard errors: alpha +- 0.015, beta +- 0.021"),
        stderr={"E": 0.026, "alpha": 0.015, "beta": 0.021},
    ),
    "chinchilla-hoffmann": Published(
        "chinchilla",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
        "2203.15556, equation 10: not the optimum of its own objective, as the search stopped early (2404.10102), and "
        "rounded: at 5.76e23 FLOPs its 0.34 and 0.28 give 32B on 3T, the unrounded 0.3392 and 0.2849 40B on 2.4T, and "
        "the refit, chinchilla-epoch, 72B on 1.33T",
        _SAME_RUNS,
    ),
    "chinchilla-sardana": Published(
        "chinchilla",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283},
        "2401.00448: equation 10 of 2203.15556 with a third digit of the exponents",
        _SAME_RUNS,
    ),
    "kaplan": Published(
        "kaplan",
        {"A": 6.4e13 ** (0.076 / 0.103), "B": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
        "2001.08361, table 2: WebText2, N_c = 6.4e13, D_c = 1.8e13",
        # Figure 4: 393K to 708M parameters, 21M to 22B tokens.
        Runs(1.7e7, 6.8e8, 5.0e13, 9.3e19, (0.03, 5.6e4), _ASSUMED, _NONE_PRINTED),
        "non-embedding params, flops = 6 params tokens",
    ),
    "muennighoff": Published(
        "data-constrained",
        {
            "E": exp(0.6254804),
            "A": exp(6.255414),
            "B": exp(7.3049974),
            "alpha": 0.3526596,
            "R_N": 5.309743,
            "R_D": 15.387756,
        },
        "2305.16264, appendix A: 182 runs on C4; R_N and R_D are weakly identified",
        Runs(3.2e8, 1.5e10, 4.3e15, 9.3e21, (0.09, 6.4e4), _ASSUMED, _NONE_PRINTED),
    ),
    "gadre-c4": Published(
        "overtraining",
        {"E": 1.51, "a": 141.0, "b": 190.0, "eta": 0.121},
        "2403.08540: trained on C4, loss on C4, their fit of five runs",
        _GADRE,
    ),
    "gadre-redpajama": Published(
        "overtraining",
        {"E": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136},
        "2403.08540: trained on RedPajama, loss on C4, their fit of five runs",
        _GADRE,
    ),
    "gadre-refinedweb": Published(
        "overtraining",
        {"E": 1.73, "a": 157.0, "b": 246.0, "eta": 0.127},
        "2403.08540: trained on RefinedWeb, loss on C4, their fit of five runs",
        _GADRE,
    ),
}


def constants(name: str) -> Published:
    """The entry of a name, with or without its prefix.

    Raises:
        InputError: with the closest name, if there is none.
    """
    key = name.removeprefix(PREFIX)
    if key not in PUBLISHED:
        raise InputError(f"no {PREFIX}{key}{closest(key, list(PUBLISHED))}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[key]


def published(name: str) -> FitResult:
    """A published fit, as a fit without resamples.

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


def predict_published(name: str, params: float, tokens: float) -> dict[str, Any]:
    """The JSON object of ``scaling predict`` from published constants, which allow no interval."""
    fit = published(name)
    loss = float(fit.predict(inputs_at(params, tokens, 6.0 * params * tokens))[0])
    return {
        "law": fit.law,
        "loss": loss,
        "interval": None,
        "level": None,
        "extrapolation": None,
        "weights": {fit.law: 1.0},
        "warnings": [warning.to_dict() for warning in constants(name).runs.warnings(params, tokens)],
        "params": params,
        "tokens": tokens,
        "source": fit.table_hash,
        "convention": fit.convention,
    }

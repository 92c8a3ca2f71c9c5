"""Constants from papers, each with its source; usable wherever a fit is, as ``published:NAME``."""

from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np

from analysis.errors import InputError
from analysis.fit import FitResult, FitStatus
from analysis.laws import LAWS
from analysis.points import inputs_at
from analysis.where import closest

PREFIX = "published:"


@dataclass(frozen=True)
class Published:
    """A published fit: its law, parameters, where they were printed, and what its N and FLOPs count."""

    law: str
    params: dict[str, float]
    source: str
    convention: str = "total params, flops = 6 params tokens"


PUBLISHED: dict[str, Published] = {
    "chinchilla-epoch": Published(
        "chinchilla",
        {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        "2404.10102, table 1: the Chinchilla figure, digitised and refitted",
    ),
    "chinchilla-hoffmann": Published(
        "chinchilla",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
        "2203.15556, equation 10: rounded, and not the optimum of its own objective (2404.10102)",
    ),
    "kaplan": Published(
        "kaplan",
        {"A": 6.4e13 ** (0.076 / 0.103), "B": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103},
        "2001.08361, table 2: WebText2, N_c = 6.4e13, D_c = 1.8e13",
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
    ),
    "gadre-c4": Published(
        "overtraining",
        {"E": 1.51, "a": 141.0, "b": 190.0, "eta": 0.121},
        "2403.08540: trained on C4, loss on C4, their fit of five runs",
    ),
    "gadre-redpajama": Published(
        "overtraining",
        {"E": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136},
        "2403.08540: trained on RedPajama, loss on C4, their fit of five runs",
    ),
    "gadre-refinedweb": Published(
        "overtraining",
        {"E": 1.73, "a": 157.0, "b": 246.0, "eta": 0.127},
        "2403.08540: trained on RefinedWeb, loss on C4, their fit of five runs",
    ),
}


def published(name: str) -> FitResult:
    """A published fit, as a fit without resamples.

    Raises:
        InputError: with the closest name, if there is none.
    """
    key = name.removeprefix(PREFIX)
    if key not in PUBLISHED:
        raise InputError(f"no {PREFIX}{key}{closest(key, list(PUBLISHED))}; there are {', '.join(PUBLISHED)}")
    entry = PUBLISHED[key]
    return FitResult(
        law=entry.law,
        params=entry.params,
        stderr=dict.fromkeys(entry.params),
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
        "warnings": [],
        "params": params,
        "tokens": tokens,
        "source": fit.table_hash,
        "convention": fit.convention,
    }

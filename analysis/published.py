"""Constants from papers, each with its source; usable wherever a fit is, as ``published:NAME``."""

from dataclasses import dataclass
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
    "muennighoff": Published(
        "chinchilla-tied",
        {"E": 1.87, "A": 521.0, "B": 1488.0, "alpha": 0.353},
        "2305.16264, appendix B: C4, unique data",
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
    }

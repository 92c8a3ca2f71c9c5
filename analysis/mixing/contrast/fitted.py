"""The laws of the contrast as they are fitted to a table: their parameters, weights and misses on every domain."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.mixing.contrast.fitting import FittedShape
from analysis.mixing.contrast.pool import Contrast, fit_contrast
from analysis.mixing.contrast.repetition import with_repeat
from analysis.mixing.contrast.shapes import SHAPES
from analysis.mixing.table import MixtureTable, check_determined
from analysis.mixing.text import fit_text
from analysis.result import Result

_DRAWS = 50
# Symbols of the parameters in order: those of each source, then single ones. A star marks one fitted as a logarithm.
_SYMBOLS = {
    "inverse": ("C* g*", ""),
    "inverse-joint": ("C* g* A* B*", "a* b*"),
    "exponential": ("t", ""),
    "exponential-joint": ("t p r", "a* b*"),
    "bimix": ("", "a"),
}
_LAST = "s* q"  # cost of repeated text, and growth with compute: of every law


@dataclass(frozen=True)
class LawFit:
    """One law.

    Attributes:
        formula: of what a mixture adds to a loss.
        source: the paper that it is from, an arXiv number.
        params: by domain and name; none of a domain on which the law says nothing. Coefficients are in units of the
            law's other terms at the middle run, and N, D are over that run's params and tokens.
    """

    formula: str
    source: str
    params: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class DomainFit:
    """One domain.

    Attributes:
        weights: of each law that says something on it; together 1.
        misses: root mean square of what each missed of mixtures and larger runs that were left out of its fit, as a
            difference of log losses; None where nothing was tested.
        growth: exponent q of FLOPs by which what a mixture changes grows, of all laws by their weights.
        noise: standard deviation of one run's log loss around its mixture's; None where no mixture was repeated.
    """

    weights: Mapping[str, float]
    misses: Mapping[str, float | None]
    growth: float
    noise: float | None


@dataclass(frozen=True)
class MixtureFit(Result):
    """Laws of mixtures fitted to a table.

    Attributes:
        laws: by name.
        domains: by name.
        weights: of each law, averaged over domains.
        misses: of each law, root mean square over domains; None where nothing was tested.
        sources: what is mixed.
        unique: training tokens that each source has, where that is known.
        repeat: constant of the worth of repeated text (2305.16264).
        middle: params, tokens and FLOPs of the middle run (geometric means), by which those of the laws are divided.
        n_runs: runs fitted.
        n_mixtures: different mixtures.
        n_scales: different sizes and lengths.
        table_hash: of the fitted rows.
        warnings: in words and codes.
    """

    laws: Mapping[str, LawFit]
    domains: Mapping[str, DomainFit]
    weights: Mapping[str, float]
    misses: Mapping[str, float | None]
    sources: tuple[str, ...]
    unique: Mapping[str, float]
    repeat: float
    middle: Mapping[str, float]
    n_runs: int
    n_mixtures: int
    n_scales: int
    table_hash: str
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return fit_text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling mixture fit``."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    def to_frame(self) -> pd.DataFrame:
        """One row a law and domain: weight, miss and parameters."""
        rows = [
            {
                "law": name,
                "domain": domain,
                "weight": self.domains[domain].weights[name],
                "missed": self.domains[domain].misses[name],
                **params,
            }
            for name, law in self.laws.items()
            for domain, params in law.params.items()
        ]
        return pd.DataFrame(rows)


def fit_mixture(table: MixtureTable, law: str = "auto") -> MixtureFit:
    """Fits the laws of the contrast to runs on mixtures, and weighs them by what each missed.

    Args:
        table: the runs.
        law: one of ``SHAPES``, or ``auto`` for all of them.

    Raises:
        InputError: no such law, or runs that determine no contrast.
    """
    if law != "auto" and law not in SHAPES:
        raise InputError(f"`law` = {law!r} is none of auto, {', '.join(SHAPES)}")
    check_determined(table)
    contrast = fit_contrast(with_repeat(table.fit), law, _DRAWS)
    points, names = contrast.points, contrast.laws
    known = np.isfinite(points.unique)
    logs = {"params": np.log(points.params), "tokens": np.log(points.tokens), "flops": points.log_flops}
    return MixtureFit(
        laws={name: _law(name, contrast, number) for number, name in enumerate(names)},
        domains={name: _domain(contrast, place) for place, name in enumerate(points.domains)},
        weights=contrast.mean_weights,
        misses={name: _over_domains(contrast.misses[number]) for number, name in enumerate(names)},
        sources=points.sources,
        unique={name: float(points.unique[place]) for place, name in enumerate(points.sources) if known[place]},
        repeat=points.repeat,
        middle={name: float(np.exp(values.mean())) for name, values in logs.items()},
        n_runs=len(points),
        n_mixtures=len(points.tried),
        n_scales=points.n_cells,
        table_hash=table.hash(),
        warnings=table.warnings,
    )


def _law(name: str, contrast: Contrast, number: int) -> LawFit:
    shape, domains = SHAPES[name], contrast.points.domains
    fits = dict(zip(domains, contrast.fits[number], strict=True))
    params = {
        domain: dict(_named(fitted, contrast.points.sources)) for domain, fitted in fits.items() if fitted is not None
    }
    return LawFit(shape.formula, shape.source, params)


def _named(fitted: FittedShape, sources: tuple[str, ...]) -> Iterator[tuple[str, float]]:
    """The parameters of a fit with their names: ``C_code``, ``g_code``, ``a``, ``q``."""
    each, single = (text.split() for text in _SYMBOLS[fitted.shape.name])
    symbols = [(symbol, f"_{source}") for symbol in each for source in sources]
    symbols += [(symbol, "") for symbol in (*single, *_LAST.split())]
    for (symbol, of), value in zip(symbols, fitted.theta[0].tolist(), strict=True):
        yield symbol.rstrip("*") + of, float(np.exp(value)) if symbol.endswith("*") else value


def _domain(contrast: Contrast, place: int) -> DomainFit:
    here = {name: number for number, name in enumerate(contrast.laws) if contrast.fits[number][place] is not None}
    weights = {name: float(contrast.weights[number, place]) for name, number in here.items()}
    missed = {name: contrast.misses[number, place] for name, number in here.items()}
    growth = 0.0
    for name, number in here.items():
        fitted = contrast.fits[number][place]
        assert fitted is not None
        growth += weights[name] * float(fitted.theta[0, -1])
    noise = float(contrast.noise[place])
    return DomainFit(
        weights=weights,
        misses={name: float(value) if np.isfinite(value) else None for name, value in missed.items()},
        growth=growth,
        noise=noise if np.isfinite(noise) else None,
    )


def _over_domains(misses: Float[np.ndarray, " domains"]) -> float | None:
    tested = misses[np.isfinite(misses)]
    return float(np.sqrt((tested**2).mean())) if len(tested) else None

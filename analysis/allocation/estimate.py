"""An estimated loss surface with draws of its uncertainty: from a table's runs, or from a paper's constants."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from analysis.allocation.surface import ExponentScaling, LossSurface
from analysis.diagnostics import fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import law_named
from analysis.fitting.published import PublishedRuns, constants
from analysis.forecasting.candidates import Candidate
from analysis.forecasting.ensemble import AUTO, Ensemble, ensemble
from analysis.forecasting.member import Member
from analysis.laws import LAWS, Inputs, Law
from analysis.runs.arrays import RunArrays, training_cost
from analysis.runs.schema import NATS
from analysis.runs.table import RunTable

_DRAWS = 200
# Farseer's exponents change with size, and a little too much of that leaves no best split: in benchmarks.split it
# misses the measured N* fourfold, and pooled with the others it raises their error from 42 to 54 %. It stays among the
# draws: 90 % intervals cover 17 of the 18 measured optima with it, 13 without.
_DRAWS_ONLY = "farseer"
_SAME_COUNT = 0.01  # log distance of counts that are reported to few digits
_RESAMPLES = 200  # of each law, which the draws are taken from
# The longest forecast on record that came true reached 333 times; ``fit_checks.out_of_reach`` draws the same line.
_MAX_REACH = 1e7


@dataclass(frozen=True)
class SurfaceEstimate:
    """A loss surface, draws of it, and what they are based on.

    Attributes:
        law: its name; of several, the one with the largest weight.
        surface: the point estimate.
        draws: surfaces of equal weight.
        covers: the sources of uncertainty in the draws, in words.
        runs: fitted; None for published constants.
        source: the table, or the paper.
        largest: FLOPs of the largest run.
        published_runs: the runs behind published constants; None for a table.
        convention: how parameters and FLOPs are counted.
        unit: of the loss.
        tested: the largest log(FLOPs / FLOPs fitted) of a rolling-origin fold.
        warnings: about the table and the fit.
        forecaster: the ensemble that ``scaling predict`` forecasts with; None for published constants.
    """

    law: str
    surface: LossSurface
    draws: tuple[LossSurface, ...]
    covers: str
    runs: RunArrays | None
    source: str
    largest: float
    published_runs: PublishedRuns | None
    convention: str
    unit: str = field(default=NATS, kw_only=True)
    tested: float
    warnings: tuple[Diagnostic, ...]
    forecaster: Ensemble | None = None

    def scaled(self, factor: float) -> "SurfaceEstimate":
        """The estimate with every loss multiplied by a factor, which leaves the best splits as they are."""
        surface, *draws = (replace(each, level=factor * each.level) for each in (self.surface, *self.draws))
        return replace(self, surface=surface, draws=tuple(draws))

    def forecast(self, n: float, d: float) -> tuple[float, float, float] | None:
        """The loss that ``scaling predict`` gives for fresh tokens, and its 90 % interval: (loss, low, high).

        None for published constants: there the surface gives the loss, and the draws its interval.
        """
        if self.forecaster is None:
            return None
        at, cost = np.array([n]), self.surface.cost(np.array([n]))
        loss, low, high = self.forecaster.predict(Inputs(at, at - n + d, at + d + np.log(cost), at - n + d))
        return float(loss[0]), float(low[0]), float(high[0])

    def forecast_ratio(self, n: float, d: float) -> float:
        """Loss by :meth:`forecast` / loss by the surface, both for fresh tokens; 1 for published constants."""
        made = self.forecast(n, d)
        if made is None:
            return 1.0
        fresh = replace(self.surface, unique_tokens=np.inf)
        return made[0] / float(fresh.loss(np.array([n]), np.array([d]))[0])

    def absurd(self, flops: float) -> str | None:
        """Why a number of training FLOPs is too far from the runs for any answer, or None."""
        if self.runs is not None:
            return fit_checks.out_of_reach(self.runs.inputs, float(np.log(flops)))
        if flops > _MAX_REACH * self.largest:
            return (
                f"{flops:.3g} FLOPs are {flops / self.largest:.2g} times those of the largest run behind these "
                f"constants: no forecast reaches that far; aim lower (up to {_MAX_REACH * self.largest:.2g} FLOPs)"
            )
        return None


def estimate_surface(
    table: RunTable, law: str = AUTO, unique_tokens: float = np.inf, fitted: Ensemble | None = None
) -> SurfaceEstimate:
    """Estimates the surface from a table's runs.

    Args:
        table: the runs.
        law: a name in ``LAWS``, or ``auto`` to weigh all laws that separate parameters from tokens.
        unique_tokens: training tokens available before they repeat: repeats count for less and less (2305.16264).
        fitted: the law's ensemble of this table, where it is fitted already.

    Raises:
        InputError: for an unknown law, one that does not separate parameters from tokens, or too few runs; or if all
            have one size or length.
    """
    cells = _distinct(table.arrays.inputs)
    if law != AUTO:
        _check_law(law_named(law), unique_tokens)
    together = ensemble(table, law, _RESAMPLES) if fitted is None else fitted
    members = [
        member
        for member in together.members
        if _separates(member.law, unique_tokens) and len(member.law.names) <= cells
    ]
    if not members:
        raise InputError(
            f"{cells} different (params, tokens) are too few for a law that tells one from the other: more are needed"
        )
    if not any(member.weight for member in members if member.law.name != _DRAWS_ONLY or law != AUTO):
        members = [replace(member, weight=1.0) for member in members]  # no rolling-origin fold weighed them
    pooled = tuple(member for member in members if member.law.name != _DRAWS_ONLY or law != AUTO)
    sizes = np.unique(together.fitted.n)
    surface = LossSurface(pooled, sizes, training_cost(together.fitted, sizes), unique_tokens)
    weights = surface.weights
    return SurfaceEstimate(
        law=max(weights, key=lambda name: weights[name]),
        surface=surface,
        draws=tuple(replace(surface, members=(member,)) for member in _drawn(members)),
        covers=(
            "the sampling of the runs, not the choice of law"
            if law != AUTO
            else "the sampling of the runs and the choice of law"
            + (f"; {_DRAWS_ONLY}, which the answer leaves out, is among them" if len(members) > len(pooled) else "")
        )
        + "; that of a loss also what forecasts among the runs missed, as in `scaling predict`"
        + _but_repeats(unique_tokens),
        runs=table.arrays,
        source=table.source,
        largest=float(np.exp(together.fitted.c.max())),
        published_runs=None,
        convention=table.convention,
        unit=table.unit,
        tested=together.tested,
        warnings=together.warnings,
        forecaster=together,
    )


def published_surface(name: str, unique_tokens: float = np.inf) -> SurfaceEstimate:
    """The surface of a paper's constants, with draws by the standard errors of its exponents.

    Args:
        name: in ``PUBLISHED``.
        unique_tokens: as in :func:`estimate_surface`.

    Raises:
        InputError: for an unknown name, with the closest one; or if the law does not separate parameters from tokens.
    """
    entry = constants(name)
    law, runs = LAWS[entry.law], entry.runs
    _check_law(law, unique_tokens)
    theta = law.internal(entry.params)
    member = Member(Candidate(law), theta, theta[None], 1.0)
    surface = LossSurface((member,), np.zeros(1), np.array([6.0]), unique_tokens)
    centre = (float(np.log(runs.params)), float(np.log(runs.tokens)))
    factors = 1 + np.array(runs.exponent_errors) * np.random.default_rng(0).standard_normal((_DRAWS, 2))
    return SurfaceEstimate(
        law=entry.law,
        surface=surface,
        draws=tuple(replace(surface, exponent_scaling=ExponentScaling(centre, (a, b))) for a, b in factors.tolist()),
        covers=f"the exponents' errors, not the choice of law ({runs.error_source})" + _but_repeats(unique_tokens),
        runs=None,
        source=entry.source,
        largest=runs.largest,
        published_runs=runs,
        convention=entry.convention,
        tested=0.0,
        warnings=(),
    )


def _drawn(members: Sequence[Member]) -> Iterator[Member]:
    """Resamples of the members, drawn in proportion to their weights."""
    shares = np.array([member.weight for member in members])
    rng = np.random.default_rng(0)
    for i in rng.choice(len(members), _DRAWS, p=shares / shares.sum()):
        samples = members[i].samples
        yield replace(members[i], theta=samples[rng.integers(len(samples))])


def _but_repeats(unique_tokens: float) -> str:
    return "; not what repeated tokens are worth" if np.isfinite(unique_tokens) else ""


def _distinct(runs: Inputs) -> int:
    """The number of distinct (parameters, tokens).

    Raises:
        InputError: if all have one size or length.
    """
    for values, what, buys in ((runs.n, "size", "parameters"), (runs.d, "length", "tokens")):
        if np.ptp(values) < _SAME_COUNT:
            raise InputError(
                f"all runs are of one {what} ({np.exp(values[0]):.4g} {buys}), which does not tell what {buys} buy: "
                f"add runs of another {what}"
            )
    return len(np.unique(np.stack([runs.n, runs.d]).round(6), axis=1).T)


def _check_law(law: Law[Inputs], unique_tokens: float) -> None:
    if not _separates(law, np.inf):
        raise InputError(f"the {law.name} law does not tell parameters from tokens: choose `law` chinchilla")
    if not _separates(law, unique_tokens):
        raise InputError(f"what repeated tokens are worth is known for chinchilla and its kin, not for {law.name}")


def _separates(law: Law[Inputs], unique_tokens: float) -> bool:
    """Whether a law separates parameters from tokens and, where these repeat, values the repeats."""
    repeats = {"A", "B", "alpha"} <= set(law.names)
    return {"params", "tokens"} <= set(law.needs) and (repeats or unique_tokens == np.inf)

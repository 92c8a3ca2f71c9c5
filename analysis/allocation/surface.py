"""The loss over parameters and tokens that an allocation is made on, with draws of what is not known of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from analysis.diagnostics import checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import law_named
from analysis.fitting.published import PublishedRuns, constants
from analysis.forecasting.candidates import Candidate
from analysis.forecasting.ensemble import AUTO, Ensemble, ensemble
from analysis.forecasting.member import Member
from analysis.forecasting.pooling import interquartile_mean
from analysis.laws import LAWS, Inputs, Law
from analysis.runs.arrays import RunArrays, training_cost
from analysis.runs.table import RunTable

# 2305.16264: how many repeats of the data, and of the parameters that it suffices for, still pay.
REPEATS, EXCESS = 15.387756, 5.309743
_DRAWS = 200
# Its exponents change with size, and a little too much of that leaves no best split: in benchmarks.split it misses the
# measured N* fourfold, and pooled with the others it takes their miss from 42 to 54 %. As one of the draws it serves:
# 90 % intervals hold 17 of the 18 measured with it, 13 without.
_UNSTEADY = "farseer"
_SAME = 0.01  # of a count, which is told to few digits
_RESAMPLES = 200  # of which the draws are taken
# The longest forecast on record that came true reached 333 times; ``checks.absurd`` draws the same line.
_FURTHEST = 1e7


@dataclass(frozen=True)
class ExponentScaling:
    """Other exponents: those of parameters and of tokens are multiplied by ``by``, (of parameters, of tokens).

    Held are the loss and its slopes at the centre of the runs, ``at`` (log parameters, log tokens), as that is what
    runs tell best. The coefficients and the irreducible loss follow: an exponent that is larger by a standard error
    goes with a larger E, as it does among resampled fits.
    """

    at: tuple[float, float]
    by: tuple[float, float]


@dataclass(frozen=True)
class LossSurface:
    """One loss over parameters and tokens: of a law, or of several pooled.

    Attributes:
        members: the laws, with their weights.
        sizes: log parameters, increasing, at which the cost is known.
        costs: training FLOPs per parameter and token there.
        unique_tokens: training tokens to be had before they repeat.
        stretch: of the exponents, or None.
        level: by which the loss is multiplied.
    """

    members: tuple[Member, ...]
    sizes: Float[np.ndarray, " sizes"]
    costs: Float[np.ndarray, " sizes"]
    unique_tokens: float = np.inf
    stretch: ExponentScaling | None = None
    level: float = 1.0

    @property
    def weights(self) -> dict[str, float]:
        """Each law's share."""
        total = sum(member.weight for member in self.members)
        names = dict.fromkeys(member.law.name for member in self.members)
        return {name: sum(m.weight for m in self.members if m.law.name == name) / total for name in names}

    def cost(self, n: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Training FLOPs per parameter and token at log parameters."""
        return np.interp(n, self.sizes, self.costs)

    def loss(self, n: Float[np.ndarray, " points"], d: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
        """Nats per token at log parameters and log tokens."""
        return self.level * self._unscaled(n, d)

    def _unscaled(
        self, n: Float[np.ndarray, " points"], d: Float[np.ndarray, " points"]
    ) -> Float[np.ndarray, " points"]:
        u = np.full_like(d, np.log(self.unique_tokens))
        if self.stretch is None:
            return self._pooled(n, d, u)
        (n0, d0), (by_n, by_d) = self.stretch.at, self.stretch.by
        n, d, u = n0 + by_n * (n - n0), d0 + by_d * (d - d0), d0 + by_d * (u - d0)
        size, data = np.full_like(n, n0), np.full_like(d, d0)
        at = (np.concatenate(parts) for parts in ((n, n, size, size), (d, data, d, data), (u, u, u, u)))
        both, by_size, by_data, start = np.split(self._pooled(*at), 4)
        # What either changes, before and after the other: the mean, as in some laws they do not just add up.
        size_part, data_part = both - by_data + by_size - start, both - by_size + by_data - start
        return start + size_part / (2 * by_n) + data_part / (2 * by_d)

    def _pooled(
        self,
        n: Float[np.ndarray, " points"],
        d: Float[np.ndarray, " points"],
        u: Float[np.ndarray, " points"],
    ) -> Float[np.ndarray, " points"]:
        cost = np.log(self.cost(n))
        found = [member.log_loss(_inputs(member, n, d, u, cost)) for member in self.members]
        if len(found) == 1:
            return np.exp(found[0])
        shares = np.array([member.weight for member in self.members])
        return np.exp(interquartile_mean(np.stack(found), shares / shares.sum()))


@dataclass(frozen=True)
class SurfaceEstimate:
    """What is known of the loss: the surface, draws of it, and what they stand for.

    Attributes:
        law: its name; of several, the one with the largest weight.
        surface: the loss.
        draws: of equal weight.
        covers: what the draws tell of, in words.
        runs: fitted; None for published constants.
        source: the table, or the paper.
        largest: FLOPs of the largest run.
        behind: of published constants, their runs; None for a table.
        convention: how parameters and FLOPs are counted.
        tested: the largest log(FLOPs / FLOPs fitted) that a nested extrapolation has tried.
        warnings: about the table and the fit.
        forecaster: what ``scaling predict`` asks for a loss and its interval; None for published constants.
    """

    law: str
    surface: LossSurface
    draws: tuple[LossSurface, ...]
    covers: str
    runs: RunArrays | None
    source: str
    largest: float
    behind: PublishedRuns | None
    convention: str
    tested: float
    warnings: tuple[Diagnostic, ...]
    forecaster: Ensemble | None = None

    def scaled(self, by: float) -> "SurfaceEstimate":
        """With every loss multiplied by so much: the best splits stay."""
        surface, *draws = (replace(each, level=by * each.level) for each in (self.surface, *self.draws))
        return replace(self, surface=surface, draws=tuple(draws))

    def forecast(self, n: float, d: float) -> tuple[float, float, float] | None:
        """The loss that ``scaling predict`` gives for fresh tokens, and its 90 % interval: (loss, low, high).

        None for published constants, of which the surface tells the loss, and the draws the interval.
        """
        if self.forecaster is None:
            return None
        at, cost = np.array([n]), self.surface.cost(np.array([n]))
        loss, low, high = self.forecaster.predict(Inputs(at, at - n + d, at + d + np.log(cost), at - n + d))
        return float(loss[0]), float(low[0]), float(high[0])

    def off(self, n: float, d: float) -> float:
        """What :meth:`forecast` gives / what the surface does, both for fresh tokens; 1 for published constants."""
        made = self.forecast(n, d)
        if made is None:
            return 1.0
        fresh = replace(self.surface, unique_tokens=np.inf)
        return made[0] / float(fresh.loss(np.array([n]), np.array([d]))[0])

    def absurd(self, flops: float) -> str | None:
        """Why nothing honest can be said of so many training FLOPs, or None."""
        if self.runs is not None:
            return checks.absurd(self.runs.inputs, float(np.log(flops)))
        if flops > _FURTHEST * self.largest:
            return (
                f"{flops:.3g} FLOPs are {flops / self.largest:.2g} times those of the largest run behind these "
                f"constants: no forecast reaches that far; aim lower (up to {_FURTHEST * self.largest:.2g} FLOPs)"
            )
        return None


def estimate_surface(table: RunTable, law: str = AUTO, unique_tokens: float = np.inf) -> SurfaceEstimate:
    """What a table's runs tell.

    Args:
        table: the runs.
        law: a name in ``LAWS``, or ``auto`` to weigh all that tell parameters from tokens.
        unique_tokens: training tokens to be had before they repeat: repeats count for less and less (2305.16264).

    Raises:
        InputError: for an unknown law, one that cannot tell, or too few runs; or if all are of one size or length.
    """
    cells = _distinct(table.arrays.inputs)
    if law != AUTO:
        _check(law_named(law), unique_tokens)
    together = ensemble(table, law, _RESAMPLES)
    members = [
        member for member in together.members if _tells(member.law, unique_tokens) and len(member.law.names) <= cells
    ]
    if not members:
        raise InputError(
            f"{cells} different (params, tokens) are too few for a law that tells one from the other: more are needed"
        )
    if not any(member.weight for member in members if member.law.name != _UNSTEADY or law != AUTO):
        members = [replace(member, weight=1.0) for member in members]  # no nested extrapolation told them apart
    steady = tuple(member for member in members if member.law.name != _UNSTEADY or law != AUTO)
    sizes = np.unique(together.fitted.n)
    surface = LossSurface(steady, sizes, training_cost(together.fitted, sizes), unique_tokens)
    weights = surface.weights
    return SurfaceEstimate(
        law=max(weights, key=lambda name: weights[name]),
        surface=surface,
        draws=tuple(replace(surface, members=(member,)) for member in _drawn(members)),
        covers=(
            "the sampling of the runs, not the choice of law"
            if law != AUTO
            else "the sampling of the runs and the choice of law"
            + (f"; {_UNSTEADY}, which the answer leaves out, is among them" if len(members) > len(steady) else "")
        )
        + "; that of a loss also what forecasts among the runs missed, as in `scaling predict`"
        + _but_repeats(unique_tokens),
        runs=table.arrays,
        source=table.source,
        largest=float(np.exp(together.fitted.c.max())),
        behind=None,
        convention=table.convention,
        tested=together.tested,
        warnings=together.warnings,
        forecaster=together,
    )


def published_surface(name: str, unique_tokens: float = np.inf) -> SurfaceEstimate:
    """What a paper's constants tell, as well as its runs tell the exponents.

    Args:
        name: in ``PUBLISHED``.
        unique_tokens: as of :func:`estimate_surface`.

    Raises:
        InputError: with the closest name, if there is none; or if the law cannot tell.
    """
    entry = constants(name)
    law, runs = LAWS[entry.law], entry.runs
    _check(law, unique_tokens)
    theta = law.internal(entry.params)
    member = Member(Candidate(law), theta, theta[None], 1.0)
    surface = LossSurface((member,), np.zeros(1), np.array([6.0]), unique_tokens)
    at = (float(np.log(runs.params)), float(np.log(runs.tokens)))
    factors = 1 + np.array(runs.exponent_errors) * np.random.default_rng(0).standard_normal((_DRAWS, 2))
    return SurfaceEstimate(
        law=entry.law,
        surface=surface,
        draws=tuple(replace(surface, stretch=ExponentScaling(at, (by_n, by_d))) for by_n, by_d in factors.tolist()),
        covers=f"the exponents' errors, not the choice of law ({runs.error_source})" + _but_repeats(unique_tokens),
        runs=None,
        source=entry.source,
        largest=runs.largest,
        behind=runs,
        convention=entry.convention,
        tested=0.0,
        warnings=(),
    )


def _drawn(members: Sequence[Member]) -> Iterator[Member]:
    """Resamples of the members, each as often as its weight asks."""
    shares = np.array([member.weight for member in members])
    rng = np.random.default_rng(0)
    for i in rng.choice(len(members), _DRAWS, p=shares / shares.sum()):
        samples = members[i].samples
        yield replace(members[i], theta=samples[rng.integers(len(samples))])


def _but_repeats(unique_tokens: float) -> str:
    return "; not what repeated tokens are worth" if np.isfinite(unique_tokens) else ""


def _distinct(runs: Inputs) -> int:
    """How many different (parameters, tokens) there are.

    Raises:
        InputError: if they do not differ in both.
    """
    for values, what, buys in ((runs.n, "size", "parameters"), (runs.d, "length", "tokens")):
        if np.ptp(values) < _SAME:
            raise InputError(
                f"all runs are of one {what} ({np.exp(values[0]):.4g} {buys}), which does not tell what {buys} buy: "
                f"add runs of another {what}"
            )
    return len(np.unique(np.stack([runs.n, runs.d]).round(6), axis=1).T)


def _check(law: Law[Inputs], unique_tokens: float) -> None:
    if not _tells(law, np.inf):
        raise InputError(f"the {law.name} law does not tell parameters from tokens: choose --law chinchilla")
    if not _tells(law, unique_tokens):
        raise InputError(f"what repeated tokens are worth is known for chinchilla and its kin, not for {law.name}")


def _tells(law: Law[Inputs], unique_tokens: float) -> bool:
    """Whether a law tells parameters from tokens and, where these repeat, what repeats are worth."""
    repeats = {"A", "B", "alpha"} <= set(law.names)
    return {"params", "tokens"} <= set(law.needs) and (repeats or unique_tokens == np.inf)


def _inputs(
    member: Member,
    n: Float[np.ndarray, " points"],
    d: Float[np.ndarray, " points"],
    u: Float[np.ndarray, " points"],
    cost: Float[np.ndarray, " points"],
) -> Inputs:
    """What a law is given for n parameters on d tokens, u of them unique."""
    if "unique_tokens" in member.law.needs:
        return Inputs(n, d, n + d + cost, np.minimum(d, u))
    if np.isfinite(u).all():
        # In units of fresh tokens, and of parameters that these suffice for.
        n, d = _saturated(n, _sufficing(member, u), EXCESS), _saturated(d, u, REPEATS)
    return Inputs(n, d, n + d + cost, d)


def _sufficing(member: Member, u: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """Parameters for which the unique tokens are the best training set: alpha A / N^alpha = beta B / U^beta."""
    p = dict(zip(member.law.names, np.maximum(member.law.reported(member.theta), 1e-12).tolist(), strict=True))
    beta = p.get("beta", p["alpha"])
    sufficing: Float[np.ndarray, " points"] = (np.log(p["alpha"] * p["A"] / (beta * p["B"])) + beta * u) / p["alpha"]
    return sufficing


def _saturated(
    x: Float[np.ndarray, " points"], unique: Float[np.ndarray, " points"], most: float
) -> Float[np.ndarray, " points"]:
    """log of unique (1 + most (1 - exp(-repeats / most))), repeats = x / unique - 1."""
    repeats = np.maximum(np.expm1(np.minimum(x - unique, 700.0)), 0.0)
    return np.minimum(x, unique) + np.log1p(most * -np.expm1(-repeats / most))

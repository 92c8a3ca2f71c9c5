"""Chooses the mixture for a target, and says how sure that is."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from jaxtyping import Float

from analysis import __version__
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import format_quantity, listed
from analysis.mixing.choice import CHOSEN, Candidate, Choice, LengthChoice, ScarceText, Span
from analysis.mixing.contrast.pool import Contrast, fit_contrast
from analysis.mixing.contrast.repetition import with_repeat
from analysis.mixing.doubts import doubts
from analysis.mixing.levels.level import levels
from analysis.mixing.optimum import Allowed, least
from analysis.mixing.points import MixturePoints
from analysis.mixing.ranges import Ranges, ranges
from analysis.mixing.request import EPOCHS, ChoiceRequest
from analysis.mixing.scarcity import Scarcity, scarcity
from analysis.mixing.surface import Sample, Surface, weights_of
from analysis.mixing.table import MixtureTable, check_determined
from analysis.stats import central_interval


def choose(table: MixtureTable, request: ChoiceRequest) -> Choice:
    """Chooses the mixture of the least objective at a target, and compares it with others.

    The mixture lies in the convex hull of those that were tried, and repeats no source beyond its limit.

    Raises:
        InputError: runs that determine no contrast, names that the table does not have, or limits that leave no
            mixture.
    """
    points, surface = surface_at(table, request)
    limits = _limits(points, request, table.fit.epochs.max(axis=0))
    most = np.array(
        [
            min(1.0, limits[name] * points.unique[place] / request.tokens) if name in limits else 1.0
            for place, name in enumerate(points.sources)
        ]
    )
    allowed, found = _allowed(points, most, limits, request.tokens)
    prior = points.proportional if points.proportional is not None else points.reference
    best = _best(surface, allowed, prior, request.kl)
    told = ranges(surface, allowed, best, request.level)
    bounds = np.array([limits.get(name, np.inf) for name in points.sources])
    scarce = scarcity(
        surface, allowed.corners, points.unique, bounds, lambda here, within: _best(here, within, prior, request.kl)
    )
    candidates = {
        CHOSEN: best,
        "proportional": prior,
        "uniform": np.full(len(points.sources), 1 / len(points.sources)),
        "best_run": points.tried[surface.objective(points.tried).argmin()],
    }
    found += doubts(points, told, candidates, surface.reach)
    return _choice(table, request, surface, points, candidates, told, scarce, limits, (*table.warnings, *found))


def surface_at(table: MixtureTable, request: ChoiceRequest) -> tuple[MixturePoints, Surface]:
    """The fitted runs with the sizes that sources have at the target, and the losses of any mixture there.

    Raises:
        InputError: runs that determine no contrast, or names that the table does not have.
    """
    _check_names(table, request)
    check_determined(table)
    points = with_repeat(table.fit)
    flops = request.flops or _usual_flops(points, request.params, request.tokens)
    contrast = fit_contrast(points, request.law, request.draws)
    sized = _with_sizes(points, request.unique)
    return sized, Surface(
        contrast=contrast.resized(sized.unique),
        levels=levels(contrast, request.params, request.tokens, flops, request.seeds),
        n=float(np.log(request.params)),
        d=float(np.log(request.tokens)),
        c=float(np.log(flops)),
        weights=weights_of(request.objective, points.domains),
        seeds=request.seeds,
    )


def _check_names(table: MixtureTable, request: ChoiceRequest) -> None:
    errors = []
    for what, given, known in (
        ("objective", request.objective or {}, table.fit.domains),
        ("most", request.most, table.fit.sources),
        ("unique", request.unique, table.fit.sources),
    ):
        kind = "domain" if what == "objective" else "source"
        errors += [
            f"`{what}`: {table.source} has no {kind} {name!r}; it has {listed(known, 20)}"
            for name in given
            if name not in known
        ]
    if errors:
        raise InputError(errors)


def _with_sizes(points: MixturePoints, unique: Mapping[str, float]) -> MixturePoints:
    sizes = [unique.get(name, size) for name, size in zip(points.sources, points.unique.tolist(), strict=True)]
    return replace(points, unique=np.array(sizes, dtype=float))


def _usual_flops(points: MixturePoints, params: float, tokens: float) -> float:
    """FLOPs by what the table's largest runs need for each parameter and token."""
    each = points.flops / (points.params * points.tokens)
    return float(params * tokens * each[points.cells == points.n_cells - 1].mean())


def _limits(points: MixturePoints, request: ChoiceRequest, tried: Float[np.ndarray, " sources"]) -> dict[str, float]:
    """Most passes over each source whose size is known: as requested, else 4, or as many as some run has tried.

    Args:
        points: with the sizes at the target.
        request: with the limits.
        tried: most passes of any run over each source; NaN where its size was unknown.

    Raises:
        InputError: a limit for a source of unknown size.
    """
    unknown = [name for name, size in zip(points.sources, points.unique, strict=True) if not np.isfinite(size)]
    if errors := [
        f"`most` {name}: how many tokens {name} has is not known; tell it by `unique`"
        for name in request.most
        if name in unknown
    ]:
        raise InputError(errors)
    return {
        name: request.most.get(name, max(EPOCHS, np.nan_to_num(epochs)))
        for name, epochs in zip(points.sources, tried.tolist(), strict=True)
        if name not in unknown
    }


def _allowed(
    points: MixturePoints, most: Float[np.ndarray, " sources"], limits: Mapping[str, float], tokens: float
) -> tuple[Allowed, list[Diagnostic]]:
    """The mixtures to choose from: where the limits leave none of the hull of the tried ones, any within the limits.

    Raises:
        InputError: the sources have too little text for the target.
    """
    if most.sum() < 1 - 1e-9:
        total = most.sum() * tokens
        raise InputError(
            f"`tokens`: the target needs {format_quantity(tokens)}, and all sources within their limits "
            f"({', '.join(f'{name} {limit:g} epochs' for name, limit in limits.items())}) give {format_quantity(total)}"
        )
    hull = Allowed(points.tried, most)
    if hull.extreme(np.zeros(len(most))) is not None:
        return hull, []
    message = "within the limits on epochs there is no mixture in the convex hull of those that were tried"
    return Allowed(np.eye(len(most)), most), [Diagnostic("outside-swarm", f"{message}: the chosen one lies outside")]


def _best(
    surface: Surface, allowed: Allowed, prior: Float[np.ndarray, " sources"], kl: float
) -> Float[np.ndarray, " sources"]:
    """The allowed mixture of the least objective with the pull towards the prior."""
    tried = surface.contrast.points.tried
    spread = float(np.log(surface.objective(tried)).std())

    def pulled(shares: Float[np.ndarray, "mixtures sources"]) -> Float[np.ndarray, " mixtures"]:
        ratio = np.where(shares > 0, shares, 1.0) / np.maximum(prior, 1e-6)
        divergence = (shares * np.log(ratio)).sum(axis=1)
        return surface.objective(shares) * np.exp(kl * spread * divergence)

    starts = [allowed.extreme(np.zeros(tried.shape[1]))]
    starts += [each for each in (*tried, prior) if allowed.room(each, np.zeros_like(each)) > 0]
    begin = np.stack([start for start in starts if start is not None])
    # Digits beyond these are those of the search, and no run can tell them.
    return _rounded(least(pulled, allowed, begin[pulled(begin).argmin()]))


def _rounded(mixture: Float[np.ndarray, " sources"]) -> Float[np.ndarray, " sources"]:
    """Shares in multiples of one in a million; the largest takes what is left."""
    rounded = np.round(mixture, 6)
    rounded[rounded.argmax()] += 1 - rounded.sum()
    return np.round(rounded, 6)


def _choice(
    table: MixtureTable,
    request: ChoiceRequest,
    surface: Surface,
    points: MixturePoints,
    candidates: Mapping[str, Float[np.ndarray, " sources"]],
    told: Ranges,
    scarce: Scarcity | None,
    limits: Mapping[str, float],
    warnings: tuple[Diagnostic, ...],
) -> Choice:
    every = np.stack(list(candidates.values()))
    sample, objective = surface.sample(every), surface.objective(every)
    compared, others = sample.compared, [name for name in candidates if name != CHOSEN]
    contrast = surface.contrast
    return Choice(
        candidates=_candidates(request, surface, points, candidates, sample),
        ranges={name: (float(told.low[at]), float(told.high[at])) for at, name in enumerate(points.sources)},
        flat=tuple(name for name, is_flat in zip(points.sources, told.flat, strict=True) if is_flat),
        p_better={name: _better(compared[:, 0], compared[:, at]) for at, name in enumerate(others, 1)},
        gain={
            name: _span(objective[at] / objective[0] - 1, compared[:, at] / compared[:, 0] - 1, request.level)
            for at, name in enumerate(others, 1)
        },
        scarce=None if scarce is None else _named(scarce, points),
        objective={name: float(weight) for name, weight in zip(points.domains, surface.weights, strict=True)},
        kl=request.kl,
        limits=dict(limits),
        params=request.params,
        tokens=request.tokens,
        flops=float(np.exp(surface.c)),
        seeds=request.seeds,
        extrapolation=float(np.exp(surface.reach)),
        level=request.level,
        weights=contrast.mean_weights,
        misses=_misses(contrast),
        level_sd={name: level.sd for name, level in zip(points.domains, surface.levels, strict=True)},
        n_runs=len(points),
        n_mixtures=len(points.tried),
        source=table.source,
        where=table.where,
        columns=dict(table.columns) if table.columns else None,
        mix=table.mix,
        losses_pattern=table.losses,
        held_out=dict(table.held_out),
        table_hash=table.hash(),
        warnings=warnings,
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _candidates(
    request: ChoiceRequest,
    surface: Surface,
    points: MixturePoints,
    candidates: Mapping[str, Float[np.ndarray, " sources"]],
    sample: Sample,
) -> dict[str, Candidate]:
    """The candidates with their losses, of which the sample has draws in the same order."""
    every = np.stack(list(candidates.values()))
    losses, objective, drawn = surface.losses(every), surface.objective(every), sample.objective
    sized = [(at, name) for at, name in enumerate(points.sources) if np.isfinite(points.unique[at])]
    return {
        name: Candidate(
            shares={source: float(share) for source, share in zip(points.sources, mixture, strict=True)},
            losses={
                domain: _span(losses[place, at], sample.losses[:, at, place], request.level)
                for at, domain in enumerate(points.domains)
            },
            objective=_span(objective[place], drawn[:, place], request.level),
            epochs={source: float(mixture[at] * request.tokens / points.unique[at]) for at, source in sized},
        )
        for place, (name, mixture) in enumerate(candidates.items())
    }


def _span(value: float, draws: Float[np.ndarray, " draws"], level: float) -> Span:
    low, high = central_interval(draws, level)
    return Span(float(value), float(low), float(high))


def _named(scarce: Scarcity, points: MixturePoints) -> ScarceText:
    def by_source(values: Float[np.ndarray, " sources"]) -> dict[str, float]:
        return {name: float(value) for name, value in zip(points.sources, values, strict=True) if np.isfinite(value)}

    lengths = tuple(
        LengthChoice(each.tokens, by_source(each.shares), by_source(each.epochs), each.cost) for each in scarce.lengths
    )
    return ScarceText(by_source(scarce.endless), points.repeat, lengths)


def _better(chosen: Float[np.ndarray, " draws"], other: Float[np.ndarray, " draws"]) -> float:
    """The share of draws in which the chosen one is better; one of the same mixture is so in half of them."""
    return float((chosen < other).mean() + 0.5 * (chosen == other).mean())


def _misses(contrast: Contrast) -> dict[str, float | None]:
    """Of each law, the root mean square of what it missed, over domains; None where nothing was tested."""
    found: dict[str, float | None] = {}
    for name, row in zip(contrast.laws, contrast.misses, strict=True):
        tested = row[np.isfinite(row)]
        found[name] = float(np.sqrt((tested**2).mean())) if len(tested) else None
    return found

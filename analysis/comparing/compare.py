"""Compares contenders: every two of them at the target, and which may be the best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations

import numpy as np
from jaxtyping import Float
from scipy.stats import t as student

from analysis import __version__
from analysis.comparing.budgets import by_budget, crossing_of, trend_of
from analysis.comparing.comparison import Comparison, PairComparison, Point, Span, finite
from analysis.comparing.contenders import Contender, check_contenders
from analysis.comparing.deciding import deciding
from analysis.comparing.differences.difference import Difference, Surfaces, difference
from analysis.comparing.differences.multiplier import Gain, gain_at
from analysis.comparing.differences.pairs import Pairs, pair
from analysis.comparing.ranking import ranked
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.laws import Inputs
from analysis.runs.arrays import inputs_at, usual_flops
from analysis.stats import central_interval

DECIDED = 0.95
_DRAWS = 400
_FAR = np.log(1e4)  # beyond this factor no fold has ever tested a difference


@dataclass(frozen=True)
class CompareRequest:
    """A request to compare contenders at a target.

    Attributes:
        params: of the target; None where ``targets`` has each contender's own.
        tokens: likewise.
        flops: of the target; None for what each contender's runs of its size need per parameter and token.
        targets: of each contender by name, where they differ.
        level: the probability that an interval shall hold.
        seeds: runs of each contender at the target whose mean is compared.
        bootstrap: resamples of pairs and cells, 20 or more.

    Raises:
        InputError: one line per impossible value.
    """

    params: float | None = None
    tokens: float | None = None
    flops: float | None = None
    targets: Mapping[str, Point] | None = None
    level: float = 0.9
    seeds: int = 1
    bootstrap: int = 200

    def __post_init__(self) -> None:
        given = {"params": self.params, "tokens": self.tokens, "flops": self.flops}
        errors = [
            f"`{name}` = {value} is not a positive number"
            for name, value in given.items()
            if value is not None and not 0 < value < np.inf
        ]
        if self.targets is None:
            errors += [f"`{name}` of the target is missing" for name in ("params", "tokens") if given[name] is None]
        if not 0 < self.level < 1:
            errors.append(f"`interval` = {self.level} is not between 0 and 1, such as 90%")
        if self.bootstrap < 20:
            errors.append(f"`bootstrap` = {self.bootstrap} is too few for an interval: 20 or more")
        if self.seeds < 1:
            errors.append(f"`seeds` = {self.seeds} is not at least 1")
        if errors:
            raise InputError(errors)

    def point(self, contender: Contender) -> Point:
        """The target of one contender."""
        if self.targets is not None:
            return self.targets[contender.name]
        assert self.params is not None
        assert self.tokens is not None
        flops = self.flops or usual_flops(contender.cells.inputs, self.params, self.tokens)
        return Point(self.params, self.tokens, float(flops))


def compare(contenders: Sequence[Contender], request: CompareRequest) -> Comparison:
    """Compares contenders at a target by their losses, paired by size, length and seed.

    Args:
        contenders: two or more, in any order.
        request: the target and the options.

    Raises:
        InputError: no common ground, runs too few for any comparison, or a target absurdly far away.
    """
    found = list(check_contenders(contenders))
    targets = {each.name: request.point(each) for each in contenders}
    surfaces = Surfaces()
    pairs, differences, reach = [], {}, 0.0
    errors: list[str] = []
    for first, second in combinations(contenders, 2):
        try:
            made, between, far = _compared(first, second, targets, request, surfaces)
        except InputError as error:
            errors += [f"{first.name} and {second.name}: {line}" for line in error.errors]
            continue
        pairs.append(made)
        reach = max(reach, far)
        differences[first.name, second.name] = (float(between.centre[0]), float(between.scale[0]), between.freedom)
    if errors:
        raise InputError(errors)
    names = [each.name for each in contenders]
    best, may_be = ranked(names, differences, DECIDED)
    order = sorted(names, key=lambda name: -best[name])
    if reach > max(np.log(max(each.tested for each in pairs)), np.log(10.0)) + 1e-9:
        found.append(
            Diagnostic(
                "far-extrapolation",
                f"the target has {np.exp(reach):.3g} times the FLOPs of the largest paired runs, and differences were "
                f"tested over {max(each.tested for each in pairs):.3g} times: the interval beyond is a belief",
            )
        )
    return Comparison(
        contenders=tuple(order),
        best={name: best[name] for name in order},
        may_be_best=tuple(name for name in order if name in may_be),
        targets=targets,
        pairs=tuple(pairs),
        unit=contenders[0].table.unit,
        level=request.level,
        target_seeds=request.seeds,
        extrapolation=float(np.exp(reach)),
        runs={each.name: len(each.table.fit) for each in contenders},
        sources={each.name: each.table.source for each in contenders},
        where={each.name: each.table.where for each in contenders},
        parts={each.name: each.part for each in contenders},
        columns=dict(contenders[0].table.columns) if contenders[0].table.columns else None,
        table_hashes={each.name: each.table.hash() for each in contenders},
        warnings=tuple(found),
        version=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _compared(
    first: Contender, second: Contender, targets: Mapping[str, Point], request: CompareRequest, surfaces: Surfaces
) -> tuple[PairComparison, Difference, float]:
    """One pair of contenders at the target, which has so many times the FLOPs of the largest paired runs, as a log."""
    both = pair(first.cells, second.cells)
    here, there = (_inputs(targets[each.name]) for each in (first, second))
    reach = _reach(first, second, both, targets)
    if reach > _FAR:
        raise InputError(
            f"the target has {np.exp(reach):.3g} times the FLOPs of the largest runs in common: nothing can be said so "
            "far away"
        )
    made = difference(
        first.cells, second.cells, (here, there), seeds=request.seeds, draws=request.bootstrap, surfaces=surfaces
    )
    surface = surfaces.of(first.cells, request.bootstrap)
    gain = gain_at(first.cells, surface, here)
    draws = made.centre[0] + made.scale[0] * _quantiles(made.freedom)
    excess = float(here.c[0] - there.c[0])
    multiplier = multiplied(gain, made, draws, excess, request.level)
    level = float(np.exp(surface.log_loss(here)[0])) if surface is not None else None
    rows = by_budget(first, both, surface, request.level, made.scatter)
    better = float(made.better[0])
    crossing, crosses = crossing_of(first.cells, second.cells, both, (here, there), made, surfaces)
    return (
        PairComparison(
            first=first.name,
            second=second.name,
            difference=_span(made, 0, request.level),
            loss=_loss_span(made, level, request.level),
            better=better,
            multiplier=multiplier,
            trend=trend_of(rows, request.level),
            time=_scaled(multiplier, _ratio(first.seconds_per_flop, second.seconds_per_flop)),
            money=_scaled(multiplier, _ratio(first.price_per_flop, second.price_per_flop)),
            budgets=rows,
            crossing=crossing,
            crosses=crosses,
            pairs=len(both),
            tested=float(np.exp(made.tested)),
            weights=made.weights,
            scatter=made.scatter,
            drift=made.drift,
            freedom=made.freedom,
            gain=_kept(gain),
            enough=max(better, 1 - better) >= DECIDED,
            deciding=deciding(made, both, here, there, DECIDED, request.seeds),
        ),
        made,
        reach,
    )


def multiplied(
    gain: Gain | None, made: Difference, draws: Float[np.ndarray, " draws"], excess: float, level: float
) -> Span:
    """The multiplier at the target with its interval: of the difference's draws, each with a resample of the gain."""
    if gain is None:
        return Span(None, None, None)
    more = np.exp(excess)  # of the first contender's FLOPs at the target over the second's
    value = float(gain.factor(made.centre[:1])[0] * more)
    low, high = central_interval(np.minimum(gain.factors(draws) * more, 1e12), level)
    return Span(finite(value), finite(float(low)), finite(float(high)))


def _quantiles(freedom: float) -> Float[np.ndarray, " draws"]:
    """Evenly spaced quantiles of Student's t, in an order that no resample can follow."""
    even = student.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS, freedom)
    return np.asarray(np.random.default_rng(0).permutation(even))


def _inputs(point: Point) -> Inputs:
    return inputs_at(point.params, point.tokens, point.flops)


def _reach(first: Contender, second: Contender, both: Pairs, targets: Mapping[str, Point]) -> float:
    """Log of the target's FLOPs over those of the largest paired runs, or of the largest runs of both."""
    top = both.compute.max() if len(both) else min(first.cells.inputs.c.max(), second.cells.inputs.c.max())
    flops = np.sqrt(targets[first.name].flops * targets[second.name].flops)
    return float(max(np.log(flops) - top, 0.0))


def _span(made: Difference, place: int, level: float) -> Span:
    low, high = made.interval(level)
    return Span(float(made.centre[place]), float(low[place]), float(high[place]))


def _loss_span(made: Difference, level_loss: float | None, level: float) -> Span:
    if level_loss is None:
        return Span(None, None, None)
    ratio = _span(made, 0, level)
    return Span(*(level_loss * float(np.expm1(value)) for value in (ratio.value, ratio.low, ratio.high)))  # type: ignore[arg-type]


def _ratio(first: object, second: object) -> float | None:
    """Seconds, or money, per FLOP of the first contender over the second's, at the largest size that both have."""
    if first is None or second is None:
        return None
    sizes = sorted(set(first.index) & set(second.index))  # type: ignore[attr-defined]
    if sizes:
        return float(first[sizes[-1]] / second[sizes[-1]])  # type: ignore[index]
    return float(first.iloc[-1] / second.iloc[-1])  # type: ignore[attr-defined]


def _scaled(span: Span, ratio: float | None) -> Span | None:
    if ratio is None:
        return None
    return Span(*(None if value is None else value * ratio for value in (span.value, span.low, span.high)))


def _kept(gain: Gain | None) -> tuple[tuple[float, float], ...]:
    if gain is None:
        return ()
    return tuple((float(s), float(c)) for s, c in zip(gain.step[::4], gain.change[::4], strict=True))

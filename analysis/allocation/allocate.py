"""How many parameters and tokens: for a training budget or a loss, with tokens to serve, or with counts fixed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from analysis.allocation.results import Interval, LawAllocation, OptimalSplit, Request
from analysis.allocation.split import START, AllocationProblem, ComputeSplit
from analysis.allocation.surface import SurfaceEstimate
from analysis.diagnostics import checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.runs.arrays import inputs_at

LEVEL = 0.9
_ROUNDING = 1e-9
_ROUNDS = 50
# Of the draws: how many without a best split are told, and with how many nothing is known of the rest.
_TOLD, _MOST = 0.05, 0.5
_OF_OPTIMUM = {name: f"optimum_{name}" for name in ("params", "tokens", "flops")}
_ENDLESS = Diagnostic(
    "not-bracketed",
    "this fit has no best split: the loss falls to the end of the search; the runs do not tell parameters from tokens",
)


def _some_endless(share: float) -> Diagnostic:
    return Diagnostic(
        "not-bracketed",
        f"{share:.0%} of the resampled fits have no best split: the runs hardly tell parameters from tokens",
    )


def allocate(known: SurfaceEstimate, request: Request) -> LawAllocation:
    """Finds the parameters and tokens that a request asks for.

    =================  =======================================================================
    flops              the least loss for so many training FLOPs
    flops, to serve    the least training and inference FLOPs for that loss (2401.00448)
    loss               the least FLOPs for the loss, those of inference included
    and params         the tokens that the budget pays for, or that the loss takes
    and tokens         likewise the parameters
    params, tokens     the model as given
    =================  =======================================================================

    Raises:
        InputError: for a loss that cannot be reached, or what is absurdly far from the runs.
    """
    if request.flops is not None and (refusal := known.absurd(request.flops)) is not None:
        raise InputError(refusal)
    known, trade, found = _levelled(known, request)
    flops = trade.training(found)
    if (refusal := known.absurd(flops)) is not None:
        raise InputError(refusal)
    answer = _Answer.of(trade, found)
    if min(found.n, found.d, answer.optimum.n, answer.optimum.d) < 0:
        raise InputError(
            f"{flops:.3g} FLOPs and a loss of {found.loss:.3g} nats per token are of less than one parameter or token"
        )
    # Given numbers as given, not as the exponentials of their logarithms.
    split, beside = answer.split | request.fixed, answer.beside
    interval, endless = _intervals(known, request, answer) if answer.inside else (None, 0.0)
    return LawAllocation(
        **split,
        near_optimal=_near(trade, answer.best),
        interval=interval,
        covers=known.covers
        if interval is not None
        else "nothing, as no split is best"
        if not answer.inside
        else f"nothing, as {endless:.0%} of the resampled fits have no best split",
        law=known.law,
        source=known.source,
        extrapolation=flops / known.largest,
        warnings=(
            *known.warnings,
            *(() if answer.inside else (_ENDLESS,)),
            *((_some_endless(endless),) if endless > _TOLD else ()),
            *_warnings(known, request, found, flops),
        ),
        weights=known.surface.weights,
        inference_tokens=request.inference_tokens,
        inference_flops=split["total_flops"] - split["flops"],
        optimum=None if beside is None else _optimum(beside),
    )


def _levelled(known: SurfaceEstimate, request: Request) -> tuple[SurfaceEstimate, AllocationProblem, ComputeSplit]:
    """The split that a request asks for, on surfaces scaled to give the loss there that ``scaling predict`` gives.

    The surface leaves out laws that do not tell parameters from tokens, but which a forecast of the loss counts in.
    """
    for _ in range(_ROUNDS):
        trade = AllocationProblem(known.surface, request.inference_tokens)
        found = _found(trade, request)
        if found is None:
            raise InputError(_unreached(known.law, trade, request))
        off = known.off(found.n, found.d)
        if abs(off - 1) < _ROUNDING:
            return known, trade, found
        known = known.scaled(off)
    raise InputError(f"a loss of {request.loss:g} nats per token is where the laws part: too far from the runs to tell")


@dataclass(frozen=True)
class _Answer:
    """What is found on one surface: the split, the compute-optimal one of the same loss, the best of the same total."""

    trade: AllocationProblem
    found: ComputeSplit
    optimum: ComputeSplit
    best: ComputeSplit

    @classmethod
    def of(cls, trade: AllocationProblem, found: ComputeSplit, start: float = START) -> "_Answer":
        best = found if found.sought else trade.best(found.total)
        if found.sought and not trade.served:
            return cls(trade, found, found, best)
        optimum = trade.training_only.least(found.loss, start) or replace(found, inside=False)
        return cls(trade, found, optimum, best)

    @property
    def inside(self) -> bool:
        return self.optimum.inside and self.best.inside

    @property
    def split(self) -> dict[str, float]:
        """What is told of the split itself, by the names of :class:`LawAllocation`."""
        found = self.found
        return {
            "params": float(np.exp(found.n)),
            "tokens": float(np.exp(found.d)),
            "tokens_per_param": float(np.exp(found.d - found.n)),
            "flops": self.trade.training(found),
            "loss": found.loss,
            "total_flops": float(np.exp(found.total)),
            "excess_loss": found.loss / self.best.loss - 1,
        }

    @property
    def beside(self) -> dict[str, float] | None:
        """The compute-optimal split, by the names of :class:`OptimalSplit`; None where it is the split itself."""
        found, optimum, trade = self.found, self.optimum, self.trade
        if optimum is found:
            return None
        flops, least = trade.training(found), trade.training(optimum)
        total, instead = np.exp([found.total, trade.split(optimum.n, optimum.d).total]).tolist()
        here, there = (trade.per_served_token(split) for split in (found, optimum))
        return {
            "params": float(np.exp(optimum.n)),
            "tokens": float(np.exp(optimum.d)),
            "flops": least,
            "training_ratio": flops / least,
            "inference_saving": 1 - here / there,
            "total_saving": 1 - total / instead,
            "break_even_tokens": max(flops - least, 0.0) / (there - here) if there > here else np.inf,
        }

    @property
    def numbers(self) -> dict[str, float]:
        """Everything that may have an interval; infinite where a search ran beyond its end, NaN where it tells nothing.

        ``params`` and the like are of the split, ``optimum_params`` and the like of the compute-optimal one.
        """
        beside = self.beside or {}
        numbers = self.split | {_OF_OPTIMUM.get(name, name): value for name, value in beside.items()}
        if ran := self.found.ran:
            more, less = ran * np.inf, -ran * np.inf
            numbers |= {"params": more, "tokens": less, "tokens_per_param": less}
            numbers |= {"flops": -np.inf, "total_flops": -np.inf}
        if not self.best.inside:
            numbers["excess_loss"] = np.nan  # unless it is of the best itself
        if beside and self.optimum.ran:
            numbers |= dict.fromkeys(beside.keys() - _OF_OPTIMUM.keys(), np.nan) | {"training_ratio": np.inf}
            numbers |= _of_optimum(self.trade, self.optimum)
        return numbers


def _optimum(beside: dict[str, float]) -> OptimalSplit:
    made = OptimalSplit(**beside)
    return made if np.isfinite(beside["break_even_tokens"]) else replace(made, break_even_tokens=None)


def _found(trade: AllocationProblem, request: Request, start: float = START) -> ComputeSplit | None:
    """The split that a request asks for on one surface; None if its loss is out of reach.

    Args:
        trade: the surface.
        request: what is asked.
        start: log total FLOPs at which a search for a loss begins.
    """
    n, d, c = (None if x is None else float(np.log(x)) for x in (request.params, request.tokens, request.flops))
    if n is not None and d is not None:
        return trade.split(n, d)
    if c is not None:
        if n is not None:
            return trade.with_tokens_of(n, c)
        if d is not None:
            return trade.with_params_of(d, c)
        best = trade.training_only.best(c)
        return trade.least(best.loss, start) if trade.served else best
    assert request.loss is not None
    if n is not None:
        return trade.with_tokens_for(n, request.loss)
    if d is not None:
        return trade.with_params_for(d, request.loss)
    return trade.least(request.loss, start)


def _near(trade: AllocationProblem, best: ComputeSplit) -> dict[str, tuple[float, float]]:
    low, high = (np.array([x.n, x.d, x.d - x.n]) for x in trade.near(best))
    edges = np.exp(np.sort([low, high], axis=0)).T.tolist()
    return {name: (a, b) for name, (a, b) in zip(("params", "tokens", "tokens_per_param"), edges, strict=True)}


def _intervals(known: SurfaceEstimate, request: Request, answer: _Answer) -> tuple[dict[str, Interval] | None, float]:
    """90 % of the draws, for everything that differs among them, and the share of draws without a best split.

    None where most have none: their answers are the ends of the search.
    """
    given = request.fixed | ({} if request.loss is None else {"loss": request.loss})
    if answer.found.sought:
        given["excess_loss"] = 0.0
    draws, endless = [], 0
    for surface in known.draws:
        trade = AllocationProblem(surface, request.inference_tokens)
        found = _found(trade, request, answer.found.total)
        if found is None:
            numbers = _unreachable(trade, request, answer)
        else:
            there = _Answer.of(trade, found, answer.optimum.total)
            numbers, endless = there.numbers, endless + (not there.inside)
        draws.append(numbers | given)
    share = endless / len(draws)
    if share > _MOST:
        return None, share
    intervals: dict[str, Interval] = {}
    for name, value in answer.numbers.items():
        values = np.array([draw.get(name, np.nan) for draw in draws])
        unknown = np.isnan(values)
        low, high = (
            float(np.quantile(np.where(unknown, end, values), level, method="inverted_cdf"))
            for end, level in ((-np.inf, (1 - LEVEL) / 2), (np.inf, (1 + LEVEL) / 2))
        )
        low, high = min(low, value), max(high, value)
        if not np.isclose(low, high, rtol=_ROUNDING, atol=0):
            intervals[name] = (low if np.isfinite(low) else None, high if np.isfinite(high) else None)
    if request.loss is None and (made := known.forecast(answer.found.n, answer.found.d)) is not None:
        intervals["loss"] = (answer.found.loss * made[1] / made[0], answer.found.loss * made[2] / made[0])
    return intervals, share


def _unreachable(trade: AllocationProblem, request: Request, answer: _Answer) -> dict[str, float]:
    """The numbers of a draw that does not reach the loss, be it of the size or on the tokens that are fixed.

    It would take endless tokens, or parameters; but the compute-optimal model of that loss, if there is one, is known.
    """
    assert request.loss is not None
    endless = dict.fromkeys(("params", "tokens", "flops", "total_flops", "excess_loss"), np.inf)
    if request.params is not None:
        endless["tokens_per_param"] = np.inf
    if request.tokens is not None:
        endless["tokens_per_param"] = -np.inf
    best = trade.training_only.least(request.loss, answer.optimum.total)
    if best is None:
        return endless | dict.fromkeys(_OF_OPTIMUM.values(), np.inf)
    numbers = endless | _of_optimum(trade, best)
    numbers |= {"training_ratio": np.inf, "break_even_tokens": np.inf, "total_saving": -np.inf}
    if request.params is not None and best.inside:
        here, there = (trade.per_served_token(split) for split in (answer.found, best))
        numbers["inference_saving"] = 1 - here / there
    elif request.tokens is not None:
        numbers["inference_saving"] = -np.inf
    return numbers


def _of_optimum(trade: AllocationProblem, best: ComputeSplit) -> dict[str, float]:
    """Counts of the compute-optimal model, infinite where the search for it ran beyond its end."""
    counts = [float(np.exp(best.n)), float(np.exp(best.d)), trade.training(best)]
    if ran := best.ran:
        counts = [ran * np.inf, -ran * np.inf, -np.inf]
    return dict(zip(_OF_OPTIMUM.values(), counts, strict=True))


def _unreached(law: str, trade: AllocationProblem, request: Request) -> str:
    n, d = (None if x is None else float(np.log(x)) for x in (request.params, request.tokens))
    loss = f"a loss of {request.loss:g} nats per token"
    if n is not None:
        return f"a model of {request.params:.4g} parameters does not reach {loss}: {trade.lowest_of(n):.4f} at best"
    if d is not None:
        return f"no model reaches {loss} on {request.tokens:.4g} tokens: {trade.lowest_on(d):.4f} at best"
    if np.isfinite(trade.surface.unique_tokens):
        unique = f"{trade.surface.unique_tokens:.4g} unique tokens"
        return f"{loss} is out of reach with {unique}, however often they repeat: {trade.lowest:.4f} at best"
    which = law if len(trade.surface.weights) == 1 else "these laws"
    return f"{loss} is out of reach: the irreducible loss of {which} is {trade.lowest:.4f}"


def _warnings(known: SurfaceEstimate, request: Request, found: ComputeSplit, flops: float) -> Iterator[Diagnostic]:
    unique = known.surface.unique_tokens
    tokens, ratio = float(np.exp(found.d)), float(np.exp(found.d - found.n))
    if tokens > 1.05 * unique:
        yield Diagnostic(
            "repeated-data",
            f"the data are repeated {tokens / unique:.3g} times; what repeats are worth is weakly known (2305.16264)",
        )
    if known.behind is not None:
        yield from known.behind.warnings(float(np.exp(found.n)), tokens)
    if known.runs is None:
        return
    yield from checks.of_target(known.runs, inputs_at(np.exp(found.n), tokens, flops), known.tested)
    ratios = np.exp(known.runs.inputs.d - known.runs.inputs.n)
    if found.sought and not request.inference_tokens and not ratios.min() <= ratio <= ratios.max():
        yield Diagnostic(
            "not-bracketed",
            f"{ratio:.3g} tokens per parameter lies outside the fitted runs' {ratios.min():.3g} to "
            f"{ratios.max():.3g}: the optimum is not bracketed",
        )

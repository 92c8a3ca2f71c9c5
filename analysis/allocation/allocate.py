"""How many parameters and tokens: for a training budget or a loss, with inference to pay for, or with counts fixed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from analysis.allocation.answer import Answer, requested_split
from analysis.allocation.estimate import SurfaceEstimate
from analysis.allocation.results import Interval, LawAllocation, Request
from analysis.allocation.split import AllocationProblem, ComputeSplit
from analysis.diagnostics import fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.runs.arrays import inputs_at
from analysis.stats import LEVEL

_ROUNDING = 1e-9
_ROUNDS = 50
# Share of the draws without a best split: above the first it is a warning, above the second there is no interval.
_MENTIONED, _MOST = 0.05, 0.5
_NO_BEST_SPLIT = Diagnostic(
    "not-bracketed",
    "this fit has no best split: the loss falls to the end of the search; the runs do not separate parameters from "
    "tokens",
)


def allocate(estimate: SurfaceEstimate, request: Request) -> LawAllocation:
    """Finds the parameters and tokens that a request asks for.

    =================  =======================================================================
    flops              the least loss for so many training FLOPs
    flops, inference   the least training and inference FLOPs for that loss (2401.00448)
    loss               the least FLOPs for the loss, those of inference included
    and params         the tokens that the budget pays for, or that the loss takes
    and tokens         likewise the parameters
    params, tokens     the model as given
    =================  =======================================================================

    Raises:
        InputError: for a loss that cannot be reached, or what is absurdly far from the runs.
    """
    if request.flops is not None and (refusal := estimate.absurd(request.flops)) is not None:
        raise InputError(refusal)
    estimate, problem, split = _levelled(estimate, request)
    flops = problem.training_flops(split)
    if (refusal := estimate.absurd(flops)) is not None:
        raise InputError(refusal)
    answer = Answer.of(problem, split)
    if min(split.n, split.d, answer.optimum.n, answer.optimum.d) < 0:
        raise InputError(
            f"{flops:.3g} FLOPs and a loss of {split.loss:.3g} {estimate.unit} are of less than one parameter or token"
        )
    # Given numbers as given, not as the exponentials of their logarithms.
    figures = answer.figures | request.fixed
    interval, endless = _intervals(estimate, request, answer) if answer.inside else (None, 0.0)
    return LawAllocation(
        **figures,
        near_optimal=_near_optimal(problem, answer.best),
        interval=interval,
        covers=_covers(estimate, answer, interval, endless),
        law=estimate.law,
        source=estimate.source,
        convention=estimate.convention,
        unit=estimate.unit,
        model=None,
        extrapolation=flops / estimate.largest,
        warnings=(
            *estimate.warnings,
            *_split_warnings(answer, endless),
            *_warnings(estimate, request, split, flops),
        ),
        weights=estimate.surface.weights,
        inference_tokens=request.inference_tokens,
        inference_flops=figures["total_flops"] - figures["flops"],
        optimum=answer.optimal_split,
    )


def _levelled(estimate: SurfaceEstimate, request: Request) -> tuple[SurfaceEstimate, AllocationProblem, ComputeSplit]:
    """The requested split on surfaces scaled so that the loss there is the one that ``scaling predict`` forecasts.

    The surface leaves out laws that do not separate parameters from tokens, but a forecast of the loss includes them.
    """
    for _ in range(_ROUNDS):
        problem = AllocationProblem(estimate.surface, request.inference_tokens)
        split = requested_split(problem, request)
        if split is None:
            raise InputError(_unreached(estimate, problem, request))
        ratio = estimate.forecast_ratio(split.n, split.d)
        if abs(ratio - 1) < _ROUNDING:
            return estimate, problem, split
        estimate = estimate.scaled(ratio)
    raise InputError(
        f"a loss of {request.loss:g} {estimate.unit} is where the laws part: too far from the runs to tell"
    )


def _near_optimal(problem: AllocationProblem, best: ComputeSplit) -> dict[str, tuple[float, float]]:
    low, high = (np.array([x.n, x.d, x.d - x.n]) for x in problem.near_optimal(best))
    edges = np.exp(np.sort([low, high], axis=0)).T.tolist()
    return {name: (a, b) for name, (a, b) in zip(("params", "tokens", "tokens_per_param"), edges, strict=True)}


def _covers(estimate: SurfaceEstimate, answer: Answer, interval: dict[str, Interval] | None, endless: float) -> str:
    """What the intervals cover, in words."""
    if interval is not None:
        return estimate.covers
    if not answer.inside:
        return "nothing, as no split is best"
    return f"nothing, as {endless:.0%} of the resampled fits have no best split"


def _intervals(estimate: SurfaceEstimate, request: Request, answer: Answer) -> tuple[dict[str, Interval] | None, float]:
    """90 % intervals of every figure that differs among the draws, and the share of draws without a best split.

    None where most draws have none: their figures are the ends of the search.
    """
    given = request.fixed | ({} if request.loss is None else {"loss": request.loss})
    if answer.split.optimised:
        given["excess_loss"] = 0.0
    draws, endless = [], 0
    for surface in estimate.draws:
        problem = AllocationProblem(surface, request.inference_tokens)
        split = requested_split(problem, request, answer.split.total)
        if split is None:
            numbers = answer.unreachable(problem, request)
        else:
            drawn = Answer.of(problem, split, answer.optimum.total)
            numbers, endless = drawn.numbers, endless + (not drawn.inside)
        draws.append(numbers | given)
    share = endless / len(draws)
    if share > _MOST:
        return None, share
    intervals: dict[str, Interval] = {}
    for name, value in answer.numbers.items():
        low, high = _interval(np.array([draw.get(name, np.nan) for draw in draws], dtype=np.float64))
        low, high = min(low, value), max(high, value)
        if not np.isclose(low, high, rtol=_ROUNDING, atol=0):
            intervals[name] = (low if np.isfinite(low) else None, high if np.isfinite(high) else None)
    if request.loss is None and (made := estimate.forecast(answer.split.n, answer.split.d)) is not None:
        intervals["loss"] = (answer.split.loss * made[1] / made[0], answer.split.loss * made[2] / made[0])
    return intervals, share


def _interval(values: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """The 90 % interval of draws, of which unknown ones (NaN) may lie at either end."""
    unknown = np.isnan(values)
    low, high = (
        float(np.quantile(np.where(unknown, end, values), level, method="inverted_cdf"))
        for end, level in ((-np.inf, (1 - LEVEL) / 2), (np.inf, (1 + LEVEL) / 2))
    )
    return low, high


def _unreached(estimate: SurfaceEstimate, problem: AllocationProblem, request: Request) -> str:
    n, d = (None if x is None else float(np.log(x)) for x in (request.params, request.tokens))
    loss = f"a loss of {request.loss:g} {estimate.unit}"
    if n is not None:
        lowest = problem.lowest_loss_at_size(n)
        return f"a model of {request.params:.4g} parameters does not reach {loss}: {lowest:.4f} at best"
    if d is not None:
        lowest = problem.lowest_loss_on_tokens(d)
        return f"no model reaches {loss} on {request.tokens:.4g} tokens: {lowest:.4f} at best"
    lowest = problem.lowest_loss
    if np.isfinite(problem.surface.unique_tokens):
        unique = f"{problem.surface.unique_tokens:.4g} unique tokens"
        return f"{loss} is out of reach with {unique}, however often they repeat: {lowest:.4f} at best"
    which = estimate.law if len(problem.surface.weights) == 1 else "these laws"
    return f"{loss} is out of reach: the irreducible loss of {which} is {lowest:.4f}"


def _split_warnings(answer: Answer, endless: float) -> Iterator[Diagnostic]:
    """Whether there is a best split, of the fit and of the draws."""
    if not answer.inside:
        yield _NO_BEST_SPLIT
    if endless > _MENTIONED:
        yield Diagnostic(
            "not-bracketed",
            f"{endless:.0%} of the resampled fits have no best split: the runs hardly separate parameters from tokens",
        )


def _warnings(estimate: SurfaceEstimate, request: Request, split: ComputeSplit, flops: float) -> Iterator[Diagnostic]:
    unique = estimate.surface.unique_tokens
    tokens, ratio = float(np.exp(split.d)), float(np.exp(split.d - split.n))
    if tokens > 1.05 * unique:
        yield Diagnostic(
            "repeated-data",
            f"the data are repeated {tokens / unique:.3g} times; what repeats are worth is weakly known (2305.16264)",
        )
    if estimate.published_runs is not None:
        yield from estimate.published_runs.warnings(float(np.exp(split.n)), tokens)
    if estimate.runs is None:
        return
    yield from fit_checks.check_target(estimate.runs, inputs_at(np.exp(split.n), tokens, flops), estimate.tested)
    ratios = np.exp(estimate.runs.inputs.d - estimate.runs.inputs.n)
    if split.optimised and not request.inference_tokens and not ratios.min() <= ratio <= ratios.max():
        yield Diagnostic(
            "not-bracketed",
            f"{ratio:.3g} tokens per parameter lies outside the fitted runs' {ratios.min():.3g} to "
            f"{ratios.max():.3g}: the optimum is not bracketed",
        )

"""The best split of a budget by approach 1 or 2 (2203.15556), continued to any budget."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.allocation.envelope import Envelope, envelope
from analysis.allocation.frontier import FrontierLaw, LeftOut, Minima
from analysis.allocation.isoflop import IsoFlop, isoflop
from analysis.allocation.results import Allocation, Interval
from analysis.allocation.split import TOLERANCE
from analysis.allocation.text import frontier_allocation_text
from analysis.diagnostics import checks, fit_checks
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import estimate
from analysis.laws import LAWS, Inputs
from analysis.runs.arrays import RunArrays, training_cost
from analysis.runs.filter import closest
from analysis.runs.table import RunTable

APPROACHES: dict[str, Callable[[RunArrays], IsoFlop | Envelope]] = {"isoflop": isoflop, "envelope": envelope}


@dataclass(frozen=True)
class Budgets:
    """FLOPs of the budgets that an approach used, and the budgets that it left out."""

    used: tuple[float, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class FrontierAllocation(Allocation):
    """The best split by power laws, N* = coefficient * C ** exponent and D* likewise.

    Attributes:
        approach: isoflop or envelope.
        exponent: of N*; ``interval`` has an entry for this and the following three.
        coefficient: of N*.
        tokens_exponent: of D*.
        tokens_coefficient: of D*.
        skew: cubic term of the budgets' curves, 0 for even parabolas, and its standard error; None for the envelope.
        budgets: used and left out.
    """

    approach: str
    exponent: float
    coefficient: float
    tokens_exponent: float
    tokens_coefficient: float
    skew: tuple[float, float] | None
    budgets: Budgets

    def __str__(self) -> str:
        return frontier_allocation_text(self)


def allocate_by(approach: str, table: RunTable, flops: float) -> FrontierAllocation:
    """The best split of a training budget by approach 1 or 2.

    Args:
        approach: a name in ``APPROACHES``.
        table: the runs.
        flops: the budget, counted as theirs.

    Raises:
        InputError: for an unknown approach, or where fewer than two budgets bracket their optimum.
    """
    if approach not in APPROACHES:
        raise InputError(f"no approach {approach!r}{closest(approach, list(APPROACHES))}")
    if not 0 < flops < np.inf:
        raise InputError(f"`flops` = {flops} is not a positive number")
    points = table.arrays
    if (refusal := fit_checks.out_of_reach(points.inputs, float(np.log(flops)))) is not None:
        raise InputError(refusal)
    found = APPROACHES[approach](points)
    if found.params is None or found.tokens is None:
        raise InputError(
            [f"approach {approach}: no power law without two budgets that bracket their optimum"]
            + [warning.message for warning in found.warnings]
        )
    params = found.params.at(flops)
    tokens = _tokens(points, flops, params)
    loss, curvature = _continued(found.minima, flops)
    return FrontierAllocation(
        params=params,
        tokens=tokens,
        flops=float(flops),
        loss=loss,
        tokens_per_param=tokens / params,
        near_optimal=_near(points, flops, params, float(np.exp(np.sqrt(TOLERANCE / curvature)))),
        interval=_interval(found.params, found.tokens, points, flops),
        covers="the noise of the runs, and how the budgets' minima scatter about the power law",
        law="compute",
        source=table.source,
        extrapolation=flops / float(np.exp(points.inputs.c.max())),
        warnings=(*checks.check_table(table), *found.warnings, *_reach(found.minima, flops)),
        approach=approach,
        exponent=found.params.exponent,
        coefficient=found.params.at(1.0),
        tokens_exponent=found.tokens.exponent,
        tokens_coefficient=found.tokens.at(1.0),
        skew=found.skew if isinstance(found, IsoFlop) else None,
        budgets=Budgets(found.used, found.left_out),
        convention=table.convention,
        unit=table.unit,
    )


def _near(points: RunArrays, flops: float, params: float, factor: float) -> dict[str, tuple[float, float]]:
    """Ranges of the sizes within a factor of the best, and of their tokens."""
    sizes = (params / factor, params * factor)
    few, many = (_tokens(points, flops, size) for size in reversed(sizes))
    return {"params": sizes, "tokens": (few, many), "tokens_per_param": (few / sizes[1], many / sizes[0])}


def _tokens(points: RunArrays, flops: float, params: float) -> float:
    """Tokens that the budget pays for, at the FLOPs per parameter and token of the runs nearest in size."""
    return flops / params / float(training_cost(points.inputs, np.log([params]))[0])


def _interval(sizes: FrontierLaw, tokens: FrontierLaw, points: RunArrays, flops: float) -> dict[str, Interval] | None:
    at, exponent, coefficient = sizes.interval(flops), sizes.exponent_interval, sizes.interval(1.0)
    tokens_exponent, tokens_coefficient = tokens.exponent_interval, tokens.interval(1.0)
    if at is None or exponent is None or coefficient is None or tokens_exponent is None or tokens_coefficient is None:
        return None
    return {
        "params": at,
        "tokens": (_tokens(points, flops, at[1]), _tokens(points, flops, at[0])),
        "exponent": exponent,
        "coefficient": coefficient,
        "tokens_exponent": tokens_exponent,
        "tokens_coefficient": tokens_coefficient,
    }


def _continued(minima: Minima, flops: float) -> tuple[float, float]:
    """The loss at the best split of a budget, and the curvature of its log over log parameters.

    The minima's losses follow a power law with an irreducible loss, or without one where they are too few for it. The
    curvature is a fixed share of the reducible loss, as under E + A / N^alpha + B / D^beta.
    """
    law = LAWS["compute"]
    if len(minima.c) < len(law.names) + 2:
        line = np.polyfit(minima.c, np.log(minima.loss), 1)
        floor, loss = 0.0, float(np.exp(np.polyval(line, np.log(flops))))
    else:
        found = estimate(law, Inputs.compute_only(minima.c), np.log(minima.loss), np.arange(len(minima.c)))
        floor = float(law.reported(found.theta)[law.names.index("E")])
        loss = float(law.evaluate(found.theta[None], Inputs.compute_only(np.log([flops])))[0][0, 0])
    part = np.median(minima.curvature * minima.loss / np.maximum(minima.loss - floor, 1e-9))
    return loss, float(part * (loss - floor) / loss)


def _reach(minima: Minima, flops: float) -> list[Diagnostic]:
    """Whether a budget lies further beyond those used than they span."""
    span = float(np.exp(np.ptp(minima.c)))
    above, below = flops / float(np.exp(minima.c.max())), float(np.exp(minima.c.min())) / flops
    reach, which = max((above, "times the largest budget"), (below, "times less than the smallest budget"))
    if reach <= max(span, 3.0):
        return []
    return [Diagnostic("far-extrapolation", f"{reach:.3g} {which} used: beyond their span of {span:.3g}")]

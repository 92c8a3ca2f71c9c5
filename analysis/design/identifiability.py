"""Conditions for a design to identify a law, and the cheapest runs that meet them."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float, Int

from analysis.design.posterior import CandidateLaw, optimal_sizes
from analysis.design.seeds import FEWEST_CELLS, PlannedCell
from analysis.design.selection import inputs_of, prices
from analysis.diagnostics import fit_checks
from analysis.laws import Inputs
from analysis.runs.groups import budgets_of

_SIZES = 3
_BUDGETS = 2
_MIN_DISTANCE = np.log(1.2)  # from the optimal size at which a run is on one side of it
_OUTER = np.log(2.5)  # distance of the outer sizes of the cheapest design


def optimal_size(laws: Sequence[CandidateLaw], c: Float[np.ndarray, " budgets"]) -> Float[np.ndarray, " budgets"]:
    """Log parameters of least loss at log FLOPs: the median over some laws."""
    return np.median([optimal_sizes(law, c) for law in laws], axis=0)


def unidentified(at: Inputs) -> Iterator[str]:
    """What some runs lack to separate parameters from tokens, wherever the target is."""
    cells = len(np.unique(np.round(np.stack([at.n, at.d], axis=1), 2), axis=0))
    if cells < FEWEST_CELLS:
        yield f"{cells} different (params, tokens) are too few: a law of five constants takes {FEWEST_CELLS}"
    sizes = len(np.unique(np.round(at.n, 1)))
    if sizes < _SIZES:
        yield f"{'one size does' if sizes == 1 else 'two sizes do'} not tell what parameters buy: it takes {_SIZES}"
    yield from (warning.message for warning in fit_checks.check_collinearity(at))


def unmet_conditions(at: Inputs, target: Inputs, laws: Sequence[CandidateLaw]) -> Iterator[str]:
    """What some runs lack to separate parameters from tokens as far as the target.

    Args:
        at: the runs.
        target: one point.
        laws: candidates, which give the optimal sizes.
    """
    if not len(at.n):
        yield "there is no run"
        return
    yield from unidentified(at)
    budget = budgets_of(at.c)
    beside = at.n - optimal_size(laws, at.c)
    for side, few in (("fewer", beside < -_MIN_DISTANCE), ("more", beside > _MIN_DISTANCE)):
        budgets = len(np.unique(budget[few]))
        if budgets < _BUDGETS:
            yield (
                f"the minimum is not bracketed: {budgets or 'no'} budget{'s have' if budgets != 1 else ' has'} a run "
                f"with {side} parameters than the best size; it takes {_BUDGETS}"
            )
    if (refusal := fit_checks.out_of_reach(at, float(target.c[0]))) is not None:
        yield refusal


def cheapest_identifying(
    candidates: Sequence[PlannedCell],
    finished: Inputs | None,
    target: Inputs,
    laws: Sequence[CandidateLaw],
    spend: float,
) -> Int[np.ndarray, " candidates"] | None:
    """Runs of each candidate that identify a law at least cost; None if the FLOPs do not buy them.

    No runs where the finished ones suffice. Otherwise three sizes at each of three budgets: the smallest, the largest
    that the FLOPs pay for, and one between.
    """
    none = np.zeros(len(candidates), np.int64)
    if finished is not None and not any(unmet_conditions(finished, target, laws)):
        return none
    if not candidates:
        return None
    at = inputs_of(candidates)
    budget = budgets_of(at.c)
    beside = at.n - optimal_size(laws, at.c)
    price = prices(candidates, spend)
    triples = {}
    for number in np.unique(budget).tolist():
        rows = np.flatnonzero(budget == number)
        triples[number] = np.unique([rows[np.argmin(np.abs(beside[rows] - x))] for x in (-_OUTER, 0.0, _OUTER)])
    for low, middle, high in sorted(combinations(triples, 3), key=lambda three: (-three[2], three[0], three[1])):
        rows = np.concatenate([triples[low], triples[middle], triples[high]])
        if price[rows].sum() <= spend:
            new = at.take(rows)
            runs = new if finished is None else joined(finished, new)
            if not any(unmet_conditions(runs, target, laws)):
                none[rows] = 1
                return none
    return None


def joined(one: Inputs, other: Inputs) -> Inputs:
    """The rows of two inputs."""
    return Inputs(*(np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("n", "d", "c", "u")))

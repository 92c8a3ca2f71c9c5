"""The split that a request asks for on one loss surface, and its figures."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.allocation.results import OptimalSplit, Request
from analysis.allocation.split import START, AllocationProblem, ComputeSplit

_OPTIMUM_NAMES = {name: f"optimum_{name}" for name in ("params", "tokens", "flops")}


def requested_split(problem: AllocationProblem, request: Request, start: float = START) -> ComputeSplit | None:
    """The split that a request asks for; None if its loss is out of reach.

    Args:
        problem: the loss surface, and the inference to pay for.
        request: a budget or a loss, perhaps with one count fixed; or both counts.
        start: log total FLOPs at which a search for a loss begins.
    """
    n, d, c = (None if x is None else float(np.log(x)) for x in (request.params, request.tokens, request.flops))
    if n is not None and d is not None:
        return problem.at(n, d)
    if c is not None:
        if n is not None:
            return problem.tokens_for_training(n, c)
        if d is not None:
            return problem.params_for_training(d, c)
        best = problem.training_only.best_split(c)
        return problem.cheapest_split(best.loss, start) if problem.inference_tokens else best
    assert request.loss is not None
    if n is not None:
        return problem.tokens_for_loss(n, request.loss)
    if d is not None:
        return problem.params_for_loss(d, request.loss)
    return problem.cheapest_split(request.loss, start)


@dataclass(frozen=True)
class Answer:
    """A split on one surface beside two others.

    Attributes:
        problem: the surface.
        split: as requested.
        optimum: the compute-optimal split of the same loss, the cheapest to train.
        best: the split of least loss for the same total FLOPs.
    """

    problem: AllocationProblem
    split: ComputeSplit
    optimum: ComputeSplit
    best: ComputeSplit

    @classmethod
    def of(cls, problem: AllocationProblem, split: ComputeSplit, start: float = START) -> "Answer":
        """Finds the two other splits; ``start`` is the log total FLOPs at which the search begins."""
        best = split if split.optimised else problem.best_split(split.total)
        if split.optimised and not problem.inference_tokens:
            return cls(problem, split, split, best)
        optimum = problem.training_only.cheapest_split(split.loss, start) or replace(split, inside=False)
        return cls(problem, split, optimum, best)

    @property
    def inside(self) -> bool:
        """Whether both other splits are minima, and not at the end of the search."""
        return self.optimum.inside and self.best.inside

    @property
    def figures(self) -> dict[str, float]:
        """Figures of the split, by the names of :class:`LawAllocation`."""
        split = self.split
        return {
            "params": float(np.exp(split.n)),
            "tokens": float(np.exp(split.d)),
            "tokens_per_param": float(np.exp(split.d - split.n)),
            "flops": self.problem.training_flops(split),
            "loss": split.loss,
            "total_flops": float(np.exp(split.total)),
            "excess_loss": split.loss / self.best.loss - 1,
        }

    @property
    def optimum_figures(self) -> dict[str, float] | None:
        """Figures of the compute-optimal split, by the names of :class:`OptimalSplit`; None where it is the split."""
        split, optimum, problem = self.split, self.optimum, self.problem
        if optimum is split:
            return None
        flops, least = problem.training_flops(split), problem.training_flops(optimum)
        total, instead = np.exp([split.total, problem.at(optimum.n, optimum.d).total]).tolist()
        here, there = (problem.inference_flops_per_token(each) for each in (split, optimum))
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
    def optimal_split(self) -> OptimalSplit | None:
        """The compute-optimal split as a result; None where it is the split itself."""
        figures = self.optimum_figures
        if figures is None:
            return None
        optimum = OptimalSplit(**figures)
        return optimum if np.isfinite(figures["break_even_tokens"]) else replace(optimum, break_even_tokens=None)

    @property
    def numbers(self) -> dict[str, float]:
        """Every figure that may have an interval; infinite where a search ended at its range, NaN where not known.

        ``params`` and the like belong to the split, ``optimum_params`` and the like to the compute-optimal one.
        """
        optimum = self.optimum_figures or {}
        numbers = self.figures | {_OPTIMUM_NAMES.get(name, name): value for name, value in optimum.items()}
        if side := self.split.side:
            more, less = side * np.inf, -side * np.inf
            numbers |= {"params": more, "tokens": less, "tokens_per_param": less}
            numbers |= {"flops": -np.inf, "total_flops": -np.inf}
        if not self.best.inside:
            numbers["excess_loss"] = np.nan  # unless the split is the best itself
        if optimum and self.optimum.side:
            numbers |= dict.fromkeys(optimum.keys() - _OPTIMUM_NAMES.keys(), np.nan) | {"training_ratio": np.inf}
            numbers |= _optimum_counts(self.problem, self.optimum)
        return numbers

    def unreachable(self, problem: AllocationProblem, request: Request) -> dict[str, float]:
        """Numbers on another surface, one that never reaches the loss with the counts that the request fixes.

        The split would take infinite tokens, or parameters. The compute-optimal split of that loss may still exist.
        """
        assert request.loss is not None
        numbers = dict.fromkeys(("params", "tokens", "flops", "total_flops", "excess_loss"), np.inf)
        if request.params is not None:
            numbers["tokens_per_param"] = np.inf
        if request.tokens is not None:
            numbers["tokens_per_param"] = -np.inf
        optimum = problem.training_only.cheapest_split(request.loss, self.optimum.total)
        if optimum is None:
            return numbers | dict.fromkeys(_OPTIMUM_NAMES.values(), np.inf)
        numbers |= _optimum_counts(problem, optimum)
        numbers |= {"training_ratio": np.inf, "break_even_tokens": np.inf, "total_saving": -np.inf}
        if request.params is not None and optimum.inside:
            here, there = (problem.inference_flops_per_token(split) for split in (self.split, optimum))
            numbers["inference_saving"] = 1 - here / there
        elif request.tokens is not None:
            numbers["inference_saving"] = -np.inf
        return numbers


def _optimum_counts(problem: AllocationProblem, optimum: ComputeSplit) -> dict[str, float]:
    """Counts of the compute-optimal split, infinite where the search for it ended at its range."""
    counts = [float(np.exp(optimum.n)), float(np.exp(optimum.d)), problem.training_flops(optimum)]
    if side := optimum.side:
        counts = [side * np.inf, -side * np.inf, -np.inf]
    return dict(zip(_OPTIMUM_NAMES.values(), counts, strict=True))

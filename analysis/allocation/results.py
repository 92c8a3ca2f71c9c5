"""What is asked of an allocation, and what it answers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError

Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Request:
    """What is asked: a training budget or a loss, perhaps with one count fixed; or both counts and nothing else.

    Attributes:
        flops: training FLOPs, counted as the runs count them. With tokens to serve, they stand for the loss of the
            compute-optimal model that they pay for (2401.00448).
        loss: nats per token.
        params: fixed.
        tokens: fixed, repeats included.
        inference_tokens: to be served over the model's life.
    """

    flops: float | None = None
    loss: float | None = None
    params: float | None = None
    tokens: float | None = None
    inference_tokens: float = 0.0

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        faults = [
            f"{name} = {value} is not a positive number"
            for name, value in given.items()
            if not (0 < value < np.inf or (name == "inference_tokens" and value == 0))
        ]
        goals = [f"--{name}" for name in ("flops", "loss") if name in given]
        if {"params", "tokens"} <= set(given):
            faults += [f"{goal}: parameters and tokens tell it already; leave out one of the three" for goal in goals]
        elif len(goals) == 2:
            faults.append("--loss: follows from --flops; leave out one of them")
        elif not goals:
            faults.append("give --flops or --loss; or both the parameters and --tokens, to see what that model costs")
        if faults:
            raise InputError(faults)

    @property
    def fixed(self) -> dict[str, float]:
        """What the answer has in common with it, by the names of :class:`LawAllocation`."""
        flops = None if self.inference_tokens else self.flops
        told = {"params": self.params, "tokens": self.tokens, "flops": flops, "total_flops": flops}
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Allocation:
    """Parameters and tokens, and how well they are known.

    Attributes:
        params: parameters.
        tokens: training tokens, repeats included.
        flops: to train it.
        loss: nats per token.
        tokens_per_param: tokens / params.
        near_optimal: ``params``, ``tokens``, ``tokens_per_param``: of the sizes that for the same FLOPs, training and
            inference, lose at most 0.25 % more than the best one; from the smallest to the largest size.
        interval: 90 % intervals of what is not given, by name; an end is None where it has no limit. None where no
            split is best, of the runs or of most resamples.
        covers: what the intervals cover, in words.
        law: of the fit, or of the loss along the best splits; of several, the one with the largest weight.
        source: the table, or the paper.
        extrapolation: flops / those of the largest run known.
        warnings: in words and codes.
    """

    params: float
    tokens: float
    flops: float
    loss: float
    tokens_per_param: float
    near_optimal: dict[str, tuple[float, float]]
    interval: dict[str, Interval] | None
    covers: str
    law: str
    source: str
    extrapolation: float
    warnings: tuple[Diagnostic, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling allocate``."""
        return asdict(self)


@dataclass(frozen=True)
class OptimalSplit:
    """The compute-optimal model of a loss, the cheapest to train, and what another of that loss costs beside it.

    Attributes:
        params: parameters.
        tokens: training tokens.
        flops: to train it.
        training_ratio: training FLOPs of the other / its own: 1 or more.
        inference_saving: which part of its inference FLOPs per token the other saves; negative if it needs more.
        total_saving: which part of its FLOPs for training and inference the other saves; negative likewise.
        break_even_tokens: to be served until the other's inference has saved what its training costs more; None if
            it never does.
    """

    params: float
    tokens: float
    flops: float
    training_ratio: float
    inference_saving: float
    total_saving: float
    break_even_tokens: float | None


@dataclass(frozen=True)
class LawAllocation(Allocation):
    """An allocation on a loss surface.

    Attributes:
        weights: each law's share of it.
        inference_tokens: served.
        inference_flops: for them.
        total_flops: training and inference.
        excess_loss: loss / the least loss for the same total FLOPs - 1.
        optimum: the compute-optimal model of the same loss; None where this is it. ``interval`` calls its counts
            optimum_params, optimum_tokens and optimum_flops.
    """

    weights: dict[str, float]
    inference_tokens: float
    inference_flops: float
    total_flops: float
    excess_loss: float
    optimum: OptimalSplit | None

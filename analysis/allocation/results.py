"""The request of an allocation, and its results."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.allocation.text import law_allocation_text
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.result import Result
from analysis.runs.schema import NATS

Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Request:
    """A training budget or a loss, perhaps with one count fixed; or both counts and nothing else.

    Attributes:
        flops: training FLOPs, counted as the runs count them. With inference tokens, they stand for the loss of the
            compute-optimal model that they pay for (2401.00448).
        loss: nats per token.
        params: fixed parameters.
        tokens: fixed training tokens, repeats included.
        inference_tokens: served over the model's life.
    """

    flops: float | None = None
    loss: float | None = None
    params: float | None = None
    tokens: float | None = None
    inference_tokens: float = 0.0

    def __post_init__(self) -> None:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        errors = [
            f"`{name}` = {value} is not a positive number"
            for name, value in given.items()
            if not (0 < value < np.inf or (name == "inference_tokens" and value == 0))
        ]
        goals = [f"`{name}`" for name in ("flops", "loss") if name in given]
        if {"params", "tokens"} <= set(given):
            errors += [f"{goal}: parameters and tokens fix it already; leave out one of the three" for goal in goals]
        elif len(goals) == 2:
            errors.append("`loss`: follows from `flops`; leave out one of them")
        elif not goals:
            errors.append("give `flops` or `loss`; or both the parameters and `tokens`, to see what that model costs")
        if errors:
            raise InputError(errors)

    @property
    def fixed(self) -> dict[str, float]:
        """The numbers that the answer takes from the request, by the names of :class:`LawAllocation`."""
        flops = None if self.inference_tokens else self.flops
        given = {"params": self.params, "tokens": self.tokens, "flops": flops, "total_flops": flops}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Allocation(Result):
    """Parameters and tokens, and their uncertainty.

    Attributes:
        params: parameters.
        tokens: training tokens, repeats included.
        flops: to train it.
        loss: nats per token.
        tokens_per_param: tokens / params.
        near_optimal: ranges of ``params``, ``tokens`` and ``tokens_per_param`` over the sizes whose loss is within
            0.25 % of the best one for the same FLOPs, training and inference.
        interval: 90 % intervals of what is not given, by name; an end is None where it has no limit. None where the
            runs, or most resamples, have no best split.
        covers: what the intervals cover, in words.
        law: of the fit, or of the loss along the best splits; with several, the one with the largest weight.
        source: the table, or the paper.
        extrapolation: flops / those of the largest run known.
        warnings: in words and codes.
        convention: how parameters and FLOPs are counted.
        unit: of the loss.
        model: the published model whose parameters were given, or None.
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
    convention: str = field(default="", kw_only=True)
    unit: str = field(default=NATS, kw_only=True)
    model: str | None = field(default=None, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling allocate``."""
        return {name: value for name, value in asdict(self).items() if name not in ("convention", "unit", "model")}

    def to_frame(self) -> pd.DataFrame:
        """One row a quantity: ``value`` and the ends ``low`` and ``high`` of its 90 % interval, where it has one."""
        intervals = self.interval or {}
        names = ("params", "tokens", "tokens_per_param", "flops", "loss")
        rows = [(name, asdict(self)[name], *intervals.get(name, (None, None))) for name in names]
        return pd.DataFrame(rows, columns=["quantity", "value", "low", "high"]).set_index("quantity")


@dataclass(frozen=True)
class OptimalSplit:
    """The compute-optimal model of a loss, the cheapest to train, and how another model of that loss compares.

    Attributes:
        params: parameters.
        tokens: training tokens.
        flops: to train it.
        training_ratio: training FLOPs of the other / its own: 1 or more.
        inference_saving: share of its inference FLOPs per token that the other saves; negative if it needs more.
        total_saving: share of its FLOPs for training and inference that the other saves; negative if it needs more.
        break_even_tokens: inference tokens until the other's inference has saved what its training costs more; None if
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
        weights: share of each law in the surface.
        inference_tokens: served over the model's life.
        inference_flops: for these tokens.
        total_flops: training and inference.
        excess_loss: loss / the least loss for the same total FLOPs - 1.
        optimum: the compute-optimal model of the same loss; None where this is it. Its counts are optimum_params,
            optimum_tokens and optimum_flops in ``interval``.
    """

    weights: dict[str, float]
    inference_tokens: float
    inference_flops: float
    total_flops: float
    excess_loss: float
    optimum: OptimalSplit | None

    def __str__(self) -> str:
        return law_allocation_text(self)

"""A request for the mixture of a target."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError
from analysis.mixing.contrast.shapes import SHAPES

# As Olmix's defaults (2602.12237): up to 4 epochs text is nearly as good as new (2305.16264).
EPOCHS, KL = 4.0, 0.05


@dataclass(frozen=True)
class ChoiceRequest:
    """A request for the mixture of a target.

    Attributes:
        params: of the target.
        tokens: of the target.
        flops: of the target; None for 6 params tokens, scaled as in the table.
        objective: weight of each domain's loss; None for all alike.
        most: passes over a source at most, by source; for those that are not named and whose size is known 4, or as
            many as some run has tried.
        unique: training tokens that each source has, where the table does not tell or the target has others.
        kl: pull towards the proportional mixture: KL divergence from it counts this share of what the objective's
            logarithm differs by between the tried mixtures (a standard deviation).
        level: the probability that an interval shall hold.
        seeds: runs of the target whose mean is forecast.
        draws: resamples of the mixtures.
        law: of the contrast, or ``auto``.

    Raises:
        InputError: one line per impossible value.
    """

    params: float
    tokens: float
    flops: float | None = None
    objective: Mapping[str, float] | None = None
    most: Mapping[str, float] = field(default_factory=dict)
    unique: Mapping[str, float] = field(default_factory=dict)
    kl: float = KL
    level: float = 0.9
    seeds: int = 1
    draws: int = 200
    law: str = "auto"

    def __post_init__(self) -> None:
        positive = {"params": self.params, "tokens": self.tokens, "flops": self.flops}
        errors = [
            f"`{name}` = {value} is not a positive number"
            for name, value in positive.items()
            if value is not None and not 0 < value < np.inf
        ]
        for name, given in (("most", self.most), ("unique", self.unique), ("objective", self.objective or {})):
            errors += [
                f"`{name}` {key} = {value} is not a positive number"
                for key, value in given.items()
                if not 0 < value < np.inf
            ]
        if not 0 < self.level < 1:
            errors.append(f"`interval` = {self.level} is not between 0 and 1, such as 90%")
        if not 0 <= self.kl < np.inf:
            errors.append(f"`kl` = {self.kl} is not a number of 0 or more")
        if self.seeds < 1:
            errors.append(f"`seeds` = {self.seeds} is not at least 1")
        if self.draws < 50:
            errors.append(f"`draws` = {self.draws} are too few for an interval: 50 or more")
        if self.law != "auto" and self.law not in SHAPES:
            errors.append(f"`law` = {self.law!r} is none of auto, {', '.join(SHAPES)}")
        if errors:
            raise InputError(errors)

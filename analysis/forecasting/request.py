"""The request of a forecast: the target and the options."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.forecasting.ensemble import AUTO


@dataclass(frozen=True)
class ForecastRequest:
    """A request to forecast the loss of a target that has not been trained.

    Attributes:
        params: of the target, counted as in the table.
        tokens: of the target.
        flops: of the target, counted as in the table; None for what the table's runs of its size, or the nearest to
            it, need per parameter and token.
        law: a name in ``LAWS``, or ``auto`` to weigh them all by rolling-origin folds.
        level: the probability that the interval shall hold, between 0 and 1.
        bootstrap: resamples of whole trunks, 20 or more.
        target_seeds: how many runs will be averaged at the target.
        vocab: the target's vocabulary, where it is known.

    Raises:
        InputError: one line per impossible value.
    """

    params: float
    tokens: float
    flops: float | None = None
    law: str = AUTO
    level: float = 0.9
    bootstrap: int = 1000
    target_seeds: int = 1
    vocab: int | None = None

    def __post_init__(self) -> None:
        values = {"params": self.params, "tokens": self.tokens, "flops": 1.0 if self.flops is None else self.flops}
        errors = [f"`{name}` = {v} is not a positive number" for name, v in values.items() if not 0 < v < np.inf]
        if not 0 < self.level < 1:
            errors.append(f"`interval` = {self.level} is not between 0 and 1, such as 90%")
        if self.bootstrap < 20:
            errors.append(f"`bootstrap` = {self.bootstrap} is too few for an interval: 20 or more")
        if self.target_seeds < 1:
            errors.append(f"`seeds` = {self.target_seeds} is not at least 1")
        if errors:
            raise InputError(errors)

"""Rolling-origin folds of a task: the errors of every link between loss, or compute, and accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.errors import InputError
from analysis.fitting.fit import fit_arrays
from analysis.forecasting.downstream.accuracy_links import LINKS, fit_link
from analysis.laws import Inputs, Law
from analysis.runs.arrays import RunArrays

_FOLDS = 8
_LARGEST = 3  # runs whose mean is the naive forecast
_NEAREST = np.log(4.0)  # a reach that every backtest covers
_EXACT = 1e-6  # an accuracy is not known better


@dataclass(frozen=True)
class TestedLinks:
    """The errors of the links on runs of more compute than those they were fitted to, over all folds.

    Attributes:
        errors: root-mean-square error of each link, in accuracy.
        weights: of each link, together 1, inverse to its mean square error.
        error: root-mean-square error of the weighted forecast.
        naive: of the naive forecast.
        reach: root-mean-square of log(FLOPs of a held-out run / largest fitted FLOPs).
        runs: how many different runs were held out.
    """

    errors: Mapping[str, float]
    weights: Mapping[str, float]
    error: float
    naive: float
    reach: float
    runs: int

    @property
    def predictable(self) -> bool:
        """Whether the forecast's mean square error is less than half of the naive forecast's."""
        return self.error**2 < self.naive**2 / 2

    @property
    def errors_text(self) -> str:
        """Text with the errors of the forecast and the naive one."""
        return (
            f"on high-compute fitted runs its forecast misses by {self.error:.3f} of accuracy, and the mean of the "
            f"largest fitted runs by {self.naive:.3f}"
        )


def backtest_task(runs: RunArrays, accuracy: Float[np.ndarray, " rows"], law: Law[Inputs], reach: float) -> TestedLinks:
    """Backtests every link on high-compute runs, with law and link fitted to the low-compute ones, in up to 8 folds.

    Args:
        runs: their loss is the one that the accuracy follows.
        accuracy: of each.
        law: of the loss, in place of the whole ensemble: its error is small compared with the links'.
        reach: the requested log(FLOPs / largest fitted FLOPs); runs further off are not scored, as a task at chance
            shows nothing of what it does much later.

    Raises:
        InputError: if the runs do not suffice.
    """
    errors, naive, reaches = [], [], []
    held_out = np.zeros(len(runs), bool)
    for origin in _origins(runs, len(law.names) + 2):
        below = runs.budget <= origin
        fitted = runs.subset(below)
        ahead = runs.inputs.c - fitted.inputs.c.max()
        near = ~below & (ahead <= max(reach, _NEAREST))
        tested = runs.subset(near)
        loss = fit_arrays(fitted, law).predict(tested.inputs)
        found = [fit_link(link, np.exp(fitted.log_loss), fitted.inputs.c, accuracy[below]) for link in LINKS]
        errors.append(np.stack([link.predict(loss, tested.inputs.c) for link in found]) - accuracy[near])
        largest = np.argsort(fitted.inputs.c, kind="stable")[-_LARGEST:]
        naive.append(accuracy[below][largest].mean() - accuracy[near])
        reaches.append(ahead[near])
        held_out |= near
    every = np.concatenate(errors, axis=1)
    by_link = np.sqrt(np.mean(every**2, axis=1))
    weights = 1 / np.maximum(by_link, _EXACT) ** 2
    weights /= weights.sum()
    names = [link.name for link in LINKS]
    return TestedLinks(
        errors=dict(zip(names, by_link.tolist(), strict=True)),
        weights=dict(zip(names, weights.tolist(), strict=True)),
        error=_root_mean_square(weights @ every),
        naive=_root_mean_square(np.concatenate(naive)),
        reach=_root_mean_square(np.concatenate(reaches)),
        runs=int(held_out.sum()),
    )


def _origins(runs: RunArrays, fewest: int) -> list[int]:
    """Highest fitted budget of each fold: half of the runs or more lie at or below it, three or more above."""
    count = np.array([int((runs.budget <= number).sum()) for number in range(int(runs.budget.max()))])
    enough = np.flatnonzero((count >= max(8, fewest, len(runs) / 2)) & (len(runs) - count >= 3))
    if not len(enough):
        raise InputError(
            "the runs have too few FLOP budgets: a task's forecast is tested on high-compute runs that are held out"
        )
    places = np.unique(np.linspace(0, len(enough) - 1, _FOLDS).round().astype(int))
    return [int(number) for number in enough[places]]


def _root_mean_square(values: Float[np.ndarray, " values"]) -> float:
    return float(np.sqrt(np.mean(values**2)))

"""Rolling-origin folds: the runs up to a FLOP budget are fitted, the runs beyond it are forecast.

The origin moves up through the budgets (Tashman 2000, "Out-of-sample tests of forecasting accuracy"). Residuals inside
a fit say nothing of its extrapolation; what members miss in the folds weighs them and calibrates their intervals.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from analysis.forecasting.candidates import Candidate, CandidateName
from analysis.forecasting.member import Member, fit_members_quickly
from analysis.laws import Inputs
from analysis.runs.arrays import RunArrays

_MOST_FOLDS = 6
_LEAST_SHARE, _FEWEST_CELLS = 1 / 3, 8
_FEWEST_TUNED = 6  # curves of fine-tuning are short, and bend


@dataclass(frozen=True)
class Fold:
    """One rolling-origin fold.

    Attributes:
        members: fitted to the low-compute runs.
        fitted: the low-compute runs.
        held_out: the high-compute runs.
        share: fitted runs / all runs.
    """

    members: tuple[Member, ...]
    fitted: Inputs
    held_out: RunArrays
    share: float

    @property
    def reach(self) -> float:
        """The largest log(FLOPs / largest fitted FLOPs) of the held-out runs."""
        return float(self.held_out.inputs.c.max() - self.fitted.c.max())

    def of(self, names: Collection[CandidateName]) -> "Fold | None":
        """The fold with these members alone; None without any."""
        members = tuple(member for member in self.members if member.candidate.name in names)
        return replace(self, members=members) if members else None

    def weighted(self, weights: Mapping[CandidateName, float]) -> tuple[Member, ...]:
        """Members of the fold with the weights of their names."""
        return tuple(replace(member, weight=weights[member.candidate.name]) for member in self.members)

    def errors(self) -> dict[CandidateName, float]:
        """Mean absolute error of each member's log loss, per root-mean-square log(FLOPs / largest fitted FLOPs)."""
        runs = self.held_out
        reach = np.sqrt(np.mean((runs.inputs.c - self.fitted.c.max()) ** 2))
        return {
            member.candidate.name: float(np.mean(np.abs(member.log_loss(runs.inputs) - runs.log_loss)) / reach)
            for member in self.members
        }


def rolling_origin_folds(runs: RunArrays, candidates: Sequence[Candidate]) -> list[Fold]:
    """Rolling-origin folds: the runs up to each origin, fitted by every candidate with enough cells there.

    Args:
        runs: all fitted runs.
        candidates: grouped by law.
    """
    folds = []
    for origin in origins(runs):
        below = runs.budget <= origin
        fitted, held_out = runs.subset(below), runs.subset(~below)
        enough = [each for each in candidates if each.suits_fold(fitted)]
        members = [
            member
            for _, of_law in groupby(enough, key=lambda each: each.law.name)
            for member in fit_members_quickly(fitted, list(of_law))
        ]
        folds.append(Fold(tuple(members), fitted.inputs, held_out, len(fitted) / len(runs)))
    return folds


def origins(runs: RunArrays) -> list[int]:
    """Highest fitted budget (``RunArrays.budget``) of each fold: six at most, from the lowest.

    Each leaves eight different cells or more to fit, as many as most laws need (six after fine-tuning), and a third of
    the runs: the error of a forecast from a few tiny runs says little about one from all of them.
    """
    found = []
    fewest = _FEWEST_CELLS if runs.stage is None else _FEWEST_TUNED
    for number in range(int(runs.budget.max())):
        below = runs.budget <= number
        if below.sum() >= _LEAST_SHARE * len(runs) and runs.subset(below).cells >= fewest:
            found.append(number)
    if len(found) > _MOST_FOLDS:
        found = [found[round(i)] for i in np.linspace(0, len(found) - 1, _MOST_FOLDS)]
    return found

"""Compute multipliers: how many times the compute one contender needs for the loss of another.

Along its own surface from a point, at the point's tokens per parameter (at its parameters, where all its runs are of
one size): h solves log L(C e^h) - log L(C) = the difference of log losses there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.comparing.differences.cells import Cells
from analysis.comparing.differences.surfaces import Surface
from analysis.comparing.differences.ways import moved
from analysis.laws import Inputs

_STEPS = np.linspace(-np.log(1e4), np.log(1e4), 241)


@dataclass(frozen=True)
class Gain:
    """What compute buys a contender at a point: the change of its log loss at each factor of compute, with resamples.

    Attributes:
        step: logs of the factors.
        change: of the log loss at each; falling.
        drawn: the same of each resample.
    """

    step: Float[np.ndarray, " steps"]
    change: Float[np.ndarray, " steps"]
    drawn: Float[np.ndarray, "draws steps"]

    def factor(self, difference: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
        """Multiplier (rows,) for each difference of log losses; infinite where no compute suffices."""
        return np.exp(_solve(self.step, self.change, difference))

    def factors(self, differences: Float[np.ndarray, " draws"]) -> Float[np.ndarray, " draws"]:
        """Multiplier of each draw of the difference, at a resample of its own."""
        if not len(self.drawn):
            return self.factor(differences)
        each = [
            _solve(self.step, self.drawn[i % len(self.drawn)], np.array([value]))[0]
            for i, value in enumerate(differences)
        ]
        return np.exp(np.array(each))


def gain_at(cells: Cells, surface: Surface | None, point: Inputs) -> Gain | None:
    """What compute buys a contender at one point; None where its cells do not show it.

    Args:
        cells: of the contender.
        surface: fitted to them, or None for a power law of compute.
        point: one entry.
    """
    if surface is None:
        return _power_law(cells)
    alone = len(np.unique(cells.inputs.n)) == 1
    along = moved(point, _STEPS, tokens_alone=alone)
    middle = len(_STEPS) // 2
    change, drawn = surface.log_loss(along), surface.drawn(along)
    return Gain(_STEPS, change - change[middle], drawn - drawn[:, middle : middle + 1])


def _power_law(cells: Cells) -> Gain | None:
    c = cells.inputs.c
    if len(cells) < 2 or np.ptp(c) < np.log(1.5):
        return None
    slope = min(float(np.polyfit(c, cells.log_loss, 1)[0]), -1e-6)
    return Gain(_STEPS, slope * _STEPS, np.zeros((0, len(_STEPS))))


def _solve(
    step: Float[np.ndarray, " steps"], change: Float[np.ndarray, " steps"], difference: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Log factor at which the change is each difference; infinite beyond the ends."""
    falling = np.maximum.accumulate(-change)  # a flat end stays flat
    found = np.interp(-difference, falling, step)
    found = np.where(-difference > falling[-1], np.inf, found)
    return np.where(-difference < falling[0], -np.inf, found)

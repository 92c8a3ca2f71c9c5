"""The candidates of a forecast: a law, fitted under a weighting of the runs, over a window of compute.

A new weighting or window is one entry of ``WEIGHTINGS`` or ``WINDOWS``; every law that ``auto`` weighs is fitted under
each pair of them that the runs suffice for.

The low-compute end of a table is often in another regime than its target, and every law's error then shrinks as it is
left out. A window does that; it needs cells enough to fit a law well, and is the other way of looking at a table, not
the better one.

The frontier is the lowest loss reached with a budget's FLOPs or fewer. Runs far above it, with too many parameters for
their tokens or too few, are where laws break down first, and no large run is planned there. A frontier weighting of
width w weighs a run whose log loss lies x above the frontier by exp(-(x / w)^2 / 2).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from analysis.laws import Inputs, Law
from analysis.runs.arrays import RunArrays
from analysis.runs.groups import SAME_BUDGET


@dataclass(frozen=True)
class Weighting:
    """A weighting of the runs in a fit.

    Attributes:
        label: unique; the key ``focus`` of a forecast's JSON: the width of a frontier weighting, None
            where all runs count alike, else a name.
        weights: of each run, to any scale.
    """

    label: float | str | None
    weights: Callable[[RunArrays], Float[np.ndarray, " rows"]]


@dataclass(frozen=True)
class Window:
    """A window of compute: the runs with at least 1 / ``factor`` of the FLOPs of the largest run.

    Attributes:
        factor: infinite for all runs.
        fewest: cells that a window of a part of the runs must hold: with fewer, laws of five parameters fit it well and
            forecast badly.
    """

    factor: float = np.inf
    fewest: int = 16

    def suits(self, runs: RunArrays) -> bool:
        """Whether it is the window of all runs, or leaves some out and holds cells enough."""
        held = self.holds(runs)
        return self == ALL_RUNS or bool(not held.all() and runs.subset(held).cells >= self.fewest)

    def holds(self, runs: RunArrays) -> Bool[np.ndarray, " rows"]:
        """Mask (rows,) of the runs in the window, its edge included."""
        held: Bool[np.ndarray, " rows"] = runs.inputs.c >= runs.inputs.c.max() - np.log(self.factor) - 1e-9
        return held


def equal_weights(runs: RunArrays) -> Float[np.ndarray, " rows"]:
    """Weights (rows,) that are equal for all runs."""
    return np.ones(len(runs))


def frontier_weighting(width: float) -> Weighting:
    """Gaussian weighting of runs by their distance from the frontier, with a width in log loss."""
    return Weighting(width, lambda runs: np.exp(-0.5 * (above_frontier(runs) / width) ** 2))


def above_frontier(runs: RunArrays) -> Float[np.ndarray, " rows"]:
    """Distance (rows,) in log loss of each run from the lowest at its budget or below; 0 or more."""
    order = np.argsort(runs.inputs.c, kind="stable")
    compute = runs.inputs.c[order]
    lowest = np.minimum.accumulate(runs.log_loss[order])
    upto = np.searchsorted(compute, runs.inputs.c + np.log(SAME_BUDGET), side="right") - 1
    return runs.log_loss - lowest[upto]


def late_weighting(width: float) -> Weighting:
    """Gaussian weighting of runs by their distance in log FLOPs from the run with the most."""
    return Weighting(
        f"late-{np.exp(width):.3g}", lambda runs: np.exp(-0.5 * ((runs.inputs.c.max() - runs.inputs.c) / width) ** 2)
    )


EQUAL = Weighting(None, equal_weights)
ALL_RUNS = Window()
WEIGHTINGS = (EQUAL, frontier_weighting(0.2), frontier_weighting(0.05))
WINDOWS = (ALL_RUNS, Window(5.0))

CandidateName = tuple[str, float | str | None, float]


@dataclass(frozen=True)
class Candidate:
    """A candidate member of a forecast, before it is fitted: law, weighting and window.

    Attributes:
        law: the form.
        weighting: of the runs.
        window: of compute; runs outside have weight 0.
    """

    law: Law[Inputs]
    weighting: Weighting = EQUAL
    window: Window = ALL_RUNS

    @property
    def name(self) -> CandidateName:
        """Unique name: the law's name, the weighting's label and the window's factor."""
        return self.law.name, self.weighting.label, self.window.factor

    @property
    def plain(self) -> bool:
        """Whether all runs have the same weight."""
        return self.weighting.label is None and self.window == ALL_RUNS

    def run_weights(self, runs: RunArrays) -> Float[np.ndarray, " rows"]:
        """Weight (rows,) of each run, 1 on average; 0 outside the window."""
        weight = self.weighting.weights(runs) * self.window.holds(runs)
        return weight * (len(runs) / weight.sum())

    def suits(self, runs: RunArrays) -> bool:
        """Whether the window suits the runs and holds enough of them to fit the law: its parameters + 2."""
        return self.window.suits(runs) and len(self.law.names) + 2 <= int(self.window.holds(runs).sum())

    def suits_fold(self, runs: RunArrays) -> bool:
        """Whether it suits a fold's fitted runs, where what must suffice is cells, not runs."""
        return self.suits(runs) and len(self.law.names) + 2 <= runs.subset(self.window.holds(runs)).cells

    def to_dict(self) -> dict[str, Any]:
        """The candidate as a JSON object: ``focus``, and ``window`` where it leaves runs out."""
        window = {} if self.window == ALL_RUNS else {"window": self.window.factor}
        return {"focus": self.weighting.label, **window}


def candidates_of(
    law: Law[Inputs], weightings: Sequence[Weighting] = WEIGHTINGS, windows: Sequence[Window] = WINDOWS
) -> list[Candidate]:
    """Candidates of a law: every weighting over every window."""
    return [Candidate(law, weighting, window) for window in windows for weighting in weightings]

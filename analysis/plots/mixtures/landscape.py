"""The objective over mixtures: what all figures of where the best one lies are drawn from, and how they mark it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.plots.style import FORECAST, INK, PARAMS, TOKENS, colour_bar
from analysis.runs.schema import NATS

# Colour, marker and title of each candidate, the same in every figure.
CANDIDATES: dict[str, tuple[str, str, str]] = {
    "chosen": (FORECAST, "D", "chosen"),
    "proportional": (PARAMS, "s", "proportional"),
    "uniform": (TOKENS, "^", "uniform"),
    "best_run": ("#e69f00", "o", "best tried"),
}
OBJECTIVE = f"objective ({NATS})"
_WORST = 0.95  # quantile beyond which all objectives have one colour


@dataclass(frozen=True, eq=False)
class Grid:
    """Mixtures all over the simplex.

    Attributes:
        shares: of each source.
        objective: nats per token.
        excess: 0 or less where a mixture may be chosen and cannot be told from the chosen one: by how much more than
            the noise of their difference it is worse.
        part: share of the mixtures that may be chosen which cannot be told from the chosen one.
        error: of the log of their difference, with the factor of the interval's level.
    """

    shares: Float[np.ndarray, "mixtures sources"]
    objective: Float[np.ndarray, " mixtures"]
    excess: Float[np.ndarray, " mixtures"]
    part: float
    error: Float[np.ndarray, " mixtures"]


@dataclass(frozen=True, eq=False)
class Landscape:
    """The objective over mixtures at a target.

    Attributes:
        sources: their names.
        tried: shares of the mixtures that were tried.
        objective: of these at the target, nats per token.
        alike: how many of these cannot be told from the chosen one.
        candidates: shares of the chosen mixture and of others, by name.
        expected: the candidates' objectives.
        ranges: least and largest share of each source among the mixtures that cannot be told from the chosen one.
        level: with which these are told.
        grid: of two or three sources; None of more.
    """

    sources: tuple[str, ...]
    tried: Float[np.ndarray, "mixtures sources"]
    objective: Float[np.ndarray, " mixtures"]
    alike: int
    candidates: Mapping[str, Float[np.ndarray, " sources"]]
    expected: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    level: float
    grid: Grid | None


def candidate_marks(names: Mapping[str, object]) -> list[Line2D]:
    """A mark of each candidate for a legend."""
    return [
        Line2D([], [], color=colour, marker=marker, ls="", ms=6.5, mec="white", mew=0.6, label=title)
        for name, (colour, marker, title) in CANDIDATES.items()
        if name in names
    ]


def tried_mark(colour: str = INK) -> Line2D:
    """The mark of a mixture that was tried for a legend."""
    return Line2D([], [], color=colour, marker="o", ls="", ms=3.5, mec="white", mew=0.4, label="tried")


def objective_norm(values: Float[np.ndarray, " mixtures"]) -> Normalize:
    """The map from objectives to colours; the few worst have one."""
    low, high = float(values.min()), float(np.quantile(values, _WORST))
    return Normalize(low, high if high > low else low * 1.001)


def objective_bar(axes: Axes, norm: Normalize) -> None:
    """Adds the colour bar of the objective."""
    low, high = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    ticks = [float(tick) for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    digits = max(0, int(np.ceil(-np.log10(high - low))) + 1)
    colour_bar(axes, norm, OBJECTIVE, ticks, lambda value, _: f"{value:.{min(digits, 6)}f}")

"""The width of a reward forecast's intervals, from what its ways missed by on held-out proxies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.rewards.forecasting.backtest import Misses, TestedWays
from analysis.rewards.forecasting.grid import Grid
from analysis.rewards.forecasting.methods import Points


@dataclass(frozen=True)
class Spread:
    """Half widths of intervals: what the ways missed by, grown with the reach, and how far they lie apart."""

    tested: TestedWays
    weights: Mapping[str, float]
    stretch: float
    level: float

    def of_gains(self, d: Points, gains: Mapping[str, Points], middle: Points) -> Points:
        """Of the gain at each point: by what a way missed by about there on the held-out curves."""
        total = np.zeros(len(d))
        for name, weight in self.weights.items():
            total += weight * ((self.tested.profiles[name].error(d) * self.stretch) ** 2 + (gains[name] - middle) ** 2)
        return np.asarray(self._factor * np.sqrt(total))

    def of_peak(self, peak: float, peaks: Mapping[str, float]) -> tuple[float, float]:
        """Of the highest gain."""
        half = self._half(peak, peaks, lambda miss: miss.peak)
        return peak - half, peak + half

    def of_place(self, place: float, grid: Grid, places: Mapping[str, float]) -> tuple[float, float]:
        """Of where it lies, in log n or sqrt(KL); within what is looked at."""
        there = np.log if grid.axis == "n" else np.sqrt
        half = self._half(float(there(place)), {n: float(there(x)) for n, x in places.items()}, lambda miss: miss.place)
        low, high = float(there(place)) - half, float(there(place)) + half
        ends = (np.exp(low), np.exp(high)) if grid.axis == "n" else (max(low, 0.0) ** 2, high**2)
        return float(max(ends[0], grid.dense[0])), float(min(ends[1], grid.dense[-1]))

    def _half(self, middle: float, each: Mapping[str, float], miss: Callable[[Misses], float]) -> float:
        total = sum(
            weight * ((miss(self.tested.misses[name]) * self.stretch) ** 2 + (each[name] - middle) ** 2)
            for name, weight in self.weights.items()
        )
        return float(self._factor * np.sqrt(total))

    @property
    def _factor(self) -> float:
        return float(stats.t.ppf((1 + self.level) / 2, max(self.tested.runs - 1, 1)))

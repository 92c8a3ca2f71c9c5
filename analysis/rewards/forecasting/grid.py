"""The points at which a reward curve is forecast, and the denser ones on which its peak is found."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from analysis.rewards.best_of_n import kl_bound
from analysis.rewards.curves import RewardCurve
from analysis.rewards.forecasting.methods import Points
from analysis.rewards.laws import BEST_OF_N

_POINTS, _DENSE = 24, 400


@dataclass(frozen=True)
class Grid:
    """Points of a forecast: n or KL, and d; and denser ones to find a peak on."""

    axis: str
    points: Float[np.ndarray, " points"]
    d: Float[np.ndarray, " points"]
    dense: Float[np.ndarray, " dense"]
    dense_d: Float[np.ndarray, " dense"]

    @classmethod
    def of(cls, curves: Sequence[RewardCurve], at: float | None) -> "Grid":
        """The n of the curves, or even steps of sqrt(KL) up to their largest, and the one requested."""
        if curves[0].law is BEST_OF_N:
            known = np.unique(np.concatenate([curve.places for curve in curves]))
            points = np.unique(np.append(known, [] if at is None else [at]))
            points = points[points > 1]
            dense = np.unique(np.round(np.geomspace(1, points[-1], _DENSE)))
            return cls("n", points, _d_of_n(curves, points), dense, _d_of_n(curves, dense))
        most = max(float(curve.d.max()) for curve in curves)
        d = np.linspace(curves[0].law.least, most, _POINTS)
        d = np.unique(np.append(d, [] if at is None else [np.sqrt(at)]))
        dense = np.linspace(0.0, d[-1], _DENSE)
        return cls("kl", d**2, d, dense**2, dense)

    def highest(self, gain: Points) -> tuple[float, float]:
        """Gain and place of the highest of dense gains; the start's 0 is one of them."""
        top = int(np.argmax(gain))
        return float(gain[top]), float(self.dense[top])


def _d_of_n(curves: Sequence[RewardCurve], n: Float[np.ndarray, " points"]) -> Float[np.ndarray, " points"]:
    """sqrt(KL) of best-of-n: the bound, times the share of it that was measured at the nearest fitted n."""
    known = [(curve.places[curve.places > 1], curve.kl[curve.places > 1]) for curve in curves]
    x = np.concatenate([n for n, _ in known])
    share = np.concatenate([kl / kl_bound(n) for n, kl in known])
    places = np.unique(x)
    means = np.array([share[x == place].mean() for place in places])
    return np.sqrt(kl_bound(n) * np.interp(np.log(n), np.log(places), means))

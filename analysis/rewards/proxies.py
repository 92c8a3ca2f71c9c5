"""Curves by the proxy that they follow: runs that differ by their seed alone together, each proxy with a label."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from analysis.formatting import format_quantity
from analysis.rewards.curves import RewardCurve, RewardTable

_POINTS = 61


@dataclass(frozen=True, eq=False)
class Proxy:
    """The runs of one kind, best-of-n or trained policies, that follow one proxy.

    Attributes:
        label: for people: ``512 pairs``, or a run's name where pairs and sizes are not known.
        place: among the labels of the table, from 0.
        curves: of its runs.
        of_n: whether they are best-of-n.
    """

    label: str
    place: int
    curves: tuple[RewardCurve, ...]
    of_n: bool

    @cached_property
    def points(self) -> Float[np.ndarray, " points"]:
        """n of best-of-n that all runs have; of trained policies KL from 0 to where the shortest run ends."""
        if self.of_n:
            sizes = [set(np.asarray(curve.n).tolist()) for curve in self.curves]
            return np.array(sorted(set.intersection(*sizes)))
        return np.linspace(0.0, min(float(curve.d.max()) for curve in self.curves), _POINTS) ** 2

    @cached_property
    def kl(self) -> Float[np.ndarray, " points"]:
        """The KL divergence there, mean over the runs."""
        if not self.of_n:
            return self.points
        return np.mean([np.interp(self.points, np.asarray(curve.n), curve.kl) for curve in self.curves], axis=0)

    @cached_property
    def gain(self) -> Float[np.ndarray, " points"]:
        """The gain of the table's reward there, mean over the runs."""
        if self.of_n:
            return np.mean([np.interp(self.points, np.asarray(c.n), c.gain) for c in self.curves], axis=0)
        return np.mean([curve.gain_at(np.sqrt(self.points)) for curve in self.curves], axis=0)

    @cached_property
    def proxy(self) -> Float[np.ndarray, " points"]:
        """The gain of the proxy there, mean over the runs; NaN where it is not known."""
        if self.of_n:
            return np.mean([np.interp(self.points, np.asarray(c.n), c.proxy) for c in self.curves], axis=0)
        d = np.sqrt(self.points)
        return np.mean([np.interp(d, *_from_start(c.d, c.proxy)) for c in self.curves], axis=0)

    @property
    def peak(self) -> int:
        """The place of the highest gain among the points."""
        return int(np.argmax(self.gain))

    @property
    def falls(self) -> bool:
        """Whether the gain ends below its peak."""
        return self.peak < len(self.points) - 1


def _from_start(
    d: Float[np.ndarray, " rows"], values: Float[np.ndarray, " rows"]
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    return np.concatenate([[0.0], d]), np.concatenate([[0.0], values])


def proxies_of(table: RewardTable) -> tuple[Proxy, ...]:
    """The proxies of a table in the order of their pairs, each kind by itself."""
    curves = [curve for curve in table.curves if len(curve.gain)]
    labels = labels_of(curves)
    order = list(dict.fromkeys(labels.values()))
    groups: dict[tuple[str, bool], list[RewardCurve]] = {}
    for curve in curves:
        groups.setdefault((labels[curve.run_id], curve.n is not None), []).append(curve)
    made = [Proxy(label, order.index(label), tuple(group), of_n) for (label, of_n), group in groups.items()]
    return tuple(proxy for proxy in made if len(proxy.points) > 1)


def labels_of(curves: Sequence[RewardCurve]) -> dict[str, str]:
    """The label of each run's proxy: its pairs, and its size where there are several; else the run's name."""
    several = len({curve.reward_params for curve in curves if curve.reward_params == curve.reward_params}) > 1
    made = {}
    for curve in curves:
        label = curve.run_id
        if curve.pairs == curve.pairs:
            label = f"{format_quantity(curve.pairs)} pairs"
            if several and curve.reward_params == curve.reward_params:
                label += f", {format_quantity(curve.reward_params)}"
        made[curve.run_id] = label
    return made

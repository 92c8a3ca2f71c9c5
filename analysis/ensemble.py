"""The laws that make a forecast together, each weighed by how well it forecast the dearer fitted runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from analysis.errors import InputError
from analysis.fit import FitResult, fit_points, law_named, on_table
from analysis.laws import LAWS, Inputs, Law
from analysis.points import Points
from analysis.table import RunTable
from analysis.uncertainty import NestedSplit, forecast_samples, nested_splits, run_noise, spread_posterior

AUTO = "auto"
# Sharpness of the weights, as a power of the inverse mean square miss.
_SHARPNESS = 2.0
_LEAST_SHARE = 1 / 3


@dataclass(frozen=True)
class Member:
    """A fitted law in a forecast.

    Attributes:
        fit: with resamples.
        weight: its share.
        splits: its nested extrapolations inside the fitted runs.
        spread: probabilities of how fast its form's miss grows.
        noise: standard deviation of one run's log loss.
    """

    fit: FitResult
    weight: float
    splits: tuple[NestedSplit, ...]
    spread: Float[np.ndarray, " spreads"]
    noise: float


@dataclass(frozen=True)
class Ensemble:
    """One law, or several; ``edge`` is log FLOPs of the dearest run fitted."""

    members: Mapping[str, Member]
    edge: float

    @property
    def leader(self) -> Member:
        """The member with the largest weight."""
        return max(self.members.values(), key=lambda member: member.weight)

    @property
    def weights(self) -> dict[str, float]:
        return {name: member.weight for name, member in self.members.items()}

    def predict(self, target: Inputs, level: float, seeds: int = 1) -> tuple[float, float, float]:
        """The mean loss of some runs at one point, and its interval: (loss, low, high), nats per token.

        Args:
            target: one point.
            level: the probability that the interval holds it.
            seeds: how many runs the mean is over.
        """
        reach = max(0.0, float(target.c[0]) - self.edge)
        centre, draws, shares = 0.0, [], []
        for member in self.members.values():
            centre += member.weight * float(np.log(member.fit.predict(target)[0]))
            noise = member.noise / np.sqrt(seeds)
            draws.append(forecast_samples(member.fit, target, reach, member.spread, float(noise)))
            shares.append(np.full(len(draws[-1]), member.weight))
        tail = (1 - level) / 2
        low, high = np.quantile(
            np.concatenate(draws), [tail, 1 - tail], weights=np.concatenate(shares), method="inverted_cdf"
        )
        loss, low, high = np.exp([centre, min(low, centre), max(high, centre)]).tolist()
        return loss, low, high


def ensemble(table: RunTable, law: str = AUTO, bootstrap: int = 1000) -> Ensemble:
    """Fits one law to a table, or with ``auto`` every law that its runs suffice for.

    Raises:
        InputError: for an unknown law, or too few runs for any.
    """
    together = ensemble_of_points(Points.of(table.fit), law, bootstrap)
    members = {name: replace(m, fit=on_table(m.fit, table)) for name, m in together.members.items()}
    return replace(together, members=members)


def ensemble_of_points(points: Points, law: str, bootstrap: int) -> Ensemble:
    """As :func:`ensemble`, for arrays."""
    laws = [law_named(law)] if law != AUTO else [x for x in LAWS.values() if len(x.names) + 2 <= len(points)]
    if not laws:
        fewest = min(len(x.names) for x in LAWS.values()) + 2
        raise InputError(f"{len(points)} runs are too few for any law: {fewest} or more are needed")
    fits = {x.name: fit_points(points, x, bootstrap) for x in laws}
    thresholds = _thresholds(points, laws)
    splits = {x.name: tuple(nested_splits(points, x, thresholds)) for x in laws}
    weights = _weights(splits)
    members = {}
    for name, fit in fits.items():
        noise = run_noise(points, fit)
        members[name] = Member(fit, weights[name], splits[name], spread_posterior(splits[name], noise), noise)
    return Ensemble(members, float(points.inputs.c.max()))


def _thresholds(points: Points, laws: Sequence[Law[Inputs]]) -> list[int]:
    """Budgets whose cheaper side suffices for every law, so that all are judged on the same runs.

    To suffice takes two distinct (params, tokens) more than parameters, as for a fit at all, and a good part of the
    runs: what a law misses from a few tiny runs tells little about what it misses from all of them.
    """
    fewest = max(len(law.names) for law in laws) + 2
    found = []
    for number in range(int(points.budget.max())):
        cheap = points.budget <= number
        if cheap.sum() >= _LEAST_SHARE * len(points) and points.subset(cheap).cells >= fewest:
            found.append(number)
    return found


def _weights(splits: Mapping[str, Sequence[NestedSplit]]) -> dict[str, float]:
    """Shares that fall with the mean square miss per reach; equal where nothing can be nested."""
    scores = np.array([np.mean([s.miss / s.reach for s in each]) if each else 1.0 for each in splits.values()])
    shares = (scores.min() / scores) ** _SHARPNESS
    return dict(zip(splits, (shares / shares.sum()).tolist(), strict=True))

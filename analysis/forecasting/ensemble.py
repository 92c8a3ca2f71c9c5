"""The laws that make a forecast together, each weighed by how well it forecast the dearer fitted runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import FitResult, fit_arrays, law_named, on_table, too_few
from analysis.forecasting.calibration import Calibration, Miss, run_noise
from analysis.forecasting.member import NESTED_RESAMPLES, Member, centre, focused, quick, spread_of
from analysis.forecasting.weighting import EVERYWHERE, FOCI
from analysis.laws import LAWS, Inputs, Law, weighed
from analysis.runs.arrays import RunArrays, beyond
from analysis.runs.table import RunTable

AUTO = "auto"
_SPLITS = 6
_LEAST_SHARE, _FEWEST_CELLS = 1 / 3, 8
_HEARD = 0.5
_FOCUSED_SHARE = 5  # one in so many resamples suffices where no standard errors are reported


@dataclass(frozen=True)
class Ensemble:
    """One law, or several under several foci.

    Attributes:
        members: whose weights are together 1.
        fits: each law's plain fit, by name.
        calibration: how far its forecasts miss.
        fitted: the runs.
        splits: how many nested extrapolations weighed and calibrated it.
        tested: the largest log(FLOPs / fitted FLOPs) of them; 0 without any.
    """

    members: tuple[Member, ...]
    fits: Mapping[str, FitResult]
    calibration: Calibration
    fitted: Inputs
    splits: int
    tested: float

    @property
    def weights(self) -> dict[str, float]:
        """Each law's share, over its foci."""
        return {name: sum(m.weight for m in self.members if m.law.name == name) for name in self.fits}

    @property
    def leader(self) -> FitResult:
        """The plain fit of the law with the largest share."""
        shares = self.weights
        return self.fits[max(shares, key=lambda name: shares[name])]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """What laws with half of the weight or more warn of, in the words of the heaviest."""
        shares = self.weights
        ranked = sorted(self.fits, key=lambda name: -shares[name])
        told: dict[str, list[Diagnostic]] = {}
        heard: dict[str, float] = {}
        for name in ranked:
            for code in dict.fromkeys(warning.code for warning in self.fits[name].warnings):  # in order, each once
                told.setdefault(code, [w for w in self.fits[name].warnings if w.code == code])
                heard[code] = heard.get(code, 0.0) + shares[name]
        return tuple(w for code, group in told.items() if heard[code] >= _HEARD for w in group)

    def expect(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """The loss at each point, nats per token."""
        return np.exp(centre(self.members, inputs))

    def predict(
        self, target: Inputs, level: float = 0.9, seeds: int = 1
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """The mean loss of some runs at each point, and its interval: (loss, low, high), nats per token.

        Args:
            target: the points.
            level: the probability that an interval holds its loss.
            seeds: how many runs the mean is over.
        """
        middle, width = centre(self.members, target), spread_of(self.members, target)
        half = self.calibration.half_width(width, beyond(self.fitted, target), level, seeds)
        # What runs that contradict each other leave unknown may be any number, but it is a number.
        most = np.log(np.finfo(np.float64).max)
        return np.exp(np.minimum(middle, most)), np.exp(middle - half), np.exp(np.minimum(middle + half, most))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Each law's fit as ``scaling fit`` prints it, with its foci where there are several."""
        laws: dict[str, dict[str, Any]] = {}
        for name, fit in self.fits.items():
            foci = [member.to_dict() for member in self.members if member.law.name == name]
            laws[name] = {**fit.to_dict(), **({"foci": foci} if len(foci) > 1 else {})}
        return laws


def ensemble(table: RunTable, law: str = AUTO, bootstrap: int = 1000) -> Ensemble:
    """Fits one law to a table, or with ``auto`` every law that its runs suffice for.

    Raises:
        InputError: for an unknown law, or too few runs for any.
    """
    together = ensemble_of_arrays(table.arrays, law, bootstrap)
    return replace(together, fits={name: on_table(fit, table) for name, fit in together.fits.items()})


def ensemble_of_arrays(points: RunArrays, law: str, bootstrap: int) -> Ensemble:
    """As :func:`ensemble`, for arrays."""
    found = ensembles_of_arrays(points, [law], bootstrap)
    if law in found:
        return found[law]
    if law != AUTO:
        raise InputError(too_few(law_named(law), len(points)))
    fewest = min(len(x.names) for x in LAWS.values()) + 2
    raise InputError(f"{len(points)} runs are too few for any law: {fewest} or more are needed")


def ensembles_of_arrays(points: RunArrays, names: Sequence[str], bootstrap: int) -> dict[str, Ensemble]:
    """As :func:`ensemble_of_arrays` for several laws, and ``auto``, with every fit made once.

    Returns:
        By name; those that the runs do not suffice for are left out.
    """
    named = {law_named(name).name for name in names if name != AUTO}
    pooled = set(weighed()) if AUTO in names else set()
    plan = {
        law.name: FOCI if law.name in pooled else (EVERYWHERE,)
        for law in _affordable([LAWS[name] for name in LAWS if name in named | pooled], len(points))
    }
    fewer = max(bootstrap // _FOCUSED_SHARE, min(bootstrap, NESTED_RESAMPLES))
    fits = {name: fit_arrays(points, LAWS[name], bootstrap) for name in plan}
    members = [member for name, fit in fits.items() for member in focused(points, fit, plan[name], fewer)]
    nested = _nested(points, plan)
    found = {}
    for name in names:
        group = [m for m in members if m.law.name in pooled] if name == AUTO else _plain(members, name)
        if group:
            found[name] = together(points, group, fits, nested, _noise(points, group))
    return found


def _plain(members: Sequence[Member], law: str) -> list[Member]:
    return [member for member in members if member.name == (law, EVERYWHERE)]


def _noise(points: RunArrays, members: Sequence[Member]) -> float:
    return run_noise(
        points,
        [member.log_loss(points.inputs) - points.log_loss for member in members],
        [len(member.theta) for member in members],
    )


def together(
    points: RunArrays,
    members: Sequence[Member],
    fits: Mapping[str, FitResult],
    nested: Sequence["Nested"],
    noise: float,
) -> Ensemble:
    """Weighs and calibrates some members by the nested extrapolations that hold any of them.

    Args:
        points: the fitted runs.
        members: fitted to them.
        fits: each law's plain fit.
        nested: extrapolations within the fitted runs.
        noise: standard deviation of one run's log loss at the dearest budget.
    """
    names = [member.name for member in members]
    told = [part for split in nested if (part := split.of(names)) is not None]
    shares = dict(zip(names, _weights(names, told).tolist(), strict=True))
    return Ensemble(
        members=tuple(replace(member, weight=shares[member.name]) for member in members),
        fits={name: fit for name, fit in fits.items() if any(member.law.name == name for member in members)},
        calibration=Calibration.of([split.miss(shares) for split in told], noise),
        fitted=points.inputs,
        splits=len(told),
        tested=max((float(split.dear.inputs.c.max() - split.cheap.c.max()) for split in told), default=0.0),
    )


@dataclass(frozen=True)
class Nested:
    """One nested extrapolation: members fitted to the cheaper runs, these, the dearer runs, and the cheaper's share."""

    members: tuple[Member, ...]
    cheap: Inputs
    dear: RunArrays
    share: float

    @property
    def reach(self) -> float:
        """Mean square of how far the dearer runs lie beyond the cheaper."""
        return float(np.mean(beyond(self.cheap, self.dear.inputs) ** 2))

    def of(self, names: Sequence[tuple[str, float]]) -> "Nested | None":
        """With these members alone; None without any."""
        members = tuple(member for member in self.members if member.name in names)
        return replace(self, members=members) if members else None

    def errors(self) -> dict[tuple[str, float], float]:
        """Each member's mean absolute miss, per root-mean-square log(FLOPs / largest FLOPs fitted)."""
        reach = np.sqrt(np.mean((self.dear.inputs.c - self.cheap.c.max()) ** 2))
        return {
            m.name: float(np.mean(np.abs(m.log_loss(self.dear.inputs) - self.dear.log_loss)) / reach)
            for m in self.members
        }

    def miss(self, shares: Mapping[tuple[str, float], float]) -> Miss:
        """What its members miss together."""
        weighed = [replace(m, weight=shares[m.name]) for m in self.members]
        x = self.dear.inputs
        return Miss(
            share=self.share,
            square=float(np.mean((centre(weighed, x) - self.dear.log_loss) ** 2)),
            spread=float(np.mean(spread_of(weighed, x) ** 2)),
            reach=self.reach,
        )


def _nested(points: RunArrays, plan: Mapping[str, Sequence[float]]) -> list[Nested]:
    """Fits the cheaper runs below each threshold by each law, under its foci."""
    found = []
    for number in thresholds(points):
        below = points.budget <= number
        cheap, dear = points.subset(below), points.subset(~below)
        laws = _affordable([LAWS[name] for name in plan], cheap.cells)
        members = [member for law in laws for member in quick(cheap, law, plan[law.name])]
        found.append(Nested(tuple(members), cheap.inputs, dear, len(cheap) / len(points)))
    return found


def thresholds(points: RunArrays) -> list[int]:
    """The dearest budgets to fit (``points.budget``): all whose cheaper side suffices, at most six of them.

    To suffice takes as many distinct (params, tokens) as a fit of most laws at all, and a good part of the runs: what a
    law misses from a few tiny runs tells little about what it misses from all of them.
    """
    found = []
    for number in range(int(points.budget.max())):
        cheap = points.budget <= number
        if cheap.sum() >= _LEAST_SHARE * len(points) and points.subset(cheap).cells >= _FEWEST_CELLS:
            found.append(number)
    if len(found) > _SPLITS:
        found = [found[round(i)] for i in np.linspace(0, len(found) - 1, _SPLITS)]
    return found


def _affordable(laws: Sequence[Law[Inputs]], runs: int) -> list[Law[Inputs]]:
    return [law for law in laws if len(law.names) + 2 <= runs]


def _weights(names: Sequence[tuple[str, float]], nested: Sequence[Nested]) -> Float[np.ndarray, " members"]:
    """Shares that fall with the square of the mean miss per reach; equal where nothing can be nested.

    A member that no nested extrapolation could afford has no share.
    """
    totals, seen = np.zeros(len(names)), np.zeros(len(names))
    for split in nested:
        errors = split.errors()
        for i, name in enumerate(names):
            if name in errors:
                totals[i] += split.share * errors[name] ** 2
                seen[i] += split.share
    if not seen.any():
        return np.full(len(names), 1 / len(names))
    scores = np.where(seen > 0, totals / np.maximum(seen, 1e-12), np.inf)
    shares = max(float(scores.min()), 1e-300) / np.maximum(scores, 1e-300)
    shares = np.where(np.isfinite(shares), shares, 0.0)
    return shares / shares.sum()

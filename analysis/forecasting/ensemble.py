"""The line of a forecast: runs -> candidates -> fits -> rolling-origin folds -> weights -> calibration -> ensemble.

``ensembles_of_arrays`` is the line, and ``Method`` all that may be chosen in it. Every step is a pure function of a
module to itself, and none calls back up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import FitResult, fit_arrays, law_named, on_table, too_few
from analysis.forecasting.baselines import naive_better
from analysis.forecasting.calibration import Calibration, calibrate, fold_error, run_noise
from analysis.forecasting.candidates import (
    ALL_RUNS,
    EQUAL,
    WEIGHTINGS,
    WINDOWS,
    Candidate,
    Weighting,
    Window,
    candidates_of,
    late_weighting,
)
from analysis.forecasting.folds import Fold, rolling_origin_folds
from analysis.forecasting.member import FOLD_RESAMPLES, Member, fit_members
from analysis.forecasting.pooling import pooled_log_loss, pooled_spread
from analysis.forecasting.weights import MemberWeights, shrunk_weights
from analysis.laws import LAWS, Inputs, weighed
from analysis.runs.arrays import RunArrays, beyond
from analysis.runs.stages import shows_size
from analysis.runs.table import RunTable

AUTO = "auto"
_MAJORITY = 0.5
_FEWER = 5  # one in so many resamples suffices where no standard errors are reported


@dataclass(frozen=True)
class Method:
    """The method of ``auto``: its candidate set, and how the folds weigh its members.

    Attributes:
        weightings: of the runs.
        windows: of compute.
        weigh: the members, by their errors in the folds.
    """

    weightings: tuple[Weighting, ...] = WEIGHTINGS
    windows: tuple[Window, ...] = WINDOWS
    weigh: MemberWeights = shrunk_weights


METHOD = Method()
# After fine-tuning no run is far above the frontier, and the last of them tell most of what comes next.
FINE_TUNING = Method(weightings=(EQUAL, late_weighting(float(np.log(4.0)))))


@dataclass(frozen=True)
class Ensemble:
    """A calibrated ensemble of fitted candidates: one law, or several under several weightings and windows.

    Attributes:
        members: whose weights are together 1.
        fits: each law's plain fit, by name.
        calibration: of its intervals.
        fitted: the runs.
        folds: how many rolling-origin folds weighed and calibrated it.
        tested: the largest log(FLOPs / largest fitted FLOPs) of them; 0 without any.
        naive: a warning where a naive forecast missed less in them, of runs of a stage of fine-tuning.
    """

    members: tuple[Member, ...]
    fits: Mapping[str, FitResult]
    calibration: Calibration
    fitted: Inputs
    folds: int
    tested: float
    naive: tuple[Diagnostic, ...] = ()

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each law by name, summed over its members."""
        return {name: sum(m.weight for m in self.members if m.law.name == name) for name in self.fits}

    @property
    def leader(self) -> FitResult:
        """The plain fit of the law with the largest weight."""
        weights = self.weights
        return self.fits[max(weights, key=lambda name: weights[name])]

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Warnings of laws with half of the weight or more together, in the words of the law of most weight."""
        weights = self.weights
        ranked = sorted(self.fits, key=lambda name: -weights[name])
        found: dict[str, list[Diagnostic]] = {}
        behind: dict[str, float] = {}
        for name in ranked:
            for code in dict.fromkeys(warning.code for warning in self.fits[name].warnings):  # in order, each once
                found.setdefault(code, [w for w in self.fits[name].warnings if w.code == code])
                behind[code] = behind.get(code, 0.0) + weights[name]
        usual = tuple(w for code, group in found.items() if behind[code] >= _MAJORITY for w in group)
        return (*usual, *self.naive)

    def expect(self, inputs: Inputs) -> Float[np.ndarray, " rows"]:
        """Forecast loss (rows,) at each point, nats per token."""
        return np.exp(pooled_log_loss(self.members, inputs))

    def predict(
        self, target: Inputs, level: float = 0.9, seeds: int = 1
    ) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
        """Mean loss of some runs at each point, and its interval: (loss, low, high), each (rows,), nats per token.

        Args:
            target: the points.
            level: the probability that an interval holds its loss.
            seeds: how many runs the mean is over.
        """
        centre, spread = pooled_log_loss(self.members, target), pooled_spread(self.members, target)
        half = self.calibration.half_width(spread, beyond(self.fitted, target), level, seeds)
        # Runs that contradict each other may leave any number possible, but it is a number.
        most = np.log(np.finfo(np.float64).max)
        return np.exp(np.minimum(centre, most)), np.exp(centre - half), np.exp(np.minimum(centre + half, most))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """JSON object of each law's fit by name, as in ``scaling fit``; several members are under ``foci``."""
        laws: dict[str, dict[str, Any]] = {}
        for name, fit in self.fits.items():
            members = [member.to_dict() for member in self.members if member.law.name == name]
            laws[name] = {**fit.to_dict(), **({"foci": members} if len(members) > 1 else {})}
        return laws


def method_of(runs: RunArrays) -> Method:
    """The method of these runs: by whether they are of a stage of fine-tuning."""
    return METHOD if runs.stage is None else FINE_TUNING


def ensemble(table: RunTable, law: str = AUTO, bootstrap: int = 1000, method: Method | None = None) -> Ensemble:
    """Fits one law to a table, or with ``auto`` every law that its runs suffice for.

    Args:
        table: the runs.
        law: a name in ``LAWS``, or ``auto``.
        bootstrap: resamples of whole trunks.
        method: of ``auto``; by default that of the kind of runs.

    Raises:
        InputError: for an unknown law, or too few runs for any.
    """
    made = ensemble_of_arrays(table.arrays, law, bootstrap, method)
    return replace(made, fits={name: on_table(fit, table) for name, fit in made.fits.items()})


def ensemble_of_arrays(runs: RunArrays, law: str, bootstrap: int, method: Method | None = None) -> Ensemble:
    """Fits one law, or ``auto``, to arrays of runs: :func:`ensemble` without a table's warnings and hash."""
    found = ensembles_of_arrays(runs, [law], bootstrap, method)
    if law in found:
        return found[law]
    if law != AUTO:
        raise InputError(too_few(law_named(law), len(runs)))
    fewest = min(len(x.names) for x in LAWS.values()) + 2
    raise InputError(f"{len(runs)} runs are too few for any law: {fewest} or more are needed")


def ensembles_of_arrays(
    runs: RunArrays, names: Sequence[str], bootstrap: int, method: Method | None = None
) -> dict[str, Ensemble]:
    """Ensembles of several laws and ``auto`` on arrays of runs, with every fit made once.

    Returns:
        Ensembles by name, without those that the runs do not suffice for.
    """
    method = method_of(runs) if method is None else method
    candidates = _candidates(runs, names, method)
    fits = {law: fit_arrays(runs, LAWS[law], bootstrap) for law in candidates}
    resamples = max(bootstrap // _FEWER, min(bootstrap, FOLD_RESAMPLES))
    members = [m for law, fit in fits.items() for m in fit_members(runs, fit, candidates[law], resamples)]
    folds = rolling_origin_folds(runs, [each for of_law in candidates.values() for each in of_law])
    of_auto = weighed_of(runs)
    groups = {name: [m for m in members if _takes_part(m.candidate, name, method, of_auto)] for name in names}
    return {
        name: combine(runs, group, fits, folds, _noise(runs, group), method.weigh)
        for name, group in groups.items()
        if group
    }


def combine(
    runs: RunArrays,
    members: Sequence[Member],
    fits: Mapping[str, FitResult],
    folds: Sequence[Fold],
    noise: float,
    weigh: MemberWeights = shrunk_weights,
) -> Ensemble:
    """Combines members into an ensemble, weighed and calibrated by the folds that hold any of them.

    Args:
        runs: the fitted runs.
        members: fitted to them.
        fits: each law's plain fit.
        folds: rolling-origin folds of the runs.
        noise: standard deviation of one run's log loss at the highest budget.
        weigh: the members, by their errors in the folds.
    """
    names = [member.candidate.name for member in members]
    own = [part for fold in folds if (part := fold.of(names)) is not None]
    weights = dict(zip(names, weigh(names, own).tolist(), strict=True))
    errors = [fold_error(fold, weights) for fold in own]
    return Ensemble(
        members=tuple(replace(member, weight=weights[member.candidate.name]) for member in members),
        fits={name: fit for name, fit in fits.items() if any(member.law.name == name for member in members)},
        calibration=calibrate(errors, noise, pooled=len(members) > 1, tuned=runs.stage is not None),
        fitted=runs.inputs,
        folds=len(own),
        tested=max((fold.reach for fold in own), default=0.0),
        naive=tuple(naive_better(runs, errors)) if runs.stage is not None else (),
    )


def weighed_of(runs: RunArrays) -> tuple[str, ...]:
    """Names of the laws that ``auto`` weighs for these runs.

    After fine-tuning, laws of size and data where the runs show what size does, else of the data alone.
    """
    if runs.stage is None:
        return weighed()
    sized = shows_size(runs)
    return tuple(name for name in weighed(fine_tuning=True) if ("params" in LAWS[name].needs) == sized)


def _candidates(runs: RunArrays, names: Sequence[str], method: Method) -> dict[str, list[Candidate]]:
    """Candidates by law that the runs suffice for: the plain one of each named law, and all that ``auto`` weighs."""
    alone = {law_named(name).name for name in names if name != AUTO}
    of_auto = set(weighed_of(runs)) if AUTO in names else set()
    found = {}
    for name, law in LAWS.items():
        every = candidates_of(law, method.weightings, method.windows) if name in of_auto else []
        if name in alone and not any(each.plain for each in every):
            every = [Candidate(law), *every]
        if enough := [each for each in every if each.suits(runs)]:
            found[name] = enough
    return found


def _takes_part(candidate: Candidate, name: str, method: Method, of_auto: Sequence[str]) -> bool:
    """Whether a candidate belongs to an ensemble: ``auto``, or that of a law, which has the plain candidate alone."""
    if name != AUTO:
        return candidate.plain and candidate.law.name == name
    chosen = candidate.weighting in method.weightings and candidate.window in method.windows
    return chosen and candidate.law.name in of_auto


def _noise(runs: RunArrays, members: Sequence[Member]) -> float:
    whole = [member for member in members if member.candidate.window == ALL_RUNS]
    residuals = [member.log_loss(runs.inputs) - runs.log_loss for member in whole]
    return run_noise(runs, residuals, [len(member.theta) for member in whole])

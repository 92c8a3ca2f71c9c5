"""The runs to buy next that make the forecast of a target most precise for given FLOPs.

Candidates are the sizes of a family at a series of budgets, around the optimal size of each by the candidate laws:
those that the finished runs suffice to fit, a published one, the default one. The design selects the runs that reduce
the posterior variance most (``selection.py``), after those without which no law is identified (``identifiability.py``).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from analysis.design.identifiability import cheapest_identifying, joined, optimal_size, unidentified, unmet_conditions
from analysis.design.posterior import CandidateLaw, default_law
from analysis.design.seeds import PlannedCell
from analysis.design.selection import candidate_laws, cells_of, inputs_of, select_runs, std_ratio
from analysis.design.simulate import ExpectedForecast, simulate_forecast
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.fit import FitResult, fit_arrays
from analysis.laws import LAWS, Inputs
from analysis.runs.arrays import RunArrays, inputs_at

# Most of the FLOPs to spend, and of the target's FLOPs, that one run may take.
SPEND_SHARE, TARGET_SHARE = 0.2, 1 / 3
_STEP, _STEPS = np.sqrt(10.0), 7  # between budgets, and how many there are
_SIDE = np.log(4.0)  # reach of the sizes to either side of a budget's optimal size
_MAX_SIDE = np.log(64.0)
_USUAL_RATIO = 20.0  # tokens per parameter (2203.15556)
_MAX_UNEXPLAINED = 0.5  # share of the variance of the log losses
_UNEXPLAINED = "their losses hardly depend on parameters and tokens"
_TIMES, _MOST_TIMES = 10.0, 1e10  # by which a spend that is too small is raised until it suffices

# (FLOPs, fewest and most parameters) -> the runs of that budget that can be bought, ``seeds`` the most of each.
Offer = Callable[[float, float, float], Sequence[PlannedCell]]


@dataclass(frozen=True)
class Design:
    """Runs to buy.

    Attributes:
        cells: in order of FLOPs.
        max_run_flops: FLOPs that no run exceeds.
        before: the expected forecast without them; None where the finished runs identify no law.
        after: the expected forecast with them: ``before`` scaled by the posterior (``std_ratio``). A simulation of its
            own could make more runs seem worse, or uninformative runs seem useful, by chance.
        warnings: in words and codes.
    """

    cells: tuple[PlannedCell, ...]
    max_run_flops: float
    before: ExpectedForecast | None
    after: ExpectedForecast | None
    warnings: tuple[Diagnostic, ...]

    @property
    def flops(self) -> float:
        """All runs together."""
        return sum(cell.flops * cell.seeds for cell in self.cells)


def design(
    offer: Offer,
    target: PlannedCell,
    spend: float,
    finished: RunArrays | None = None,
    published: FitResult | None = None,
    budgets: Sequence[float] = (),
) -> Design:
    """Chooses runs.

    Args:
        offer: of runs.
        target: of the forecast.
        spend: FLOPs.
        finished: runs that there are.
        published: a paper's fit in place of finished runs.
        budgets: FLOPs that runs are to have exactly where a budget lies near.

    Raises:
        InputError: an impossible target, or FLOPs that cannot identify a law; names the fewest that can.
    """
    _check(target, spend, finished)
    task = _Task(offer, target, finished, published, budgets)
    menu = task.menu(spend)
    start = task.needed(menu, spend)
    if start is None:
        raise InputError(_refusal(task, menu, spend))
    if not menu.cells:
        raise InputError(f"at most {menu.max_run_flops:.3g} FLOPs each, no run of this family is worth training")
    choice = select_runs(menu.cells, target, spend, menu.laws, finished, start)
    bought = [replace(cell, seeds=int(n)) for cell, n in zip(menu.cells, choice.seeds, strict=True) if n]
    if not bought:
        least = min(cell.flops for cell in menu.cells)
        raise InputError(f"{spend:.3g} FLOPs buy no run of this family that would add information (from {least:.3g})")
    old = [] if finished is None else cells_of(finished)
    if finished is None or task.unmet:
        before, after = None, simulate_forecast([*old, *bought], target)
    else:
        before = after = simulate_forecast(old, target, finished)
        if before is not None:
            by = std_ratio(bought, target, task.fitted, finished)
            after = replace(before, half_width=by * before.half_width, error=by * before.error)
    return Design(
        cells=tuple(sorted(bought, key=lambda cell: (cell.flops, cell.params))),
        max_run_flops=menu.max_run_flops,
        before=before,
        after=after,
        warnings=tuple(_warnings(task, bought)),
    )


def _check(target: PlannedCell, spend: float, finished: RunArrays | None) -> None:
    """Refuses what no design can be made for."""
    errors = [
        f"the target's {name} are {value:.3g}: at least 1 is needed"
        for name, value in (("parameters", target.params), ("tokens", target.tokens))
        if value < 1
    ]
    most = 0.0 if finished is None else float(np.exp(finished.inputs.c.max()))
    if not np.isfinite(target.flops):
        errors.append("the target needs more FLOPs than can be counted")
    elif target.flops <= most:
        errors.append(
            f"the target takes {target.flops:.3g} FLOPs, and the largest finished run took {most:.3g}: "
            "it is no extrapolation"
        )
    elif spend >= target.flops:
        errors.append(f"{spend:.3g} FLOPs pay for the target itself, which takes {target.flops:.3g}: train it instead")
    if errors:
        raise InputError(errors)


@dataclass(frozen=True)
class _Menu:
    """Runs that can be bought, the candidate laws, and the FLOPs that no run exceeds."""

    cells: list[PlannedCell]
    laws: list[CandidateLaw]
    max_run_flops: float


@dataclass(frozen=True)
class _Task:
    """The arguments of :func:`design` but for the FLOPs to spend."""

    offer: Offer
    target: PlannedCell
    finished: RunArrays | None
    published: FitResult | None
    budgets: Sequence[float]

    @cached_property
    def aim(self) -> Inputs:
        """Inputs of the target."""
        return inputs_of([self.target])

    @cached_property
    def unmet(self) -> tuple[str, ...]:
        """What the finished runs lack to identify a law; empty where there are none."""
        if self.finished is None:
            return ()
        reasons = tuple(unidentified(self.finished.inputs))
        return reasons or ((_UNEXPLAINED,) if _unexplained(self.finished) else ())

    @cached_property
    def fitted(self) -> list[CandidateLaw]:
        """Laws of a paper, or of finished runs that identify one."""
        if self.published is not None:
            return _published_laws(self.published, np.geomspace(1e-9, 1e-2, 8) * self.target.flops)
        return [] if self.finished is None or self.unmet else candidate_laws(self.finished)

    def menu(self, spend: float) -> _Menu:
        """Candidates around the optimal size of each budget."""
        most = min(SPEND_SHARE * spend, TARGET_SHARE * self.target.flops)
        series = [_rounded(most / _STEP**number) for number in range(_STEPS)]
        near = [budget for budget in self.budgets if series[-1] / _STEP <= budget <= most]
        flops = near + [x for x in series if all(abs(np.log(x / b)) > np.log(_STEP) / 2 for b in near)]
        middle = float(np.exp(np.log(flops).mean()))
        n = np.sqrt(middle / 6 / _USUAL_RATIO)
        laws = [default_law(inputs_at(n, _USUAL_RATIO * n, middle)), *self.fitted]
        # Where the target is off the optimal size of its budget, as over-trained models are, sizes reach that way.
        off = float((self.aim.n - optimal_size(laws, self.aim.c))[0])
        fewer, more = (np.exp(min(max(_SIDE, way * off + np.log(2)), _MAX_SIDE)) for way in (-1, 1))
        best = np.exp(optimal_size(laws, np.log(flops)))
        offered = [self.offer(c, float(n / fewer), float(n * more)) for c, n in zip(flops, best, strict=True)]
        return _Menu([cell for cells in offered for cell in cells], laws, most)

    def needed(self, menu: _Menu, spend: float) -> Int[np.ndarray, " candidates"] | None:
        """Runs of each candidate that identify a law at least cost; None if the FLOPs do not buy them."""
        return cheapest_identifying(
            menu.cells, None if self.finished is None else self.finished.inputs, self.aim, menu.laws, spend
        )

    def runs(self, more: Sequence[PlannedCell]) -> Inputs:
        """Inputs of the finished runs and others."""
        return inputs_of(more) if self.finished is None else joined(self.finished.inputs, inputs_of(more))


def _unexplained(points: RunArrays) -> bool:
    """Whether a law leaves most of the variance of the runs' log losses unexplained."""
    residual = np.log(fit_arrays(points, LAWS["chinchilla"]).predict(points.inputs)) - points.log_loss
    return bool(residual.var() >= _MAX_UNEXPLAINED * points.log_loss.var())


def _rounded(flops: float) -> float:
    """FLOPs rounded down to two digits."""
    unit = 10.0 ** (np.floor(np.log10(flops)) - 1)
    return float(f"{np.floor(flops / unit * (1 + 1e-9)) * unit:.1e}")


def _published_laws(published: FitResult, budgets: Float[np.ndarray, " budgets"]) -> list[CandidateLaw]:
    """Chinchilla's and skaling's law fitted to the predictions of a published one over the budgets."""
    flops, ratio = (x.ravel() for x in np.meshgrid(budgets, np.geomspace(2.0, 200.0, 7)))
    n = np.sqrt(flops / 6 / ratio)
    at = inputs_at(n, ratio * n, flops)
    each = np.arange(len(n))
    points = RunArrays(at, np.log(published.predict(at)), each, each)
    return [(name, fit_arrays(points, LAWS[name]).params) for name in ("chinchilla", "skaling")]


def _refusal(task: _Task, menu: _Menu, spend: float) -> list[str]:
    """Why the FLOPs do not suffice, and the fewest that do."""
    lacks = list(unmet_conditions(task.runs(menu.cells), task.aim, menu.laws))
    if not lacks:
        lacks = list(unmet_conditions(task.runs([]), task.aim, menu.laws))
    least = _least(task, spend)
    return [
        f"{spend:.3g} FLOPs, at most {menu.max_run_flops:.3g} a run, do not identify a law; "
        + ("nor do more, with the sizes of this family" if least is None else f"about {least:.2g} do"),
        *(f"without more: {reason}" for reason in lacks),
    ]


def _least(task: _Task, spend: float) -> float | None:
    """The fewest FLOPs that identify a law, to 10 %; None if that is as much as the target takes."""

    def suffices(tried: float) -> bool:
        return task.needed(task.menu(tried), tried) is not None

    low, high = spend, spend * _TIMES
    while not suffices(high):
        low, high = high, high * _TIMES
        if high >= min(task.target.flops, spend * _MOST_TIMES):
            return None
    while high > 1.1 * low:
        tried = np.sqrt(low * high)
        low, high = (low, tried) if suffices(tried) else (tried, high)
    return float(high)


def _warnings(task: _Task, bought: Sequence[PlannedCell]) -> Iterator[Diagnostic]:
    if task.unmet:
        yield Diagnostic(
            "few-runs",
            f"the finished runs identify no law ({'; '.join(task.unmet)}): what is bought, and the "
            "half-width to expect, go by a default law",
        )
    c = task.runs(bought).c
    reach, span = float(task.aim.c[0] - c.max()), float(np.ptp(c))
    if reach > max(span, np.log(10.0)):
        yield Diagnostic(
            "far-extrapolation",
            f"the target needs {np.exp(reach):.3g} times the FLOPs of the largest run, and the runs span "
            f"{np.exp(span):.3g} times: expect little of any interval",
        )

"""The expected interval of a planned sweep's forecast, by simulation of the sweep.

Losses are drawn for every planned run from a law and the noise between seeds. The forecaster of
``forecasting/ensemble.py`` then forecasts from each draw: every law under every weighting, weighed and calibrated by
rolling-origin folds. All draws are fitted at once, each from the fit to losses without noise, and serve each other as
resamples.

Where finished runs determine law and noise, their law is the truth of the simulation, and the error that no law
describes makes real intervals wider. Otherwise runs scatter about a default law as those of published tables do, which
is a guess: tables differ by more than a design shows. ``benchmarks/plan.md`` compares both with real intervals.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from analysis.design.seeds import FEWEST_CELLS, PlannedCell
from analysis.fitting.fit import fit_arrays
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.forecasting.calibration import run_noise
from analysis.forecasting.candidates import candidates_of
from analysis.forecasting.ensemble import Ensemble, combine
from analysis.forecasting.folds import Fold, origins
from analysis.forecasting.member import Member
from analysis.laws import LAWS, Inputs, weighed
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.seed_noise import seed_noise

# Neither the simplest of the laws that forecast nor the most flexible: with Chinchilla's as the truth, which most
# others contain, all laws agree as they never do on real runs, and intervals are half as wide.
_TRUTH = LAWS["skaling"]
# Parameters and tokens each have an exponent of .35 (2203.15556), a product of the inner exponents and the outer one.
_POWER, _OUTER = 0.35, 1.4
# Standard deviation of a published table's high-compute runs, mostly of one seed, about the law that fits them best:
# the median of the twelve tables of ``benchmarks/plan.md``, from 0.13 % to 1.1 %. The seeds of a cell share what the
# noise between seeds does not account for.
_SCATTER = 0.004
# The fit to losses without noise is a close start.
_STEPS, _TOLERANCE = 30, 1e-4

Truth = Callable[[Inputs], Float[np.ndarray, " rows"]]
Noise = Callable[[Float[np.ndarray, " rows"]], Float[np.ndarray, " rows"]]


@dataclass(frozen=True)
class ExpectedForecast:
    """Expected interval and error of a design's forecast.

    The half-width has one digit or two: other draws change it by a tenth.

    Attributes:
        half_width: median over the draws of half the width of the interval, as a fraction of the loss.
        level: the nominal coverage of the interval.
        error: median absolute error of the simulated forecasts, as a fraction of the loss.
        noise: standard deviation of the log loss between seeds of the runs with the most FLOPs.
        fitted: whether truth and noise are those of finished runs, rather than the default ones.
    """

    half_width: float
    level: float
    error: float
    noise: float
    fitted: bool

    @property
    def half_width_text(self) -> str:
        """The half-width with its significant digits, in percent."""
        return f"{self.half_width:.{1 if self.half_width < 0.02 else 0}%}"


def simulate_forecast(
    cells: Sequence[PlannedCell],
    target: PlannedCell,
    fitted: RunArrays | None = None,
    level: float = 0.9,
    draws: int = 12,
) -> ExpectedForecast | None:
    """Simulates the forecast of a design; None with fewer than seven cells, which identify no law.

    Args:
        cells: every run that will be fitted, those already finished included; in any order.
        target: of the forecast, which is of the mean loss of its seeds.
        fitted: finished runs that determine the law and the noise, seven cells or more and enough to fit it. Otherwise
            the law is a default one with terms of a third of the loss each at the middle of the design, runs scatter
            about it by 0.4 % or more, and the noise is ``default_noise``.
        level: of the interval.
        draws: sweeps to simulate, two or more.
    """
    if len(cells) < FEWEST_CELLS:
        return None
    if fitted is not None and (fitted.cells < FEWEST_CELLS or len(fitted) < len(_TRUTH.names) + 2):
        fitted = None
    cells = sorted(cells, key=lambda cell: (cell.flops, cell.params, cell.tokens, cell.seeds))
    at = inputs_at(*np.array([(cell.params, cell.tokens, cell.flops) for cell in cells], float).T)
    aim = inputs_at(target.params, target.tokens, target.flops)
    design = _Design(at, np.array([cell.seeds for cell in cells]))
    truth, noise = (_default_truth(at), default_noise) if fitted is None else _fitted_truth(fitted)
    std = noise(np.exp(design.rows.c))
    random = np.random.default_rng(0)
    errors = std * random.standard_normal((draws, len(std)))
    if fitted is None:
        missed = np.sqrt(np.maximum(_SCATTER**2 - noise(np.exp(at.c)) ** 2, 0.0))
        errors += (missed * random.standard_normal((draws, len(cells))))[:, design.cell]
    largest_noise = float(std[design.rows.c.argmax()])
    forecasts = design.forecasts(np.log(truth(at)), errors, largest_noise)
    loss, low, high = np.log([forecast.predict(aim, level, target.seeds) for forecast in forecasts])[:, :, 0].T
    return ExpectedForecast(
        half_width=float(np.median(high - low)) / 2,
        level=level,
        error=float(np.median(np.abs(loss - np.log(truth(aim))))),
        noise=largest_noise,
        fitted=fitted is not None,
    )


def default_noise(flops: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Standard deviation of the log loss between seeds by FLOPs, without replicates to estimate it.

    0.6 % at 1e11 FLOPs, as in ``benchmarks/quickstart``, and less by a power of the FLOPs down to the 0.1 % of real
    language models, from 1e18 FLOPs on; 1.5 % at most.
    """
    return np.clip(0.006 * (flops / 1e11) ** (np.log(1 / 6) / np.log(1e7)), 0.001, 0.015)


def _default_truth(at: Inputs) -> Truth:
    inner = _POWER / _OUTER
    # The second and the third term together are twice the first, at the middle.
    half = 2 ** (1 / _OUTER) / 2
    law = {"E": 1.0, "alpha": inner, "beta": inner, "k": _OUTER}
    law |= {"A": half * float(np.exp(inner * at.n.mean())), "B": half * float(np.exp(inner * at.d.mean()))}
    return lambda inputs: _TRUTH.predict(law, inputs)


def _fitted_truth(points: RunArrays) -> tuple[Truth, Noise]:
    fit = fit_arrays(points, _TRUTH)
    trend = seed_noise(points).trend
    if trend is not None:
        return fit.predict, trend.at
    std = run_noise(points, [np.log(fit.predict(points.inputs)) - points.log_loss], [len(fit.params)])
    return fit.predict, lambda flops: np.full(len(flops), std)


@dataclass(frozen=True)
class _Design:
    """Planned runs. Laws are fitted to the means of cells, which is quicker, and tested on the runs.

    Attributes:
        cells: one entry per cell.
        seeds: runs of each cell.
    """

    cells: Inputs
    seeds: Int[np.ndarray, " cells"]

    @cached_property
    def cell(self) -> Int[np.ndarray, " rows"]:
        """The number of each run's cell."""
        return np.repeat(np.arange(len(self.seeds)), self.seeds)

    @cached_property
    def rows(self) -> Inputs:
        """One entry per run."""
        return self.cells.take(self.cell)

    def forecasts(
        self, smooth: Float[np.ndarray, " cells"], errors: Float[np.ndarray, "draws rows"], noise: float
    ) -> list[Ensemble]:
        """The ensemble of each draw.

        Args:
            smooth: log losses of the cells without noise.
            errors: of the runs' log losses.
            noise: standard deviation of the errors of the runs with the most FLOPs.
        """
        number = np.arange(errors.shape[1])
        tables = [RunArrays(self.rows, smooth[self.cell] + error, number, self.cell) for error in errors]
        means = np.stack([np.bincount(self.cell, table.log_loss) / self.seeds for table in tables])
        start = {
            name: best_of_starts(LAWS[name], self.cells, smooth, self.seeds.astype(float)).value[0]
            for name in weighed()
            if len(LAWS[name].names) + 2 <= len(number)
        }
        members = self._members(start, np.ones(len(smooth), bool), smooth, means)
        folds: list[list[Fold]] = [[] for _ in tables]
        for budget in origins(tables[0]):
            below = tables[0].budget <= budget
            kept = np.isin(np.arange(len(smooth)), self.cell[below])
            affordable = {name: theta for name, theta in start.items() if len(theta) + 2 <= kept.sum()}
            cheap, share = self.rows.take(below), float(below.mean())
            for table, own, found in zip(tables, self._members(affordable, kept, smooth, means), folds, strict=True):
                found.append(Fold(own, cheap, table.subset(~below), share))
        return [combine(table, own, {}, found, noise) for table, own, found in zip(tables, members, folds, strict=True)]

    def _members(
        self,
        start: Mapping[str, Float[np.ndarray, " params"]],
        kept: Bool[np.ndarray, " cells"],
        smooth: Float[np.ndarray, " cells"],
        means: Float[np.ndarray, "draws cells"],
    ) -> list[tuple[Member, ...]]:
        """Each draw's members, fitted to some of the cells; the other draws' fits tell how far theirs scatter."""
        cells, draws, number = self.cells.take(kept), len(means), np.arange(kept.sum())
        points = RunArrays(cells, smooth[kept], number, number)
        members: list[list[Member]] = [[] for _ in means]
        for name, theta in start.items():
            law = LAWS[name]
            for candidate in [each for each in candidates_of(law) if each.suits(points)]:
                weight = self.seeds[kept] * candidate.run_weights(points)
                weights, starts = (np.tile(row, (draws, 1)) for row in (weight / weight.mean(), theta))
                found = minimise(law, cells, means[:, kept], weights, starts, _STEPS, _TOLERANCE).value
                scatter = (found - found.mean(axis=0)) * np.sqrt(draws / (draws - 1))
                for own, best in zip(members, found, strict=True):
                    own.append(Member(candidate, best, np.clip(best + scatter, *law.bounds)))
        return [tuple(own) for own in members]

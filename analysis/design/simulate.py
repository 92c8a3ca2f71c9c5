"""The interval that a planned sweep's forecast can be expected to have: the sweep is simulated, and forecast.

Losses are drawn for every planned run from a law and the noise between seeds. The forecaster of
``forecasting/ensemble.py`` then makes its forecast of each draw: every law under every focus, weighed and
calibrated by nested extrapolations. All draws are fitted at once, each from the fit to losses without noise, and serve
each other as resamples.

Where finished runs tell law and noise, the truth is held to be their law, and what no law describes widens real
intervals beyond those told here. Where none do, runs scatter about a usual law as those of published tables do, which
is a guess: tables differ by more than a design tells. How close either comes is told by ``benchmarks/plan.md``.
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

# Not the simplest of the laws that forecast, nor the most flexible: where the truth is Chinchilla's, which most others
# contain, all agree as they never do on real runs, and intervals come out half as wide.
_TRUTH = LAWS["skaling"]
# Parameters and tokens each buy by a power of .35 (2203.15556), shared out between the inner exponents and the outer.
_POWER, _OUTER = 0.35, 1.4
# Standard deviation of a published table's dearer runs, mostly of one seed, about the law that fits them best: the
# median of the twelve tables of ``benchmarks/plan.md``, from 0.13 % to 1.1 %. What noise between seeds does not account
# for, a cell's seeds share.
_SCATTER = 0.004
# From the fit to losses without noise it is not far.
_STEPS, _TOLERANCE = 30, 1e-4

Truth = Callable[[Inputs], Float[np.ndarray, " rows"]]
Noise = Callable[[Float[np.ndarray, " rows"]], Float[np.ndarray, " rows"]]


@dataclass(frozen=True)
class ExpectedForecast:
    """What a design's forecast can be expected to be worth.

    Its width is a figure of one digit or two: other draws would move it by a tenth of itself.

    Attributes:
        half_width: median over the draws of half the width of the interval, as a share of the loss.
        level: the probability that an interval holds the loss.
        error: median absolute error of the simulated forecasts, as a share of the loss.
        noise: standard deviation of the log loss between seeds of the dearest runs.
        fitted: whether truth and noise are those of finished runs, rather than usual ones.
    """

    half_width: float
    level: float
    error: float
    noise: float
    fitted: bool

    @property
    def told(self) -> str:
        """The half-width with the digits that it is worth."""
        return f"{self.half_width:.{1 if self.half_width < 0.02 else 0}%}"


def simulate_forecast(
    cells: Sequence[PlannedCell],
    target: PlannedCell,
    fitted: RunArrays | None = None,
    level: float = 0.9,
    draws: int = 12,
) -> ExpectedForecast | None:
    """Simulates a design; None with fewer than seven cells, which tell no law.

    Args:
        cells: every run that will be fitted, those already finished included; in any order.
        target: of the forecast, which is of the mean loss of its seeds.
        fitted: finished runs that tell the law and the noise, seven cells or more and enough to fit it. Otherwise the
            law is a usual one, each of whose terms is a third of the loss at the middle of the design, from which runs
            scatter by 0.4 % or more, and the noise is ``default_noise``.
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
    truth, noise = (_usual(at), default_noise) if fitted is None else _told_by(fitted)
    std = noise(np.exp(design.rows.c))
    random = np.random.default_rng(0)
    errors = std * random.standard_normal((draws, len(std)))
    if fitted is None:
        missed = np.sqrt(np.maximum(_SCATTER**2 - noise(np.exp(at.c)) ** 2, 0.0))
        errors += (missed * random.standard_normal((draws, len(cells))))[:, design.cell]
    dearest = float(std[design.rows.c.argmax()])
    forecasts = design.forecasts(np.log(truth(at)), errors, dearest)
    loss, low, high = np.log([forecast.predict(aim, level, target.seeds) for forecast in forecasts])[:, :, 0].T
    return ExpectedForecast(
        half_width=float(np.median(high - low)) / 2,
        level=level,
        error=float(np.median(np.abs(loss - np.log(truth(aim))))),
        noise=dearest,
        fitted=fitted is not None,
    )


def default_noise(flops: Float[np.ndarray, " rows"]) -> Float[np.ndarray, " rows"]:
    """Standard deviation of the log loss between seeds, where no replicates tell it.

    0.6 % at 1e11 FLOPs, as in ``benchmarks/quickstart``, and less by a power of the FLOPs down to the 0.1 % of usual
    language models, from 1e18 FLOPs on; 1.5 % at most.
    """
    return np.clip(0.006 * (flops / 1e11) ** (np.log(1 / 6) / np.log(1e7)), 0.001, 0.015)


def _usual(at: Inputs) -> Truth:
    inner = _POWER / _OUTER
    # The second and the third term together are twice the first, at the middle.
    half = 2 ** (1 / _OUTER) / 2
    law = {"E": 1.0, "alpha": inner, "beta": inner, "k": _OUTER}
    law |= {"A": half * float(np.exp(inner * at.n.mean())), "B": half * float(np.exp(inner * at.d.mean()))}
    return lambda inputs: _TRUTH.predict(law, inputs)


def _told_by(points: RunArrays) -> tuple[Truth, Noise]:
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
            noise: standard deviation of the dearest runs' errors.
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
            for candidate in candidates_of(law):
                weight = self.seeds[kept] * candidate.run_weights(points)
                weights, starts = (np.tile(row, (draws, 1)) for row in (weight / weight.mean(), theta))
                found = minimise(law, cells, means[:, kept], weights, starts, _STEPS, _TOLERANCE).value
                scatter = (found - found.mean(axis=0)) * np.sqrt(draws / (draws - 1))
                for own, best in zip(members, found, strict=True):
                    own.append(Member(candidate, best, np.clip(best + scatter, *law.bounds)))
        return [tuple(own) for own in members]

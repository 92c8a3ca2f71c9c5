"""The runs to buy next that minimise the variance of a target's forecast for given FLOPs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from analysis.design.posterior import CandidateLaw, Posterior, useful_seeds
from analysis.design.seeds import PlannedCell
from analysis.design.simulate import default_noise
from analysis.fitting.fit import fit_arrays
from analysis.forecasting.calibration import run_noise
from analysis.laws import LAWS, Inputs
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.seed_noise import seed_noise

# Candidate laws beside the default one, where there are runs to fit them to.
_LAWS = ("chinchilla", "chinchilla-tied", "skaling")
# However small a run is, starting it takes time too: none counts for less than this share of the FLOPs to spend.
_LEAST_PRICE = 1 / 500
_MOST_CELLS = 300
_SAME = 0.01  # log params or tokens by which runs of one cell may differ: a length is a whole number of steps
_WORTHWHILE = 1e-4  # part of the standard deviation that an exchange of runs must gain


@dataclass(frozen=True)
class Selection:
    """Runs to buy.

    Attributes:
        seeds: how many runs of each candidate.
        before: standard deviation of the forecast's log loss without them, by the posterior.
        after: the same with them.
    """

    seeds: Int[np.ndarray, " candidates"]
    before: float
    after: float


def select_runs(
    candidates: Sequence[PlannedCell],
    target: PlannedCell,
    spend: float,
    laws: Sequence[CandidateLaw],
    finished: RunArrays | None = None,
    bought: Int[np.ndarray, " candidates"] | None = None,
) -> Selection:
    """Selects the runs that minimise the posterior variance of the target for the FLOPs to spend.

    First the run that lowers the variance most per FLOP, again and again while there are FLOPs left; then, from the
    most expensive, each run is exchanged for what else its FLOPs would buy, where that is better.

    Args:
        candidates: runs that can be bought; of each at most ``seeds``.
        target: of the forecast.
        spend: FLOPs.
        laws: the default one first, then those of :func:`candidate_laws`, or a paper's. The default one stays whatever
            is fitted: constants fitted to few runs may imply that nothing can be learned.
        finished: runs that there are.
        bought: runs of each candidate that are bought in any case, from the same FLOPs.
    """
    posterior = _posterior(candidates, target, laws, finished)
    useful = useful_seeds(inputs_of((*candidates, target)), posterior.noise) - _had(candidates, finished)
    most = np.minimum([cell.seeds for cell in candidates], useful)
    price = prices(candidates, spend)
    start = np.zeros(len(candidates), np.int64) if bought is None else bought

    def filled(seeds: Int[np.ndarray, " candidates"], but: int | None) -> tuple[Int[np.ndarray, " candidates"], float]:
        """Adds what else the FLOPs buy, except one candidate; returns the seeds and the standard deviation."""
        seeds, now = seeds.copy(), posterior.given(seeds)
        left = spend * (1 + 1e-9) - float(seeds @ price)
        while True:
            can = (price <= left) & (seeds < most)
            if but is not None:
                can[but] = False
            worth = np.where(can, now.variance_reductions() / price, 0.0)
            row = int(np.argmax(worth))
            if worth[row] <= 0:
                return seeds, now.std
            seeds[row] += 1
            left -= price[row]
            now = now.with_run(row)

    seeds, std = filled(start, None)
    for row in np.argsort(-price, kind="stable").tolist():
        if seeds[row] > start[row]:
            other, reached = filled(seeds - (np.arange(len(seeds)) == row), row)
            if reached < std * (1 - _WORTHWHILE):
                seeds, std = other, reached
    return Selection(seeds, posterior.std, std)


def prices(candidates: Sequence[PlannedCell], spend: float) -> Float[np.ndarray, " candidates"]:
    """Price of a run of each candidate: its FLOPs, and at least what it takes to start any run."""
    return np.maximum(np.array([cell.flops for cell in candidates], float), _LEAST_PRICE * spend)


def candidate_laws(finished: RunArrays) -> list[CandidateLaw]:
    """The laws that the finished runs suffice to fit, each with its constants."""
    enough = [name for name in _LAWS if finished.cells >= len(LAWS[name].names) + 2]
    return [(name, fit_arrays(finished, LAWS[name]).params) for name in enough]


def _posterior(
    candidates: Sequence[PlannedCell], target: PlannedCell, laws: Sequence[CandidateLaw], finished: RunArrays | None
) -> Posterior:
    """Posterior of the candidates and the target given the finished runs."""
    at = inputs_of((*candidates, target))
    if finished is None:
        return Posterior.prior(at, laws, default_noise(np.exp(at.c[:-1])))
    cells, seeds = _merged(finished)
    at = Inputs(*(np.concatenate([getattr(cells, name), getattr(at, name)]) for name in "ndcu"))
    flops = np.exp(at.c[:-1])
    posterior = Posterior.prior(at, laws, _noise(finished, laws[1:], flops))
    new = np.arange(len(flops)) >= len(seeds)
    return posterior.given(np.concatenate([seeds, np.zeros(len(candidates), np.int64)])).subset(new)


def std_ratio(
    bought: Sequence[PlannedCell], target: PlannedCell, laws: Sequence[CandidateLaw], finished: RunArrays
) -> float:
    """The standard deviation of the forecast's log loss with further runs, over that without them: at most 1.

    Runs with fewer FLOPs than all finished ones count for nothing: a posterior with nearly exact laws would learn their
    exponents from the tiniest runs, which real forecasts do not.

    Args:
        bought: the further runs.
        target: of the forecast.
        laws: that the finished runs identify.
        finished: runs that there are.
    """
    counted = [cell for cell in bought if np.log(cell.flops) >= finished.inputs.c.min() - _SAME]
    cells, seeds = _merged(finished)
    at = inputs_of((*counted, target))
    at = Inputs(*(np.concatenate([getattr(cells, name), getattr(at, name)]) for name in "ndcu"))
    posterior = Posterior.prior(at, laws, _noise(finished, laws, np.exp(at.c[:-1])))
    more = np.array([cell.seeds for cell in counted], np.int64)
    with_them, without = (posterior.given(np.concatenate([seeds, n])).std for n in (more, np.zeros_like(more)))
    return with_them / without


def inputs_of(cells: Sequence[PlannedCell]) -> Inputs:
    """One row for each cell."""
    return inputs_at(*np.array([(cell.params, cell.tokens, cell.flops) for cell in cells], float).reshape(-1, 3).T)


def _had(candidates: Sequence[PlannedCell], finished: RunArrays | None) -> Int[np.ndarray, " candidates"]:
    """How many finished runs are seeds of each candidate."""
    if finished is None:
        return np.zeros(len(candidates), np.int64)
    at, old = inputs_of(candidates), finished.inputs
    apart = np.maximum(np.abs(at.n[:, None] - old.n), np.abs(at.d[:, None] - old.d))
    return (apart < _SAME).sum(axis=1)


def _noise(
    finished: RunArrays, fitted: Sequence[CandidateLaw], flops: Float[np.ndarray, " rows"]
) -> Float[np.ndarray, " rows"]:
    """Noise of a run by its FLOPs: from replicates, else from the residuals of the fitted laws, else the default."""
    trend = seed_noise(finished).trend
    if trend is not None:
        return trend.at(flops)
    if not fitted:
        return default_noise(flops)
    residuals = [np.log(LAWS[name].predict(dict(p), finished.inputs)) - finished.log_loss for name, p in fitted]
    return np.full(len(flops), run_noise(finished, residuals, [len(p) for _, p in fitted]))


def _merged(points: RunArrays) -> tuple[Inputs, Int[np.ndarray, " cells"]]:
    """Distinct parameters and tokens of the runs, and the number of runs of each; the nearest merge beyond 300."""
    x = points.inputs
    grain = 1e-3
    while True:
        places = np.round(np.stack([x.n, x.d], axis=1) / grain)
        _, index, seeds = np.unique(places, axis=0, return_inverse=True, return_counts=True)
        if len(seeds) <= _MOST_CELLS:
            break
        grain *= 1.5
    means = (np.bincount(index.ravel(), getattr(x, name)) / seeds for name in "ndcu")
    return Inputs(*means), seeds.astype(np.int64)


def cells_of(points: RunArrays) -> list[PlannedCell]:
    """Finished runs as cells; the nearest merge beyond 300."""
    x, seeds = _merged(points)
    rows = np.exp(np.stack([x.n, x.d, x.c], axis=1)).tolist()
    return [PlannedCell(row[0], row[1], row[2], count) for row, count in zip(rows, seeds.tolist(), strict=True)]

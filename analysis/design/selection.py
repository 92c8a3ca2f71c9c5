"""Which runs to buy next, so that a target's forecast becomes sharpest for the FLOPs there are."""

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

# Laws that may hold beside the usual one, where there are runs to fit them to.
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
        before: standard deviation of the forecast's log loss without them, as the belief has it, and
        after: with them.
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
    """Runs that make the forecast of the target sharpest (``Posterior``) for the FLOPs to spend.

    First the run that lowers the variance most per FLOP, again and again while there are FLOPs left; then, from the
    dearest, each run is given up for what else its FLOPs would buy, where that is better.

    Args:
        candidates: runs that can be bought; of each at most ``seeds``.
        target: of the forecast.
        spend: FLOPs.
        laws: that may hold: those of :func:`candidate_laws`, or a paper's, and first the default one. That one stays
            whatever is fitted: constants that few runs happen to tell may say that nothing can be learned.
        finished: runs that there are.
        bought: runs of each candidate that are bought in any case, from the same FLOPs.
    """
    belief = _belief(candidates, target, laws, finished)
    telling = useful_seeds(inputs_of((*candidates, target)), belief.noise) - _had(candidates, finished)
    most = np.minimum([cell.seeds for cell in candidates], telling)
    price = prices(candidates, spend)
    start = np.zeros(len(candidates), np.int64) if bought is None else bought

    def filled(seeds: Int[np.ndarray, " candidates"], but: int | None) -> tuple[Int[np.ndarray, " candidates"], float]:
        """With what else the FLOPs buy, but for one candidate, and the standard deviation then."""
        seeds, now = seeds.copy(), belief.given(seeds)
        left = spend * (1 + 1e-9) - float(seeds @ price)
        while True:
            can = (price <= left) & (seeds < most)
            if but is not None:
                can[but] = False
            worth = np.where(can, now.gains() / price, 0.0)
            row = int(np.argmax(worth))
            if worth[row] <= 0:
                return seeds, now.std
            seeds[row] += 1
            left -= price[row]
            now = now.after(row)

    seeds, std = filled(start, None)
    for row in np.argsort(-price, kind="stable").tolist():
        if seeds[row] > start[row]:
            other, reached = filled(seeds - (np.arange(len(seeds)) == row), row)
            if reached < std * (1 - _WORTHWHILE):
                seeds, std = other, reached
    return Selection(seeds, belief.std, std)


def prices(candidates: Sequence[PlannedCell], spend: float) -> Float[np.ndarray, " candidates"]:
    """What a run of each candidate counts for: its FLOPs, or what it takes to start any run."""
    return np.maximum(np.array([cell.flops for cell in candidates], float), _LEAST_PRICE * spend)


def candidate_laws(finished: RunArrays) -> list[CandidateLaw]:
    """The laws that finished runs suffice to fit."""
    enough = [name for name in _LAWS if finished.cells >= len(LAWS[name].names) + 2]
    return [(name, fit_arrays(finished, LAWS[name]).params) for name in enough]


def _belief(
    candidates: Sequence[PlannedCell], target: PlannedCell, laws: Sequence[CandidateLaw], finished: RunArrays | None
) -> Posterior:
    """What is believed of the candidates and the target, given the finished runs."""
    at = inputs_of((*candidates, target))
    if finished is None:
        return Posterior.about(at, laws, default_noise(np.exp(at.c[:-1])))
    cells, seeds = _merged(finished)
    at = Inputs(*(np.concatenate([getattr(cells, name), getattr(at, name)]) for name in "ndcu"))
    flops = np.exp(at.c[:-1])
    belief = Posterior.about(at, laws, _noise(finished, laws[1:], flops))
    new = np.arange(len(flops)) >= len(seeds)
    return belief.given(np.concatenate([seeds, np.zeros(len(candidates), np.int64)])).only(new)


def sharpening(
    bought: Sequence[PlannedCell], target: PlannedCell, laws: Sequence[CandidateLaw], finished: RunArrays
) -> float:
    """The standard deviation of the forecast's log loss with further runs, over that without them: at most 1.

    Runs cheaper than all finished ones count for nothing. A belief that holds laws to be nearly right would learn their
    exponents from the tiniest runs, as real forecasts do not.

    Args:
        bought: the further runs.
        target: of the forecast.
        laws: that the finished runs identify.
        finished: runs that there are.
    """
    told = [cell for cell in bought if np.log(cell.flops) >= finished.inputs.c.min() - _SAME]
    cells, seeds = _merged(finished)
    at = inputs_of((*told, target))
    at = Inputs(*(np.concatenate([getattr(cells, name), getattr(at, name)]) for name in "ndcu"))
    belief = Posterior.about(at, laws, _noise(finished, laws, np.exp(at.c[:-1])))
    more = np.array([cell.seeds for cell in told], np.int64)
    with_them, without = (belief.given(np.concatenate([seeds, n])).std for n in (more, np.zeros_like(more)))
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
    """Of a run of so many FLOPs: from replicates, else from what the fitted laws leave, else the usual one."""
    trend = seed_noise(finished).trend
    if trend is not None:
        return trend.at(flops)
    if not fitted:
        return default_noise(flops)
    residuals = [np.log(LAWS[name].predict(dict(p), finished.inputs)) - finished.log_loss for name, p in fitted]
    return np.full(len(flops), run_noise(finished, residuals, [len(p) for _, p in fitted]))


def _merged(points: RunArrays) -> tuple[Inputs, Int[np.ndarray, " cells"]]:
    """The runs' different parameters and tokens, and how many runs each has; those nearest merge where too many."""
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
    """Finished runs as cells; those nearest merge where they are too many."""
    x, seeds = _merged(points)
    rows = np.exp(np.stack([x.n, x.d, x.c], axis=1)).tolist()
    return [PlannedCell(row[0], row[1], row[2], count) for row, count in zip(rows, seeds.tolist(), strict=True)]

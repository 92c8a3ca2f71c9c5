"""Choosing runs: within the FLOPs, close to the best of all choices, neither all low-compute nor one high-compute."""

import itertools

import numpy as np
import pytest

from analysis.design.posterior import Posterior, default_law
from analysis.design.seeds import PlannedCell
from analysis.design.selection import candidate_laws, cells_of, inputs_of, prices, select_runs
from analysis.fitting.fit import fit_arrays
from analysis.laws import LAWS
from analysis.runs.arrays import RunArrays
from benchmarks.simulate import TRUTHS

TARGET = PlannedCell(float(np.sqrt(1e22 / 120)), 1e22 / 6 / float(np.sqrt(1e22 / 120)), 1e22, 1)


def menu(budgets: int = 6, sizes: int = 7, seeds: int = 4) -> list[PlannedCell]:
    cells = []
    for flops in np.geomspace(1e18, 3e20, budgets).tolist():
        for spread in np.geomspace(1 / 5, 5, sizes).tolist():
            n = float(np.sqrt(flops / 120)) * spread
            cells.append(PlannedCell(n, flops / 6 / n, flops, seeds))
    return cells


def points_of(cells: list[PlannedCell], noise: float, seed: int, truth: str = "chinchilla") -> RunArrays:
    at = inputs_of(cells)
    each = np.arange(len(cells))
    random = np.random.default_rng(seed).standard_normal(len(cells))
    return RunArrays(at, np.log(TRUTHS[truth](at)) + noise * random, each, each)


def test_within_the_flops_and_spread() -> None:
    cells = menu()
    flops = np.array([cell.flops for cell in cells])
    choice = select_runs(cells, TARGET, 2e21, [default_law(inputs_of(cells))])
    assert 0.8 * 2e21 < choice.seeds @ flops <= 2e21 * (1 + 1e-9)
    assert choice.seeds.max() <= 4
    assert choice.after < choice.before
    bought = [cell for cell, count in zip(cells, choice.seeds, strict=True) if count]
    assert len({cell.flops for cell in bought}) >= 4
    high = [cell.params for cell in bought if cell.flops == flops.max()]
    assert min(high) < np.sqrt(flops.max() / 120) < max(high)


def test_close_to_the_best_of_all_choices() -> None:
    cells = menu(3, 4, 1)
    laws = [default_law(inputs_of(cells))]
    posterior = Posterior.prior(inputs_of([*cells, TARGET]), laws, np.full(12, 0.001))
    spend = 8e20
    price = prices(cells, spend)
    stds = [
        posterior.given(np.array(seeds)).std
        for seeds in itertools.product((0, 1), repeat=12)
        if any(seeds) and price @ seeds <= spend
    ]
    choice = select_runs(cells, TARGET, spend, laws)
    assert price @ choice.seeds <= spend
    assert choice.after < 1.05 * min(stds)


def test_what_is_given_up_in_exchange_is_not_what_is_bought_in_any_case() -> None:
    cells = menu()
    start = np.zeros(len(cells), np.int64)
    start[[0, 3, 20]] = 2
    choice = select_runs(cells, TARGET, 1e21, [default_law(inputs_of(cells))], None, start)
    assert (choice.seeds >= start).all()


def test_what_is_finished_counts() -> None:
    cells = menu()
    finished = points_of([cell for cell in cells if cell.flops < 2e18], 0.002, 0)
    laws = [default_law(inputs_of(cells)), *candidate_laws(finished)]
    assert [name for name, _ in laws] == ["chinchilla", "chinchilla", "chinchilla-tied"]
    choice = select_runs(cells, TARGET, 1e21, laws, finished)
    alone = select_runs(cells, TARGET, 1e21, laws)
    assert choice.before < alone.before
    low = np.array([cell.flops < 2e18 for cell in cells])
    assert choice.seeds[low].sum() < alone.seeds[low].sum()


def test_thousands_of_finished_runs_merge() -> None:
    many = points_of(menu(60, 60, 1), 0.002, 0)
    cells = cells_of(many)
    assert len(cells) <= 300
    assert sum(cell.seeds for cell in cells) == 3600
    few = menu(2, 3, 1)
    assert [cell.seeds for cell in cells_of(points_of(few, 0.0, 0))] == [1] * 6


@pytest.mark.parametrize("truth", ["chinchilla", "chinchilla-tied"])
def test_forecasts_from_chosen_runs_beat_those_from_drawn_ones(truth: str) -> None:
    cells = menu(7, 7, 1)
    flops = np.array([cell.flops for cell in cells])
    spend = 0.25 * float(flops.sum())
    true = float(np.log(TRUTHS[truth](inputs_of([TARGET])))[0])
    chosen = select_runs(cells, TARGET, spend, [default_law(inputs_of(cells))]).seeds > 0
    missed: dict[str, list[float]] = {"chosen": [], "drawn": []}
    for seed in range(25):
        points = points_of(cells, 0.004, seed, truth)
        drawn = np.zeros(len(cells), bool)
        for row in np.random.default_rng([seed, 1]).permutation(len(cells)):
            drawn[row] = flops[drawn].sum() + flops[row] <= spend
        for name, rows in (("chosen", chosen), ("drawn", drawn)):
            fit = fit_arrays(points.subset(rows), LAWS[truth])
            missed[name].append(float(np.log(fit.predict(inputs_of([TARGET])))[0]) - true)
    assert np.sqrt(np.mean(np.square(missed["chosen"]))) < 0.9 * np.sqrt(np.mean(np.square(missed["drawn"])))

"""Seed noise as a power of the budget: many replicates determine it, few hardly move it."""

import numpy as np
import pytest
from synthetic import sweep

from analysis.diagnostics.checks import check_table
from analysis.runs.seed_noise import BudgetNoise, SeedNoise, seed_noise
from analysis.runs.table import RunTable


def noise_of(stds: list[float], freedom: int, budgets: tuple[float, ...] = (1e10, 1e11, 1e12)) -> SeedNoise:
    """Exactly these standard deviations at budgets a decade apart."""
    by_budget = tuple(BudgetNoise(c, 2 * freedom, freedom, s) for c, s in zip(budgets, stds, strict=True))
    pooled = float(np.sqrt(np.mean(np.square(stds))))
    return SeedNoise(by_budget, pooled, freedom * len(by_budget))


def test_a_power_law_is_found_and_carried_on() -> None:
    slope = np.log10(0.8)
    trend = noise_of([0.01, 0.008, 0.0064], freedom=10_000).trend
    assert trend is not None
    assert trend.slope == pytest.approx(slope, rel=1e-3)
    np.testing.assert_allclose(trend.at(np.array([1e9, 1e11, 1e13])), [0.0125, 0.008, 0.00512], rtol=3e-3)


def test_few_replicates_shrink_it_to_a_constant() -> None:
    slopes = []
    for freedom in (1, 4, 100):
        trend = noise_of([0.016, 0.008, 0.004], freedom).trend
        assert trend is not None
        slopes.append(trend.slope)
    full = np.log10(0.5)
    assert full < slopes[2] < slopes[1] < slopes[0] < 0
    assert slopes[0] > 0.5 * full
    assert slopes[2] == pytest.approx(full, rel=0.05)


def test_it_is_the_minimum_of_what_it_says_it_minimises() -> None:
    noise = noise_of([0.012, 0.0, 0.005], 3)
    trend = noise.trend
    assert trend is not None

    def objective(level: float, slope: float) -> float:
        total = (slope / 0.2) ** 2 / 2
        for budget in noise.by_budget:
            log = level + slope * np.log(budget.flops / trend.flops)
            total += budget.freedom / 2 * (budget.std**2 * np.exp(-2 * log) + 2 * log)
        return float(total)

    best = objective(np.log(trend.std), trend.slope)
    for level, slope in ((1e-3, 0.0), (-1e-3, 0.0), (0.0, 1e-3), (0.0, -1e-3)):
        assert objective(np.log(trend.std) + level, trend.slope + slope) > best


def test_one_budget_gives_a_constant_and_no_replicates_nothing() -> None:
    one = noise_of([0.007], 5, (1e10,)).trend
    assert one is not None
    np.testing.assert_allclose(one.at(np.array([1e9, 1e14])), 0.007)
    assert seed_noise(RunTable.from_frame(sweep(seeds=1)).arrays).trend is None
    assert seed_noise(RunTable.from_frame(sweep(noise=0.0, seeds=3)).arrays).trend is None


def test_a_table_tells_its_degrees_of_freedom() -> None:
    frame = sweep(noise=0.01, seeds=3)
    noise = seed_noise(RunTable.from_frame(frame[frame.seed.eq(0) | frame.flops.lt(2e10)]).arrays)
    assert [(budget.runs, budget.freedom) for budget in noise.by_budget] == [(12, 8)]
    assert noise.freedom == 8


def test_runs_of_another_weight_decay_are_no_replicates() -> None:
    frame = sweep(noise=0.0, seeds=2)
    tried = frame.assign(weight_decay=0.1 + 0.1 * frame["seed"], loss=frame["loss"] * (1 + 0.01 * frame["seed"]))
    assert seed_noise(RunTable.from_frame(tried).arrays).freedom == 0
    assert seed_noise(RunTable.from_frame(tried.drop(columns="weight_decay")).arrays).freedom == 16


@pytest.mark.parametrize("column", ["optimizer", "recipe"])
def test_the_gap_between_two_optimizers_or_recipes_is_no_seed_noise(column: str) -> None:
    frame = sweep(seeds=2, noise=0.002)
    second = frame["seed"] == 1
    frame = frame.assign(loss=frame["loss"] * np.where(second, 1.05, 1.0), **{column: np.where(second, "b", "a")})
    table = RunTable.from_frame(frame[frame["role"] == "fit"][:12])
    assert seed_noise(table.arrays).pooled is None
    (warning,) = [each for each in check_table(table) if each.code == "mixed-conventions"]
    assert warning.message.startswith(f"{column} (a, b) splits the runs into groups whose losses")

"""Seeds for a planned sweep: within its FLOPs, better than planned, and as its formula says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

from analysis.design.seeds import PlannedCell, SeedPlan, plan_seeds
from analysis.runs.table import RunTable

TARGET = PlannedCell(1.2e5, 3.16e12 / 6 / 1.2e5, 3.16e12, 1)


def cells_of(frame: pd.DataFrame, seeds: int) -> list[PlannedCell]:
    one = frame[frame.role.eq("fit") & frame.seed.eq(0)]
    return [PlannedCell(row.params, row.tokens, row.flops, seeds) for row in one.itertuples()]


def plan(seeds: int = 4, noise: float = 0.01, replicates: int = 4) -> SeedPlan:
    frame = sweep(noise=noise, seeds=replicates)
    found = plan_seeds(RunTable.from_frame(frame), cells_of(frame, seeds), TARGET)
    assert found is not None
    return found


def spent(found: SeedPlan, what: str) -> float:
    return sum(budget.flops * getattr(budget, what) for budget in found.budgets)  # four cells each


def test_a_plan_that_is_as_good_as_any_stays() -> None:
    found = plan(noise=0.0005)
    assert [budget.wanted for budget in found.budgets] == [budget.planned for budget in found.budgets]


def test_no_more_flops_than_planned_and_a_surer_forecast() -> None:
    found = plan()
    assert [budget.planned for budget in found.budgets] == [4, 4, 4, 4]
    assert spent(found, "wanted") <= spent(found, "planned") * (1 + 1e-9)
    # What is left would not buy another seed of the cheapest budget.
    assert spent(found, "planned") - spent(found, "wanted") < found.budgets[0].flops
    assert all(budget.wanted >= 1 for budget in found.budgets)
    assert found.wanted_std < found.planned_std


def test_greedy_is_close_to_the_best_of_all() -> None:
    found = plan(seeds=2)
    frame = sweep(noise=0.01, seeds=4)
    table, cells = RunTable.from_frame(frame), cells_of(frame, 2)
    purse = spent(found, "planned")
    prices = np.array([budget.flops for budget in found.budgets])
    rest = []
    for high in itertools.product(range(1, 9), range(1, 5), range(1, 4)):
        first = int((purse * (1 + 1e-9) - prices[1:] @ high) // prices[0])
        if first >= 1:
            budget = np.searchsorted(prices * 1.1, [cell.flops for cell in cells])
            seeds = np.array([first, *high])[budget]
            tried = [PlannedCell(c.params, c.tokens, c.flops, int(n)) for c, n in zip(cells, seeds, strict=True)]
            other = plan_seeds(table, tried, TARGET)
            assert other is not None
            rest.append(other.planned_std)
    assert len(rest) > 20
    assert found.wanted_std < 1.01 * min(rest)


def test_where_runs_are_noisier_there_are_more_seeds() -> None:
    frame = sweep(noise=0.0, seeds=6)
    rng = np.random.default_rng(1)
    wanted = {}
    for name, steep in (("flat", 1.0), ("steep", 0.4)):
        std = 0.008 * steep ** np.log(frame.flops / 1e11)
        noisy = frame.assign(loss=frame.loss * np.exp(std * rng.standard_normal(len(frame))))
        found = plan_seeds(RunTable.from_frame(noisy), cells_of(frame, 4), TARGET)
        assert found is not None
        wanted[name] = [budget.wanted for budget in found.budgets]
    assert wanted["steep"][-1] <= wanted["flat"][-1]
    assert sum(wanted["steep"][:2]) > sum(wanted["flat"][:2])


def test_less_noise_leaves_less_to_gain() -> None:
    gains = [1 - found.wanted_std / found.planned_std for found in (plan(noise=0.0005), plan(noise=0.02))]
    assert gains[0] == 0 < gains[1]
    assert plan(noise=0.0005).planned_std < plan(noise=0.02).planned_std


def test_single_seeds_leave_nothing_to_move() -> None:
    found = plan(seeds=1)
    assert [budget.wanted for budget in found.budgets] == [1, 1, 1, 1]
    assert found.wanted_std == found.planned_std


def test_budgets_with_unequal_seeds_are_distinguished() -> None:
    frame = sweep(seeds=3)
    cells = [PlannedCell(c.params, c.tokens, c.flops, 5 if c.params > 1e4 else 2) for c in cells_of(frame, 1)]
    found = plan_seeds(RunTable.from_frame(frame), cells, TARGET)
    assert found is not None
    assert [(round(b.flops / 1e10), b.planned) for b in found.budgets][:2] == [(1, 2), (1, 5)]


def test_a_few_cells_suffice_and_no_replicates_do_not() -> None:
    frame = sweep(noise=0.02, seeds=3)
    low = frame[frame.flops < 2e10]
    found = plan_seeds(RunTable.from_frame(low), cells_of(frame, 4), TARGET)
    assert found is not None
    assert len({budget.std for budget in found.budgets}) == 1
    assert found.wanted_std < found.planned_std
    single = frame[frame.seed.eq(0)]
    assert plan_seeds(RunTable.from_frame(single), cells_of(frame, 4), TARGET) is None
    targets = frame[frame.role.eq("target")]
    assert plan_seeds(RunTable.from_frame(targets), cells_of(frame, 4), TARGET) is None


def test_the_json_has_the_budgets() -> None:
    reported = plan().to_dict()
    assert set(reported) == {"noise", "seeds"}
    assert [set(budget) for budget in reported["seeds"]] == [{"flops", "std", "planned", "wanted"}] * 4
    assert reported["noise"]["replicates"] == 48
    assert reported["noise"]["by_budget"][0]["std"] == pytest.approx(0.01, rel=0.5)

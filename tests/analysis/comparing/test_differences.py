"""Differences of contenders: cells, pairs, probabilities and multipliers of known ones."""

import numpy as np
import pandas as pd
import pytest
from contending.tables import SIZES, contender, frame, loss_of

from analysis.comparing.budgets import by_budget
from analysis.comparing.compare import CompareRequest, compare
from analysis.comparing.comparison import PairComparison
from analysis.comparing.differences.cells import cells_of
from analysis.comparing.differences.multiplier import gain_at
from analysis.comparing.differences.pairs import pair
from analysis.comparing.differences.surfaces import surface_of
from analysis.errors import InputError
from analysis.runs.arrays import inputs_at

TARGET = SIZES[-1] * np.sqrt(10)
REQUEST = CompareRequest(params=TARGET, tokens=20 * TARGET, seeds=3, bootstrap=40)


def compared(first: pd.DataFrame, second: pd.DataFrame, request: CompareRequest = REQUEST) -> PairComparison:
    (found,) = compare([contender("a", first), contender("b", second)], request).pairs
    return found


@pytest.mark.parametrize("multiplier", [1.3, 2.0])
def test_a_known_multiplier_is_found(multiplier: float) -> None:
    found = compared(frame(0, "a"), frame(0, "b", multiplier))
    assert found.better > 0.97
    assert found.multiplier.low is not None
    assert found.multiplier.high is not None
    assert found.multiplier.low < multiplier < found.multiplier.high
    assert found.multiplier.value == pytest.approx(multiplier, rel=0.08)
    assert found.difference.value == pytest.approx(
        np.log(loss_of(TARGET * np.sqrt(multiplier), 20 * TARGET * np.sqrt(multiplier)) / loss_of(TARGET, 20 * TARGET)),
        rel=0.15,
    )
    assert found.enough
    assert found.deciding is None


def test_the_order_of_contenders_turns_the_answer_round() -> None:
    a, b = frame(1, "a"), frame(1, "b", 1.3)
    one, two = compared(a, b), compared(b, a)
    assert one.better == pytest.approx(1 - two.better, abs=1e-3)
    assert one.difference.value == pytest.approx(-(two.difference.value or 0.0), rel=0.02)
    assert one.multiplier.value == pytest.approx(1 / (two.multiplier.value or 1.0), rel=0.05)


@pytest.mark.slow
def test_contenders_that_are_alike_are_not_told_apart() -> None:
    found = [compared(frame(trial, "a"), frame(trial, "b")) for trial in range(20)]
    assert np.mean([0.05 < each.better < 0.95 for each in found]) >= 0.9
    holds = [(each.multiplier.low or 0.0) <= 1 <= (each.multiplier.high or np.inf) for each in found]
    assert np.mean(holds) >= 0.85
    width = [(each.multiplier.high or np.inf) / (each.multiplier.low or 1e-9) for each in found]
    assert np.median(width) < 1.3


def test_runs_of_one_seed_share_their_noise() -> None:
    alike = {"noise": 0.02, "shared": 0.99}
    rows = frame(2, "a", **alike), frame(2, "b", 1.1, **alike)
    paired = pair(cells_of(rows[0])[0], cells_of(rows[1])[0])
    unpaired = pair(cells_of(rows[0].drop(columns="seed"))[0], cells_of(rows[1].drop(columns="seed"))[0])
    assert paired.spread == pytest.approx(0.02 * np.sqrt(2 * 0.01), rel=0.5)
    assert paired.delta == pytest.approx(unpaired.delta)
    other = rows[1].assign(seed=rows[1]["seed"] + 5)  # other seeds: nothing is shared
    apart = pair(cells_of(rows[0])[0], cells_of(other)[0])
    assert apart.spread is not None
    assert paired.spread is not None
    assert apart.spread > 4 * paired.spread


def test_each_cell_is_at_its_best_setting() -> None:
    rows = pd.DataFrame(
        {
            "params": [1e5] * 4,
            "tokens": [1e6] * 4,
            "flops": [6e11] * 4,
            "lr": [1e-3, 1e-3, 2e-3, 2e-3],
            "seed": [0, 1, 0, 1],
            "loss": [3.0, 3.2, 2.9, 3.4],
        }
    )
    cells, tuned = cells_of(rows)
    assert tuned
    assert cells.log_loss == pytest.approx([np.mean(np.log([3.0, 3.2]))])  # not the luckiest run, of the other rate
    assert cells.by_seed == ({0.0: pytest.approx(np.log(3.0)), 1.0: pytest.approx(np.log(3.2))},)
    cells, tuned = cells_of(rows.drop(columns="lr"))
    assert not tuned
    assert cells.runs.tolist() == [4]


def test_cells_pair_once_with_the_nearest() -> None:
    first = cells_of(frame(0, "a", seeds=1))[0]
    moved = frame(0, "b", seeds=1)
    moved["params"] *= 1.04  # what the second changes of the model
    paired = pair(first, cells_of(moved)[0])
    assert len(paired) == len(first)
    assert np.abs(paired.second.n - paired.first.n).max() == pytest.approx(np.log(1.04))
    far = moved.assign(params=moved["params"] * 1.3)
    assert len(pair(first, cells_of(far)[0])) == 0


def test_without_pairs_a_law_of_each_is_compared() -> None:
    other = frame(3, "b", 2.0)
    other["params"], other["tokens"] = other["params"] * 1.4, other["tokens"] * 1.2
    other["loss"] = [loss_of(n * 1.41, d * 1.41) for n, d in zip(other["params"], other["tokens"], strict=True)]
    other["flops"] = 6 * other["params"] * other["tokens"]
    found = compared(frame(3, "a", noise=0.001), other)
    assert found.pairs == 0
    assert dict(found.weights) == {"laws apart": 1.0}
    assert found.better > 0.9
    few = other.iloc[:4]
    with pytest.raises(InputError, match="a and b: no two runs are of one size and length"):
        compared(frame(3, "a"), few)


def test_the_multiplier_follows_the_surface() -> None:
    cells = cells_of(frame(0, "a", noise=0.0, seeds=1))[0]
    surface = surface_of(cells, 20)
    gain = gain_at(cells, surface, inputs_at(TARGET, 20 * TARGET, 120 * TARGET**2))
    assert gain is not None
    for factor in (0.5, 1.0, 3.0):
        grown = np.sqrt(factor)
        change = np.log(loss_of(TARGET * grown, 20 * TARGET * grown) / loss_of(TARGET, 20 * TARGET))
        assert gain.factor(np.array([change]))[0] == pytest.approx(factor, rel=0.02)
    assert gain.factor(np.array([np.log(1.0 / loss_of(TARGET, 20 * TARGET))]))[0] == np.inf  # below what it ends at


def test_time_is_the_multiplier_by_the_speeds() -> None:
    first, second = frame(0, "a"), frame(0, "b", 1.5)
    found = compared(first.assign(wall_s=first["flops"] / 1e9), second.assign(wall_s=second["flops"] / 0.8e9))
    assert found.time is not None
    assert found.time.value == pytest.approx(0.8 * (found.multiplier.value or 0.0))
    assert found.money is None
    priced = compared(first.assign(usd=first["flops"]), second.assign(usd=2 * second["flops"]))
    assert priced.money is not None
    assert priced.money.value == pytest.approx((priced.multiplier.value or 0.0) / 2)


def test_more_distance_is_less_certain() -> None:
    rows = frame(4, "a"), frame(4, "b", 1.1)
    widths = []
    for factor in (3.0, 30.0, 300.0):
        size = SIZES[-1] * np.sqrt(factor)
        found = compared(*rows, CompareRequest(params=size, tokens=20 * size, bootstrap=20)).difference
        assert found.high is not None
        assert found.low is not None
        widths.append(found.high - found.low)
    assert widths == sorted(widths)
    with pytest.raises(InputError, match="nothing can be said so far away"):
        compared(*rows, CompareRequest(params=1e9, tokens=1e12))


def test_the_interval_of_a_budgets_mean_narrows_with_seeds() -> None:
    halves = []
    for seeds in (1, 4):
        alone = pd.DataFrame({"params": 1e6, "tokens": [2e7, 4e7], "flops": [1.2e14, 2.4e14], "loss": [3.0, 2.9]})
        rows = pd.concat([alone.assign(seed=seed) for seed in range(seeds)], ignore_index=True)
        a, b = contender("a", rows), contender("b", rows.assign(loss=rows["loss"] * 1.01))
        found = by_budget(a, pair(a.cells, b.cells), None, 0.9, scatter=0.01)
        assert all(row.difference.value == pytest.approx(np.log(1.01)) for row in found)
        halves.append([(row.difference.high or 0.0) - (row.difference.value or 0.0) for row in found])
    assert halves[0] == pytest.approx([0.01 * 1.645] * 2, rel=1e-3)
    assert halves[1] == pytest.approx([half / 2 for half in halves[0]])

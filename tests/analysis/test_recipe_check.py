"""The verdict on a recipe: from losses made by a known surface, with and without drift."""

import math

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.recipe_check import check_recipe

# Half the curvature in log rate that byte-level models show.
CURVATURE = 0.04
SMALL, LARGE, TARGET = 2e10, 3e11, 3e12


def runs(
    *best: float,
    noise: float = 0.001,
    flops: tuple[float, ...] = (SMALL, LARGE),
    rates: tuple[float, ...] = (0.5, 1.0, 2.0),
    seeds: int = 3,
) -> pd.DataFrame:
    """Runs at each of several cells, whose best rate is so many times the recipe's."""
    random = np.random.default_rng(0)
    rows = []
    for cell, (times, cost) in enumerate(zip(best, flops, strict=True)):
        for seed in range(seeds):
            level = 0.5 - 0.1 * cell + 0.01 * random.standard_normal()
            for rate in rates:
                away = math.log(rate / times)
                loss = math.exp(level + CURVATURE * away**2 / 2 + noise * random.standard_normal())
                rows.append(
                    {
                        "params": 1e4 * 8**cell,
                        "tokens": 1e5 * 2**cell,
                        "flops": cost,
                        "lr": rate * 0.01,
                        "usual_lr": 0.01,
                        "seed": seed,
                        "status": "done",
                        "loss": loss,
                    }
                )
    return pd.DataFrame(rows)


def codes(found: pd.DataFrame, target: float | None = TARGET) -> list[str]:
    return [warning.code for warning in check_recipe(found, target).warnings]


def test_a_recipe_at_its_optimum_holds() -> None:
    check = check_recipe(runs(1.1, 0.9), TARGET)
    assert check.warnings == ()
    assert check.to_dict()["ok"] is True
    assert [cell.bracketed for cell in check.cells] == [True, True]
    for cell, best in zip(check.cells, (1.1, 0.9), strict=True):
        low, high = cell.best_interval
        assert low < best < high
        assert cell.loss == pytest.approx(CURVATURE * math.log(best) ** 2 / 2, abs=3 * cell.loss_stderr)


def test_a_recipe_that_is_off_is_told_where_and_by_how_much() -> None:
    check = check_recipe(runs(1.0, 1.0 / 2.5, rates=(0.25, 0.5, 1.0, 2.0)), TARGET)
    assert [warning.code for warning in check.warnings] == ["recipe-off", "recipe-drift"]
    assert check.cells[1].loss == pytest.approx(CURVATURE * math.log(2.5) ** 2 / 2, abs=3 * check.cells[1].loss_stderr)
    assert "80000" in check.warnings[0].message.replace("8e+04", "80000")


def test_the_bias_is_what_a_line_through_both_cells_misses() -> None:
    drift, reach = math.log(0.4 / 1.1), math.log(TARGET / SMALL) / math.log(LARGE / SMALL)
    excess = [CURVATURE * (math.log(1.1) + share * drift) ** 2 / 2 for share in (0.0, 1.0, reach)]
    missed = excess[2] - (excess[0] + reach * (excess[1] - excess[0]))
    check = check_recipe(runs(1.1, 0.4, noise=1e-6, rates=(0.25, 0.5, 1.0, 2.0)), TARGET)
    assert check.drift == pytest.approx(drift, abs=1e-3)
    assert check.bias == pytest.approx(missed, rel=1e-2)


def test_a_best_rate_beyond_those_tried_is_a_bound() -> None:
    check = check_recipe(runs(1.0, 0.2), TARGET)
    assert [cell.bracketed for cell in check.cells] == [True, False]
    assert "at least" in check.warnings[0].message
    assert "beyond the rates tried" in check.warnings[0].message
    # Where the loss only falls, with no basin in sight, the verdict is the same.
    falling = runs(1.0, 1.0)
    last = falling["params"] > 1e4
    falling.loc[last, "loss"] = 1.5 * (falling.loc[last, "lr"] / 0.01) ** 0.05
    assert "recipe-off" in codes(falling)
    assert check_recipe(falling, TARGET).cells[1].best < 0.5


def test_a_drift_within_its_error_or_without_harm_is_none() -> None:
    assert codes(runs(1.0, 0.8, noise=0.01, seeds=4)) == []
    assert codes(runs(1.15, 0.85, noise=1e-4)) == []  # seen clearly, but worth less than a percent


def test_diverged_runs_are_left_out_and_named() -> None:
    found = runs(1.0, 1.0, rates=(0.25, 0.5, 1.0, 2.0))
    lost = found["lr"] == 0.02
    found.loc[lost, ["status", "loss"]] = ["diverged", math.nan]
    check = check_recipe(found, TARGET)
    assert [warning.code for warning in check.warnings] == ["diverged-rows", "diverged-rows"]
    assert check.cells[0].diverged == 3


def test_without_a_target_there_is_no_bias_but_a_drift() -> None:
    check = check_recipe(runs(1.0, 0.4), None)
    assert check.bias is None
    assert "recipe-drift" in [warning.code for warning in check.warnings]


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (runs(1.0, flops=(SMALL,)), "two sizes"),
        (runs(1.0, 1.0, rates=(1.0, 2.0)), "2 settings"),
        (runs(1.0, 1.0, seeds=1), "no run to spare"),
    ],
)
def test_what_cannot_be_judged_is_told(found: pd.DataFrame, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        check_recipe(found, TARGET)

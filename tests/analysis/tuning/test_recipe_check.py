"""The verdict on a recipe: from losses made by a known surface, with and without drift."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.tuning.recipe_check import check_recipe

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
    for cell, best in zip(check.cells, (1.1, 0.9), strict=True):
        low, value, high = cell.best
        assert cell.bracketed
        assert low < math.log(best) < high
        assert value == pytest.approx((low + high) / 2)
        assert cell.loss == pytest.approx(CURVATURE * math.log(best) ** 2 / 2, abs=3 * cell.loss_stderr)


def test_a_recipe_that_is_off_is_reported_where_and_by_how_much() -> None:
    check = check_recipe(runs(1.0, 1.0 / 2.5, rates=(0.25, 0.5, 1.0, 2.0)), TARGET)
    assert [warning.code for warning in check.warnings] == ["recipe-off", "recipe-drift"]
    assert check.cells[1].loss == pytest.approx(CURVATURE * math.log(2.5) ** 2 / 2, abs=3 * check.cells[1].loss_stderr)
    assert "8e+04 parameters" in check.warnings[0].message


def test_the_bias_is_what_a_line_through_both_cells_misses() -> None:
    drift, reach = math.log(0.4 / 1.1), math.log(TARGET / SMALL) / math.log(LARGE / SMALL)
    excess = [CURVATURE * (math.log(1.1) + share * drift) ** 2 / 2 for share in (0.0, 1.0, reach)]
    missed = excess[2] - (excess[0] + reach * (excess[1] - excess[0]))
    check = check_recipe(runs(1.1, 0.4, noise=1e-6, rates=(0.25, 0.5, 1.0, 2.0)), TARGET)
    assert check.drift[1] == pytest.approx(drift, abs=1e-3)
    assert check.bias == pytest.approx(missed, rel=1e-2)


def test_a_best_rate_beyond_those_tried_is_a_bound_and_so_is_the_drift() -> None:
    check = check_recipe(runs(1.0, 0.2), TARGET)
    assert [cell.bracketed for cell in check.cells] == [True, False]
    assert check.cells[1].best == (-math.inf, None, pytest.approx(math.log(0.5), abs=1e-3))
    low, value, high = check.drift
    assert (low, value) == (-math.inf, None)
    assert math.log(0.2) < high < math.log(0.6)
    assert [warning.code for warning in check.warnings] == ["recipe-off", "recipe-drift"]
    assert check.to_dict()["cells"][1]["best_interval"] == [None, pytest.approx(0.5, abs=1e-3)]
    # The drift is at least the bound's, and the bias that of the bound.
    slope = high / math.log(LARGE / SMALL)
    reported = CURVATURE * slope**2 * math.log(TARGET / SMALL) * math.log(TARGET / LARGE) / 2
    assert check.bias == pytest.approx(reported, rel=0.2)


def test_two_best_rates_beyond_one_end_tell_no_drift() -> None:
    check = check_recipe(runs(0.2, 0.03), TARGET)
    assert check.drift == (-math.inf, None, math.inf)
    assert [warning.code for warning in check.warnings] == ["recipe-off", "recipe-off"]
    assert check.bias == 0
    assert check.to_dict()["drift_interval"] == [None, None]


def test_a_loss_that_only_falls_has_its_best_beyond() -> None:
    falling = runs(1.0, 1.0)
    last = falling["params"] > 1e4
    falling.loc[last, "loss"] = 1.5 * (falling.loc[last, "lr"] / 0.01) ** 0.05
    check = check_recipe(falling, TARGET)
    assert check.cells[1].loss == pytest.approx(0.05 * math.log(2), rel=1e-3)
    assert "recipe-off" in codes(falling)
    assert not check.cells[1].bracketed


def test_a_drift_within_its_error_or_without_harm_is_none() -> None:
    assert codes(runs(1.0, 0.8, noise=0.01, seeds=4)) == []
    assert codes(runs(1.15, 0.85, noise=1e-4)) == []  # seen clearly, but worth less than a percent


@pytest.mark.parametrize("large", [SMALL, 1.01 * SMALL, 0.8 * SMALL, 2 * SMALL])
def test_sizes_of_about_the_same_flops_tell_no_bias(large: float) -> None:
    check = check_recipe(runs(1.0, 0.7, flops=(SMALL, large)), TARGET)
    assert check.bias is None
    assert [cell.params for cell in check.cells] == [1e4, 8e4]
    assert "recipe-drift" in [warning.code for warning in check.warnings]


def test_diverged_rates_bracket_from_above_and_are_named() -> None:
    found = runs(1.0, 1.0, rates=(0.25, 0.5, 1.0, 2.0))
    found.loc[found["lr"] == 0.02, ["status", "loss"]] = ["diverged", math.nan]
    check = check_recipe(found, TARGET)
    assert {warning.code for warning in check.warnings} == {"diverged-rows"}
    assert check.cells[0].diverged == (2.0,)
    assert check.cells[0].bracketed


def test_two_rates_left_bracket_the_best_without_telling_it() -> None:
    found = runs(1.0, 1.0)
    found.loc[found["lr"] == 0.02, ["status", "loss"]] = ["diverged", math.nan]
    check = check_recipe(found, TARGET)
    assert check.cells[0].best == (pytest.approx(math.log(0.5), abs=1e-3), None, pytest.approx(math.log(2), abs=1e-3))
    assert "diverged-rows" in [warning.code for warning in check.warnings]


@pytest.mark.parametrize("lost", [(0.01, 0.02), (0.005, 0.01, 0.02)])
def test_a_recipe_that_diverges_is_reported(lost: tuple[float, ...]) -> None:
    found = runs(1.0, 1.0)
    dead = found["lr"].isin(lost) & (found["params"] > 1e4)
    found.loc[dead, ["status", "loss"]] = ["diverged", math.nan]
    check = check_recipe(found, TARGET)
    assert check.cells[1].loss is None
    assert "the recipe itself diverges" in check.warnings[0].message
    json.dumps(check.to_dict(), allow_nan=False)


def test_one_seed_tells_no_error_but_a_best_rate() -> None:
    check = check_recipe(runs(1.0, 1.0, seeds=1, noise=1e-5), TARGET)
    assert [cell.loss_stderr for cell in check.cells] == [None, None]
    assert check.drift[1] == pytest.approx(0, abs=0.01)
    assert check.warnings == ()
    json.dumps(check.to_dict(), allow_nan=False)


def test_without_a_target_there_is_no_bias_but_a_drift() -> None:
    check = check_recipe(runs(1.0, 0.4, rates=(0.25, 0.5, 1.0, 2.0)), None)
    assert check.bias is None
    assert "recipe-drift" in [warning.code for warning in check.warnings]


def test_one_size_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="two sizes"):
        check_recipe(runs(1.0, flops=(SMALL,)), TARGET)

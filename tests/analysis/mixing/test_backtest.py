"""Backtests of mixtures: what is fitted and tested, and that they tell a good forecast from a bad one."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mixing.planted import LARGE, SMALL, Planted

from analysis.errors import InputError
from analysis.mixing.backtest import MixtureBacktest, backtest_mixtures, calibration_of
from analysis.mixing.judging.splits import splits
from analysis.mixing.reading import read_mixtures
from analysis.mixing.table import MixtureTable

LAW = Planted()
LAWS = ("auto", "inverse")


def two_scales(noise: float = 0.002) -> MixtureTable:
    """Ten mixtures at one size, and these and four others at a larger one; one of them at other sizes and lengths."""
    shares = LAW.shares(14)
    parts = [LAW.runs(shares[:10], SMALL, seed, noise) for seed in (0, 1)]
    parts += [LAW.runs(shares[:1], at, 0, noise) for at in ((1e6, 6e6), (3e6, 1e7), (3e6, 2e7), (1.7e6, 3e7))]
    return read_mixtures(pd.concat([*parts, LAW.runs(shares, LARGE, 0, noise)], ignore_index=True))


TABLE = two_scales()


@pytest.fixture(scope="module")
def result() -> MixtureBacktest:
    return backtest_mixtures(TABLE, LAWS)


def test_larger_runs_are_tested_and_cheaper_ones_fitted() -> None:
    points = TABLE.fit
    found = splits(TABLE)
    assert [split.unseen for split in found] == [False, True]
    for split in found:
        tested = np.concatenate(split.cells)
        assert points.flops[split.fit].max() < points.flops[tested].min()
        assert not split.fit[tested].any()
    seen = set(points.mixtures[found[1].fit])
    assert seen.isdisjoint(points.mixtures[np.concatenate(found[1].cells)])


def test_mixtures_of_one_scale_are_left_out_in_turn() -> None:
    table = read_mixtures(LAW.runs(LAW.shares(12), SMALL))
    found = splits(table)
    assert len(found) == 4
    assert all(split.unseen for split in found)
    tested = np.concatenate([cell for split in found for cell in split.cells])
    assert sorted(tested) == list(range(12))


def test_a_planted_law_is_told(result: MixtureBacktest) -> None:
    for law in LAWS:
        figures = result.summary[law]
        assert figures.contrast_error < 0.005
        assert figures.decisions > 0.93
        assert figures.contrast_coverage >= 0.8
        assert figures.coverage >= 0.8
        assert figures.level_error < 0.05


def test_a_table_whose_larger_runs_say_another_thing_is_told() -> None:
    """The figures fall where the order of the mixtures is turned at the larger size."""
    points = TABLE.fit
    losses = points.losses.copy()
    large = points.params > 2e6
    losses[large] = losses[large].mean(axis=0) ** 2 / losses[large]
    figures = backtest_mixtures(replace(TABLE, fit=replace(points, losses=losses)), ("auto",)).summary["auto"]
    assert figures.decisions < 0.1
    assert figures.contrast_error > 0.03
    assert figures.contrast_coverage < 0.6


def test_every_law_that_applies_is_backtested() -> None:
    found = backtest_mixtures(read_mixtures(LAW.runs(LAW.shares(10), SMALL)))
    assert set(found.summary) == {"auto", "inverse", "exponential", "bimix"}  # joint ones need several sizes


def test_its_json_has_what_is_documented(result: MixtureBacktest) -> None:
    content = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(content["summary"]) == set(LAWS)
    assert {"contrast_error", "level_error", "decisions", "coverage"} <= set(content["summary"]["auto"])
    assert {each["law"] for each in content["splits"]} == set(LAWS)
    assert all(each["flops"] > each["fitted_flops"] for each in content["splits"])
    assert sum(each["count"] for each in content["calibration"]) > 0


def test_it_is_the_same_again(result: MixtureBacktest) -> None:
    assert backtest_mixtures(TABLE, LAWS).to_dict() == result.to_dict()


def test_its_text_has_every_law(result: MixtureBacktest) -> None:
    for law in LAWS:
        assert law in str(result)
    assert list(result.to_frame()["law"]) == list(LAWS)


def test_a_table_too_small_is_refused() -> None:
    few = read_mixtures(pd.concat([LAW.runs(LAW.shares(5), SMALL, seed) for seed in (0, 1)], ignore_index=True))
    with pytest.raises(InputError, match="too few runs for a backtest: it needs 5 mixtures"):
        backtest_mixtures(few)


def test_an_order_that_is_stated_is_counted_by_its_probability() -> None:
    pairs = pd.DataFrame({"better": [0.95, 0.05, 0.95, 0.55], "difference": [-1.0, 1.0, 1.0, 1.0]})
    by_low = {each.low: each for each in calibration_of(pairs)}
    assert (by_low[0.9].count, by_low[0.9].right) == (3, pytest.approx(2 / 3))
    assert by_low[0.9].stated == pytest.approx(0.95)
    assert (by_low[0.5].count, by_low[0.5].right) == (1, 0.0)
    assert by_low[0.6].right is None

"""Approach 2: known optima on good and bad grids, what is left out and why, and the published tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from surfaces import FAR, LAWS, STAGES, best_size, exponent, isoflop_frame, points_of, stage

from analysis.allocation.isoflop import isoflop
from analysis.runs.arrays import RunArrays
from analysis.runs.table import read_table


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("grid", [(4, 4), (12, 12), (20, 3), (3, 10)], ids=["narrow", "wide", "left", "right"])
def test_the_skew_takes_the_bias_out_of_lopsided_curves(law: str, grid: tuple[float, float]) -> None:
    result = isoflop(points_of(isoflop_frame(law, reach=grid)))
    assert result.params is not None
    assert result.exponent == pytest.approx(exponent(law), abs=0.002)
    for parabola in result.parabolas:
        assert parabola.params == pytest.approx(best_size(law, parabola.flops), rel=0.03)
        assert parabola.curve(np.log([parabola.params])) == pytest.approx(parabola.minimum)


def test_the_skew_is_that_of_the_law() -> None:
    skew, error = isoflop(points_of(isoflop_frame("steep-tokens", reach=(4, 4)))).skew
    assert skew == pytest.approx((0.5 - 0.25) / 3, abs=0.01)  # (beta - alpha) / 3
    assert error < 0.01


def test_sizes_that_drift_with_the_budget_do_not_move_the_exponent() -> None:
    result = isoflop(points_of(isoflop_frame("steep-size", reach=(6, 6), drift=3)))
    assert result.exponent == pytest.approx(exponent("steep-size"), abs=0.01)


@pytest.mark.parametrize(
    ("law", "noise"),
    [
        ("chinchilla", 0.003),
        *(pytest.param(law, noise, marks=pytest.mark.slow) for law in LAWS for noise in (0.002, 0.008)),
    ],
)
def test_intervals_cover_at_about_their_level(law: str, noise: float) -> None:
    covered, widths, errors = [], [], []
    for seed in range(25):
        result = isoflop(points_of(isoflop_frame(law, reach=(5, 8), noise=noise, seed=seed)), 200, seed)
        assert result.params is not None
        at, slope = result.params.interval(FAR), result.params.exponent_interval
        assert at is not None
        assert slope is not None
        covered += [at[0] <= best_size(law, FAR) <= at[1], slope[0] <= exponent(law) <= slope[1]]
        widths.append(slope[1] - slope[0])
        errors.append(result.params.exponent - exponent(law))
    assert np.mean(covered) >= 0.84  # 90 %, less one standard error of 25 sweeps
    # Not by being useless: a perfect 90 % interval is 3.3 standard deviations wide.
    assert np.median(widths) < 7 * np.std(errors)


def test_what_is_left_out_is_named_and_why() -> None:
    frame = isoflop_frame("chinchilla", reach=(6, 6), budgets=6)
    budgets = np.sort(frame["flops"].unique())
    optimum = {c: best_size("chinchilla", c) for c in budgets.tolist()}
    size = frame["params"] / frame["flops"].map(optimum)
    kept = np.ones(len(frame), bool)
    kept &= ~((frame["flops"] == budgets[0]) & (size < 1.5))  # all too large
    kept &= ~((frame["flops"] == budgets[1]) & (size > 0.7))  # all too small
    bent = frame["loss"].where(frame["flops"] != budgets[2], 6.0 - frame["loss"])  # upside down
    result = isoflop(points_of(frame.assign(loss=bent)[kept]))
    reasons = {float(f"{out.flops[0]:.3g}"): out.reason for out in result.left_out}
    assert list(reasons) == [float(f"{c:.3g}") for c in budgets[:3]]
    first, second, third = reasons.values()
    assert first.startswith("its smallest size is its best")
    assert second.startswith("its largest size is its best")
    assert "its best" in third or "downward" in third
    assert [warning.code for warning in result.warnings] == ["not-bracketed"] * 3
    assert all(f"{c:.3g} FLOPs" in w.message for c, w in zip(budgets, result.warnings, strict=False))
    assert result.used == pytest.approx(budgets[3:])
    assert result.exponent == pytest.approx(exponent("chinchilla"), abs=0.01)


def test_a_parabola_lost_in_noise_is_left_out() -> None:
    frame = isoflop_frame("chinchilla", reach=(1.2, 1.2), noise=0.02, seed=3)
    result = isoflop(points_of(frame))
    reasons = [out.reason for out in result.left_out]
    assert len(reasons) >= 5
    assert any("noise" in reason for reason in reasons)


def test_budgets_that_differ_by_rounding_are_one() -> None:
    exact = isoflop_frame("chinchilla", reach=(6, 6))
    jitter = np.exp(np.random.default_rng(0).uniform(-0.04, 0.04, len(exact)))
    # The same sizes, each trained a few percent longer or shorter than the budget.
    rough = isoflop_frame("chinchilla", reach=(6, 6), spent=jitter)
    result = isoflop(points_of(rough))
    assert len(result.parabolas) == exact["flops"].nunique()
    for parabola in result.parabolas:
        assert parabola.params == pytest.approx(best_size("chinchilla", parabola.flops), rel=0.05)


def test_one_wrong_point_does_not_move_a_minimum() -> None:
    frame = isoflop_frame("chinchilla", reach=(6, 6), noise=0.001)
    row = int(np.argmin(np.abs(np.log(frame["params"] / (2.5 * best_size("chinchilla", frame["flops"].max()))))))
    wrong = frame["loss"].where(frame.index != row, 1.05 * frame["loss"])
    before, after = (isoflop(points_of(f)).parabolas for f in (frame, frame.assign(loss=wrong)))
    for one, other in zip(before, after, strict=True):
        assert other.params == pytest.approx(one.params, rel=0.1)


def test_two_budgets_have_an_interval_by_their_noise_alone_and_say_so() -> None:
    result = isoflop(points_of(isoflop_frame("chinchilla", reach=(6, 6), noise=0.003, budgets=2)))
    assert [warning.code for warning in result.warnings] == ["few-runs"]
    assert result.params is not None
    low_high = result.params.exponent_interval
    assert low_high is not None
    assert low_high[0] < exponent("chinchilla") < low_high[1]
    three = isoflop(points_of(isoflop_frame("chinchilla", reach=(6, 6), noise=0.003, budgets=2, sizes=3)))
    assert three.params is not None
    assert three.params.exponent_interval is None  # three sizes a budget leave no degree of freedom for the noise
    assert all(parabola.interval is None for parabola in three.parabolas)
    one = isoflop(points_of(isoflop_frame("chinchilla", reach=(6, 6), budgets=1)))
    assert one.params is None
    assert len(one.used) == 1


def test_three_budgets_are_less_certain_than_seven() -> None:
    widths = []
    for budgets in (3, 7):
        result = isoflop(points_of(isoflop_frame("chinchilla", reach=(6, 6), noise=0.003, budgets=budgets)))
        assert result.params is not None
        low_high = result.params.exponent_interval
        assert low_high is not None
        widths.append(low_high[1] - low_high[0])
    assert widths[0] > 4 * widths[1]


def test_runs_of_one_trunk_are_resampled_together() -> None:
    frame = isoflop_frame("chinchilla", reach=(6, 6), noise=0.003)
    trunks = pd.factorize(frame["params"].rank(method="dense").round())[0] % 3
    alone, together = (isoflop(points_of(f)).params for f in (frame, frame.assign(trunk_id=[f"t{t}" for t in trunks])))
    assert alone is not None
    assert together is not None
    assert alone.exponent == together.exponent
    assert alone.exponent_interval != together.exponent_interval


def test_tokens_are_counted_as_the_table_counts_flops() -> None:
    frame = isoflop_frame("chinchilla", reach=(6, 6))
    doubled = replace(
        RunArrays.of(frame), inputs=replace(RunArrays.of(frame).inputs, c=RunArrays.of(frame).inputs.c + np.log(2))
    )
    plain, costly = isoflop(RunArrays.of(frame)), isoflop(doubled)
    assert plain.tokens is not None
    assert costly.tokens is not None
    assert costly.tokens.at(2e20) == pytest.approx(plain.tokens.at(1e20), rel=1e-6)


@pytest.mark.parametrize("name", STAGES)
def test_porian(published: Path, name: str) -> None:
    result = isoflop(stage(published, name))
    assert result.params is not None
    assert result.exponent == pytest.approx(STAGES[name], abs=0.03)
    low_high = result.params.exponent_interval
    assert low_high is not None
    assert low_high[0] - 0.01 < STAGES[name] < low_high[1] + 0.01


def test_llama3_sizes_and_tokens(published: Path) -> None:
    result = isoflop(RunArrays.of(read_table(published / "llama3_isoflop.csv").fit))
    assert result.tokens is not None
    # 2407.21783 prints D* = 0.29 C^0.53, which gives 10.5T at 3.8e25 FLOPs, and 16.55T tokens for 402B parameters.
    assert result.tokens.exponent == pytest.approx(0.53, abs=0.015)
    assert result.tokens.at(1.0) == pytest.approx(0.29, rel=0.5)
    low_high = result.tokens.interval(3.8e25)
    assert low_high is not None
    assert low_high[0] < 10.5e12 < 16.55e12 < low_high[1]
    assert result.tokens.at(3.8e25) == pytest.approx(16.55e12, rel=0.1)

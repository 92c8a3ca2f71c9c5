"""Approach 1: known optima from endpoints and from training curves, what is left out, and the published tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from surfaces import FAR, LAWS, STAGES, best_size, exponent, loss_of, points_of, stage

from analysis.allocation.envelope import envelope
from analysis.runs.arrays import RunArrays
from analysis.runs.table import read_table


def grid(law: str, noise: float = 0.0, seed: int = 0, every: float = 3.16, curves: bool = False) -> pd.DataFrame:
    """Sizes a factor of 1.6 apart, each trained at FLOPs a factor of ``every`` apart wherever it is nearly optimal.

    With ``curves``, the points of a size are along one run and share its luck.
    """
    rng = np.random.default_rng(seed)
    sizes = np.exp(np.arange(np.log(best_size(law, 1e18) / 3), np.log(3 * best_size(law, 1e21)), np.log(1.6)))
    budgets = np.exp(np.arange(np.log(1e18), np.log(1e21) + 0.01, np.log(every)))
    rows = [(i, n, c) for i, n in enumerate(sizes) for c in budgets if abs(np.log(n / best_size(law, c))) < np.log(12)]
    frame = pd.DataFrame(rows, columns=["size", "params", "flops"])
    frame["tokens"] = frame["flops"] / frame["params"] / 6
    luck = rng.standard_normal(len(sizes))[frame["size"]] if curves else rng.standard_normal(len(frame))
    frame["loss"] = loss_of(law, frame["params"].to_numpy(), frame["tokens"].to_numpy()) * np.exp(noise * luck)
    names = frame["size"] if curves else frame.index
    return frame.drop(columns="size").assign(run_id=[f"r{name}" for name in names])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("curves", [False, True], ids=["endpoints", "curves"])
def test_it_finds_the_optimum_between_sizes(law: str, curves: bool) -> None:
    result = envelope(points_of(grid(law, curves=curves, every=1.3 if curves else 3.16)), resamples=0)
    assert result.params is not None
    assert result.tokens is not None
    assert result.params.exponent == pytest.approx(exponent(law), abs=0.003)
    assert result.params.at(1e20) == pytest.approx(best_size(law, 1e20), rel=0.03)  # a tenth of a step of sizes
    assert result.tokens.at(1e20) == pytest.approx(1e20 / 6 / best_size(law, 1e20), rel=0.03)
    assert result.params.interval(1e20) is None  # nothing was resampled


def test_noisy_training_losses_are_averaged_along_their_run() -> None:
    frame = grid("chinchilla", every=1.01, curves=True)
    rough = frame["loss"] * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(frame)))
    result = envelope(points_of(frame.assign(loss=rough)), resamples=0)
    assert result.params is not None
    assert result.params.exponent == pytest.approx(exponent("chinchilla"), abs=0.05)


@pytest.mark.parametrize("curves", [False, True], ids=["endpoints", "curves"])
def test_intervals_cover_at_about_their_level(curves: bool) -> None:
    covered, widths, errors = [], [], []
    for seed in range(25):
        frame = grid("chinchilla", 0.004, seed, every=1.5 if curves else 3.16, curves=curves)
        result = envelope(points_of(frame), 60, seed)
        assert result.params is not None
        at, slope = result.params.interval(FAR), result.params.exponent_interval
        assert at is not None
        assert slope is not None
        covered += [at[0] <= best_size("chinchilla", FAR) <= at[1], slope[0] <= exponent("chinchilla") <= slope[1]]
        widths.append(slope[1] - slope[0])
        errors.append(result.params.exponent - exponent("chinchilla"))
    assert np.mean(covered) >= 0.84  # 90 %, less one standard error of 25 sweeps
    assert np.median(widths) < 7 * np.std(errors)  # 3.3 if each were perfect


def test_computes_where_an_end_is_the_best_are_left_out() -> None:
    frame = grid("chinchilla")
    low, high = best_size("chinchilla", 3e18), best_size("chinchilla", 3e20)
    result = envelope(points_of(frame[frame["params"].between(low, high)]), resamples=0)
    first, last = result.left_out
    assert "smallest size" in first.reason
    assert "largest size" in last.reason
    assert 3e18 < result.used[0] < 1.5e19
    assert 6e19 < result.used[1] < 3e20
    assert [warning.code for warning in result.warnings] == ["not-bracketed"] * 2
    assert result.params is not None
    assert result.params.exponent == pytest.approx(exponent("chinchilla"), abs=0.02)


def test_too_little_to_compare_is_no_line() -> None:
    frame = grid("chinchilla")
    two = frame[frame["params"] <= np.sort(frame["params"].unique())[1]]
    for few in (two, frame.groupby("params").head(1)):
        result = envelope(points_of(few))
        assert result.params is None
        assert result.used == ()
        assert {warning.code for warning in result.warnings} == {"not-bracketed"}


def test_equal_losses_tell_nothing() -> None:
    assert envelope(points_of(grid("chinchilla").assign(loss=2.0))).params is None


@pytest.mark.parametrize("name", STAGES)
def test_porian(published: Path, name: str) -> None:
    result = envelope(stage(published, name), resamples=0)
    assert result.params is not None
    assert result.params.exponent == pytest.approx(STAGES[name], abs=0.03)


def test_llama3(published: Path) -> None:
    result = envelope(RunArrays.of(read_table(published / "llama3_isoflop.csv").fit), resamples=100)
    assert result.tokens is not None
    assert result.tokens.exponent == pytest.approx(0.53, abs=0.03)
    low_high = result.tokens.interval(3.8e25)
    assert low_high is not None
    assert low_high[0] < 10.5e12 < 16.55e12 < low_high[1]


def test_epoch_agrees_with_its_law(published: Path) -> None:
    table = read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0")
    result = envelope(RunArrays.of(table.fit), resamples=100)
    assert result.params is not None
    slope, size = result.params.exponent_interval, result.params.interval(5.76e23)
    assert slope is not None
    assert size is not None
    assert slope[0] < exponent("chinchilla") < slope[1]  # 2404.10102's constants
    assert size[0] < best_size("chinchilla", 5.76e23) < size[1]

"""Noise, baselines, parabolas, published constants and backtests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import CHINCHILLA, chinchilla, sweep

from analysis.allocation.allocate import allocate
from analysis.allocation.estimate import estimate_surface
from analysis.allocation.isoflop import isoflop
from analysis.allocation.results import Request
from analysis.errors import InputError
from analysis.fitting.published import predict_published, published
from analysis.forecasting.backtest import backtest
from analysis.forecasting.baselines import LARGEST, LINE, baselines
from analysis.forecasting.forecast import forecast
from analysis.forecasting.score import score
from analysis.laws import usual
from analysis.runs.arrays import RunArrays
from analysis.runs.seed_noise import seed_noise
from analysis.runs.table import RunTable, read_table, table_of


def points_of(frame: pd.DataFrame) -> RunArrays:
    return RunArrays.of(RunTable.from_frame(frame).fit)


def test_seed_noise_by_budget() -> None:
    noise = seed_noise(points_of(sweep(noise=0.01, seeds=40)))
    assert noise.pooled == pytest.approx(0.01, rel=0.1)
    assert noise.freedom == 16 * 39
    assert [budget.runs for budget in noise.by_budget] == [160] * 4
    assert seed_noise(points_of(sweep(seeds=1))).pooled is None


def test_baselines_by_hand() -> None:
    frame = pd.DataFrame(
        {
            "params": [1.0, 2, 3, 3],
            "tokens": [1.0, 1, 1, 1],
            "flops": [1e3, 1e4, 1e5, 1e5],
            "loss": [4.0, 2, 0.9, 1.1],
        }
    )
    naive = baselines(points_of(frame), 1e6)
    assert naive[LARGEST] == pytest.approx(1.0)  # the mean over the two seeds
    assert naive[LINE] == pytest.approx(0.5)  # halved by every factor of ten


def test_parabolas_find_the_optimum_and_name_what_they_leave_out() -> None:
    sizes = np.geomspace(3e3, 1e5, 9)
    rows = [(n, c / 6 / n, c) for c in (1e10, 1e11, 1e12) for n in sizes]
    frame = pd.DataFrame(rows, columns=["params", "tokens", "flops"])
    frame["loss"] = [chinchilla(n, d) for n, d in zip(frame.params, frame.tokens, strict=True)]
    result = isoflop(points_of(frame))
    assert [p.reason is None for p in result.parabolas] == [False, True, True]
    warning, few = result.warnings
    assert warning.code == "not-bracketed"
    assert "1e+10" in warning.message
    assert few.code == "few-runs"
    c = CHINCHILLA
    g = (c["alpha"] * c["A"] / (c["beta"] * c["B"])) ** (1 / (c["alpha"] + c["beta"]))
    best = g * (1e12 / 6) ** (c["beta"] / (c["alpha"] + c["beta"]))
    assert result.parabolas[2].params == pytest.approx(best, rel=0.02)
    assert result.exponent == pytest.approx(c["beta"] / (c["alpha"] + c["beta"]), abs=0.02)


def test_llama3_parabolas(published: Path) -> None:
    result = isoflop(RunArrays.of(read_table(published / "llama3_isoflop.csv").fit))
    assert result.exponent is not None
    # tokens* grows as C^0.53 in the paper, so parameters as C^0.47.
    assert result.exponent == pytest.approx(0.47, abs=0.05)


def test_published_constants() -> None:
    loss = predict_published("published:chinchilla-hoffmann", 70e9, 1.4e12).loss
    assert loss == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28)
    with pytest.raises(InputError, match="did you mean 'chinchilla-epoch'"):
        published("published:chinchila-epoch")


def test_backtest_at_a_threshold() -> None:
    frame = sweep()
    result = backtest(RunTable.from_frame(frame), train_below=1.1e11, bootstrap=50)
    (split,) = result.splits
    assert (split.n_train, split.n_test) == (24, 8)
    assert split.extrapolation == pytest.approx(3.16, rel=0.01)
    assert set(split.laws) == {*usual(), "auto"}
    assert split.laws["chinchilla"].are < 0.02
    assert set(result.summary) == set(split.laws)


@pytest.mark.parametrize("digits", [1, 2, 3, 17])
def test_a_threshold_parts_no_budget(digits: int) -> None:
    frame = sweep()
    wanted = np.sort(frame["flops"])[20]
    limit = float(f"{wanted:.{digits}e}")
    (split,) = backtest(RunTable.from_frame(frame), ["compute"], train_below=limit, bootstrap=20).splits
    assert (split.n_train, split.n_test) == (24, 8)


def test_a_threshold_among_runs_without_budgets_holds() -> None:
    frame = sweep(seeds=1)
    frame = frame.assign(flops=np.geomspace(1e10, 1e12, len(frame)))
    (split,) = backtest(RunTable.from_frame(frame), ["compute"], train_below=1.001e11, bootstrap=20).splits
    assert split.n_train == (frame[frame["role"] == "fit"]["flops"] <= 1.001e11).sum()


def test_backtest_refuses_what_cannot_be_split() -> None:
    with pytest.raises(InputError, match="choose one with `train_below`"):
        backtest(RunTable.from_frame(sweep()[:10]))
    with pytest.raises(InputError, match="the runs span"):
        backtest(RunTable.from_frame(sweep()), train_below=1.0)


@pytest.mark.slow
def test_backtest_on_published_tables(published: Path) -> None:
    table = read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0")
    summary = backtest(table, ["auto"], bootstrap=100).summary["auto"]
    assert summary["mean_are"] < 0.01
    assert summary["coverage"] > 0.8


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("Bits_Per_Byte", "bits per byte"),
        ("val/bpb", "bits per byte"),
        ("eval bits/char", "bits per character"),
        ("bpt", "bits per token"),
        ("val_loss", "nats per token"),
        ("bpbx", "nats per token"),
    ],
)
def test_a_loss_in_bits_is_not_called_nats_per_token(name: str, unit: str) -> None:
    frame = sweep()
    (params, tokens), *_ = frame.loc[frame["role"] == "target", ["params", "tokens"]].to_numpy(float).tolist()
    table = table_of(frame.rename(columns={"loss": name}), columns={"loss": name})
    made = forecast(table, params, tokens, bootstrap=20)
    split = allocate(estimate_surface(table, "chinchilla"), Request(flops=1e13))
    for text in map(str, (made, score(made, table), split)):
        assert f" {unit}" in text
        assert (unit == "nats per token") == ("nats" in text)

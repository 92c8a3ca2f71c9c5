"""Noise, baselines, parabolas, allocation, published constants and backtests."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import CHINCHILLA, chinchilla, sweep

from analysis.allocate import allocate
from analysis.backtest import backtest
from analysis.baselines import LARGEST, LINE, baselines
from analysis.errors import InputError
from analysis.fit import fit
from analysis.forecast import forecast
from analysis.isoflop import isoflop
from analysis.laws import LAWS
from analysis.noise import seed_noise
from analysis.points import Points, inputs_at
from analysis.published import PUBLISHED, predict_published, published
from analysis.table import RunTable, read_table


def points_of(frame: pd.DataFrame) -> Points:
    return Points.of(RunTable.from_frame(frame).fit)


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
    assert [p.fault is None for p in result.parabolas] == [False, True, True]
    warning, few = result.warnings
    assert warning.code == "not-bracketed"
    assert "1e+10" in warning.message
    assert few.code == "few-runs"
    c = CHINCHILLA
    best = allocate(fit(RunTable.from_frame(frame), bootstrap=0), 1e12).params
    assert result.parabolas[2].params == pytest.approx(best, rel=0.02)
    assert result.exponent == pytest.approx(c["beta"] / (c["alpha"] + c["beta"]), abs=0.02)


def test_llama3_parabolas(published: Path) -> None:
    result = isoflop(Points.of(read_table(published / "llama3_isoflop.csv").fit))
    assert result.exponent is not None
    # tokens* grows as C^0.53 in the paper, so parameters as C^0.47.
    assert result.exponent == pytest.approx(0.47, abs=0.05)


@pytest.mark.parametrize("name", ["chinchilla-epoch", "chinchilla-hoffmann", "muennighoff"])
def test_allocation_matches_the_closed_form(name: str) -> None:
    constants, p = published(name), PUBLISHED[name].params
    alpha, beta = p["alpha"], p.get("beta", p["alpha"])
    ratio = (alpha * p["A"] / (beta * p["B"])) ** (1 / (alpha + beta))
    best = allocate(constants, 5.76e23)
    assert best.params == pytest.approx(ratio * (5.76e23 / 6) ** (beta / (alpha + beta)), rel=1e-6)
    assert 6 * best.params * best.tokens == pytest.approx(5.76e23)
    for edge in best.near_optimal["params"]:
        tokens = 5.76e23 / 6 / edge
        assert constants.predict(inputs_at(edge, tokens, 1.0))[0] == pytest.approx(1.0025 * best.loss)


def test_a_budget_is_counted_as_the_table_counts_it() -> None:
    frame = sweep(noise=0.0)
    per_token = 6 * frame.params + 3e4  # small models pay more per parameter, as Llamas do
    exact = frame.assign(flops=per_token * frame.tokens)
    plain, costly = (RunTable.from_frame(f) for f in (frame, exact))
    fitted = fit(plain, bootstrap=0)
    by_6nd = allocate(fitted, 1e12)
    by_table = allocate(fitted, 1e12, fitted=Points.of(plain.fit).inputs)
    assert (by_table.params, by_table.tokens) == pytest.approx((by_6nd.params, by_6nd.tokens), rel=1e-6)
    inputs = Points.of(costly.fit).inputs
    best = allocate(fitted, 1e12, fitted=inputs)
    assert (6 * best.params + 3e4) * best.tokens == pytest.approx(1e12, rel=0.01)
    assert best.loss > by_6nd.loss
    served = allocate(fitted, 1e12, inference_tokens=1e6, fitted=inputs)
    assert (6 * served.params + 3e4) * (served.tokens + 1e6 / 3) == pytest.approx(1e12, rel=0.01)
    # The forecast of a run at that split needs that budget.
    made = forecast(costly, best.params, best.tokens, law="chinchilla", bootstrap=20)
    assert made.flops == pytest.approx(1e12)


def test_inference_makes_the_model_smaller_and_training_longer() -> None:
    fitted = published("chinchilla-epoch")
    plain, served = allocate(fitted, 1e24), allocate(fitted, 1e24, inference_tokens=2e12)
    assert served.params < plain.params
    assert served.tokens_per_param > plain.tokens_per_param
    assert served.params * (6 * served.tokens + 2 * 2e12) == pytest.approx(1e24)


def test_scarce_data_costs_loss_and_warns() -> None:
    fitted = published("muennighoff")
    plain, scarce = allocate(fitted, 1e24), allocate(fitted, 1e24, unique_tokens=1e11)
    assert scarce.loss > plain.loss
    assert "repeated-data" in [warning.code for warning in scarce.warnings]
    enough = allocate(fitted, 1e24, unique_tokens=1e15)
    assert enough.params == pytest.approx(plain.params, rel=1e-6)


def test_allocation_refuses_what_it_cannot_split() -> None:
    with pytest.raises(InputError, match="does not tell parameters from tokens"):
        allocate(fit(RunTable.from_frame(sweep()), "compute", bootstrap=0), 1e12)
    with pytest.raises(InputError, match="do not even serve"):
        allocate(published("chinchilla-epoch"), 1e12, inference_tokens=1e15)


def test_published_constants() -> None:
    loss = predict_published("published:chinchilla-hoffmann", 70e9, 1.4e12)["loss"]
    assert loss == pytest.approx(1.69 + 406.4 / 70e9**0.34 + 410.7 / 1.4e12**0.28)
    with pytest.raises(InputError, match="did you mean 'chinchilla-epoch'"):
        published("published:chinchila-epoch")


def test_backtest_at_a_threshold() -> None:
    frame = sweep()
    result = backtest(RunTable.from_frame(frame), train_below=1.1e11, bootstrap=50)
    (split,) = result.splits
    assert (split.n_train, split.n_test) == (24, 8)
    assert split.extrapolation == pytest.approx(3.16, rel=0.01)
    assert set(split.laws) == {*LAWS, "auto"}
    assert split.laws["chinchilla"].are < 0.02
    assert set(result.summary) == set(split.laws)


def test_backtest_refuses_what_cannot_be_split() -> None:
    with pytest.raises(InputError, match="--train-below"):
        backtest(RunTable.from_frame(sweep()[:10]))
    with pytest.raises(InputError, match="the runs span"):
        backtest(RunTable.from_frame(sweep()), train_below=1.0)


@pytest.mark.slow
def test_backtest_on_published_tables(published: Path) -> None:
    table = read_table(published / "epoch_chinchilla.csv", where="excluded_by_epoch == 0")
    summary = backtest(table, ["auto"], bootstrap=100).summary["auto"]
    assert summary["mean_are"] < 0.01
    assert summary["coverage"] > 0.8

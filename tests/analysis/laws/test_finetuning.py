"""The laws of fine-tuning: synthetic tables' constants given back, absent terms, and what is weighed."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.fitting.fit import fit, fit_arrays
from analysis.fitting.huber_newton import best_of_starts, minimise
from analysis.forecasting.backtest import backtest
from analysis.forecasting.ensemble import weighed_of
from analysis.forecasting.forecast import forecast
from analysis.laws import LAWS, Law
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.table import RunTable, table_of

EXAMPLES = 200.0 * 2.0 ** np.arange(14)
SIZES = (1.2e8, 4e8, 1.3e9, 4e9)
TRUTH: dict[str, dict[str, float]] = {
    "finetuning": {"E": 0.6, "A": 40.0, "a": 0.11, "b": 0.12},
    "finetuning-rectified": {"E": 0.5, "A": 300.0, "D_t": 9e3, "a": 0.12, "b": 0.25},
    "rectified": {"E": 0.7, "B": 560.0, "D_l": 160.0, "b": 0.45},
    "data": {"E": 0.9, "B": 6.0, "beta": 0.25},
}


def rows_of(name: str, sizes: tuple[float, ...], noise: float, seed: int = 0, seeds: int = 3) -> pd.DataFrame:
    """Examples, params and loss of a law, several seeds of each cell."""
    n, d, _ = (part.ravel() for part in np.meshgrid(sizes, EXAMPLES, np.arange(seeds), indexing="ij"))
    error = noise * np.random.default_rng(seed).standard_normal(len(n))
    loss = LAWS[name].predict(TRUTH[name], inputs_at(n, d, 6 * n * d)) * np.exp(error)
    return pd.DataFrame({"params": n, "examples": d, "loss": loss})


def table(name: str, sizes: tuple[float, ...] = SIZES, noise: float = 0.005, seed: int = 0) -> RunTable:
    return table_of(rows_of(name, sizes, noise, seed))


def sizes_for(name: str) -> tuple[float, ...]:
    return SIZES if "params" in LAWS[name].needs else SIZES[1:2]


@pytest.mark.parametrize("name", list(TRUTH))
def test_synthetic_tables_give_their_constants_back(name: str) -> None:
    fits = [fit(table(name, sizes_for(name), seed=seed), name, bootstrap=200) for seed in range(6)]
    inside = [
        abs(made.params[constant] - truth) <= 2 * (made.stderr[constant] or 0.0)
        for made in fits
        for constant, truth in TRUTH[name].items()
    ]
    assert np.mean(inside) >= 0.85
    exponent = LAWS[name].names[-1]
    assert all(
        (made.stderr[exponent] or np.inf) < 0.1 * TRUTH[name][exponent] for made in fits
    )  # two hold not anything


def test_a_wrong_law_does_not_give_them_back() -> None:
    made = fit(table("finetuning-rectified"), "finetuning", bootstrap=100)
    truth = TRUTH["finetuning-rectified"]
    assert any(abs(made.params[name] - truth[name]) > 4 * (made.stderr[name] or 0.0) for name in ("E", "a", "b"))


@pytest.mark.parametrize("absent", [{"E": 0.0}, {"D_l": 1e-3}, {"E": 0.0, "D_l": 1e-3}], ids=["E", "D_l", "both"])
def test_a_term_that_is_absent_is_found_to_be(absent: dict[str, float]) -> None:
    truth = {"E": 0.7, "B": 6.0, "D_l": 1.2, "b": 0.12} | absent
    law = LAWS["rectified"]
    inputs = inputs_at(np.ones(14), EXAMPLES, EXAMPLES)
    rows = np.arange(14)
    made = fit_arrays(RunArrays(inputs, np.log(law.predict(truth, inputs)), rows, rows), law)
    assert made.params["b"] == pytest.approx(truth["b"], rel=2e-2)
    assert law.predict(dict(made.params), inputs) == pytest.approx(law.predict(truth, inputs), rel=1e-4)
    assert made.at_edge == ()


@pytest.mark.parametrize("seed", [0, 7])
def test_the_search_reaches_the_minimum_where_a_term_is_absent(seed: int) -> None:
    # Seeded fault: without solving again for the others, a search that meets E = 0 stops short of the minimum.
    law, faulty = LAWS["rectified"], dataclasses.replace(LAWS["rectified"], absent=frozenset())
    inputs, ones = inputs_at(np.ones(10), EXAMPLES[:10], EXAMPLES[:10]), np.ones(10)
    truth = {"E": 0.0, "B": 200.0, "D_l": 60.0, "b": 0.3}
    log_loss = np.log(law.predict(truth, inputs)) + 0.02 * np.random.default_rng(seed).standard_normal(10)
    found, stopped = (best_of_starts(each, inputs, log_loss, ones).stats.objective[0] for each in (law, faulty))
    near = minimise(law, inputs, log_loss, ones[None], law.internal(truth)[None], 1000).stats.objective[0]
    assert found <= 1.001 * near
    assert stopped > 1.1 * found


def test_a_table_of_several_sizes_weighs_the_sum_and_the_product_and_the_rectified_law() -> None:
    assert set(weighed_of(table("finetuning").arrays)) == {"chinchilla", "finetuning", "finetuning-rectified"}


def test_a_table_of_one_size_weighs_the_laws_of_data_alone() -> None:
    one = table("rectified", SIZES[:1])
    assert set(weighed_of(one.arrays)) == {"rectified", "data"}
    made = backtest(one, train_below=6 * SIZES[0] * EXAMPLES[11], bootstrap=20)
    assert set(made.splits[0].laws) == {"rectified", "data", "auto"}


def test_ordinary_tables_weigh_what_they_did() -> None:
    rows = rows_of("finetuning", SIZES, 0.005).rename(columns={"examples": "tokens"})
    made = table_of(rows.assign(tokens=rows["tokens"] * 1e6))
    assert made.arrays.stage is None
    assert not {"finetuning", "rectified", "finetuning-rectified", "data"} & set(weighed_of(made.arrays))


@pytest.mark.parametrize("law", ["rectified", "data"])
def test_a_law_of_one_size_refuses_several(law: str) -> None:
    with pytest.raises(InputError, match=f"{law} is a law of one size, and the runs have 4 .* `where`, such as params"):
        fit(table("finetuning"), law)


def test_a_reward_model_whose_size_shows_no_effect_is_forecast_by_its_pairs() -> None:
    rng = np.random.default_rng(1)
    n, d, _ = (part.ravel() for part in np.meshgrid([7e3, 2e4, 6.8e4], 128.0 * 2.0 ** np.arange(6), [0, 1]))
    loss = (0.3 + 2.2 / d**0.4) * np.exp(0.03 * rng.standard_normal(len(n)))
    pairs = table_of(pd.DataFrame({"params": n, "pairs": d, "loss": loss}))
    assert pairs.arrays.stage == "reward"
    assert set(weighed_of(pairs.arrays)) == {"rectified", "data"}
    small, large = (forecast(pairs, size, 8192, bootstrap=40) for size in (7e3, 6.8e4))
    assert "size-unseen" in {warning.code for warning in large.warnings}
    assert small.loss == pytest.approx(large.loss, rel=1e-9)
    assert large.interval[0] <= 0.3 + 2.2 / 8192**0.4 <= large.interval[1]


def test_a_reward_model_whose_size_shows_is_forecast_by_both() -> None:
    rows = rows_of("finetuning", SIZES, 0.01).rename(columns={"examples": "pairs"})
    made = table_of(rows).arrays
    assert made.stage == "reward"
    assert "chinchilla" in weighed_of(made)


def test_a_naive_forecast_that_missed_less_is_said_to() -> None:
    # No law falls, stays and falls again, and the loss of the largest run is never far off.
    steps = np.repeat([3.0, 3.0, 2.0, 2.0, 1.99, 1.98, 1.975], 2)
    curve = table_of(pd.DataFrame({"params": 1e8, "examples": EXAMPLES, "loss": steps}))
    codes = {warning.code for warning in forecast(curve, 1e8, EXAMPLES[-1] * 4, bootstrap=40).warnings}
    assert "naive-better" in codes
    smooth = forecast(table("rectified", SIZES[:1], noise=0.002), SIZES[0], EXAMPLES[-1] * 4, bootstrap=40)
    assert "naive-better" not in {warning.code for warning in smooth.warnings}


def test_the_floor_of_a_law_may_be_absent_without_a_warning_of_the_edge() -> None:
    law: Law = LAWS["rectified"]
    assert law.at_edge(law.internal({"E": 0.0, "B": 1.0, "D_l": 1e-3, "b": 0.5})) == ()
    assert law.at_edge(law.internal({"E": 0.0, "B": 1.0, "D_l": 1.0, "b": 4.0})) == ("b",)

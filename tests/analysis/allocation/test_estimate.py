"""Allocation on surfaces estimated from runs: intervals, known answers, budgets, and runs that do not suffice."""

from pathlib import Path

import pandas as pd
import pytest
from surfaces import FAR, best_size, few, isoflop_frame
from synthetic import CHINCHILLA, sweep

from analysis.allocation.allocate import allocate
from analysis.allocation.estimate import SurfaceEstimate, estimate_surface, published_surface
from analysis.allocation.results import Request
from analysis.errors import InputError
from analysis.forecasting.forecast import forecast
from analysis.runs.table import RunTable, read_table


@pytest.fixture(scope="module")
def isoflops() -> SurfaceEstimate:
    return estimate_surface(
        RunTable.from_frame(isoflop_frame("chinchilla", reach=(8, 8), noise=0.002, sizes=11)), "chinchilla"
    )


def test_resamples_give_an_interval(isoflops: SurfaceEstimate) -> None:
    made = allocate(isoflops, Request(flops=FAR))
    assert made.interval is not None
    low, high = made.interval["params"]
    assert high is not None
    assert low < best_size("chinchilla", FAR) < high
    tokens = made.interval["tokens"]
    assert tokens == pytest.approx((FAR / 6 / high, FAR / 6 / low), rel=0.02)
    assert "sampling of the runs" in made.covers
    assert made.extrapolation == pytest.approx(100)


@pytest.mark.slow
def test_all_laws_together() -> None:
    table = RunTable.from_frame(sweep())
    known = estimate_surface(table)
    c = CHINCHILLA
    g = (c["alpha"] * c["A"] / (c["beta"] * c["B"])) ** (1 / (c["alpha"] + c["beta"]))
    made = allocate(known, Request(flops=3e12))
    assert len({member.law.name for member in known.surface.members}) > 3
    assert made.interval is not None
    low, high = made.interval["params"]
    assert high is not None
    assert low < g * (3e12 / 6) ** (c["beta"] / (c["alpha"] + c["beta"])) < high
    assert "choice of law" in made.covers
    assert made.law == max(made.weights, key=lambda name: made.weights[name])
    # The loss is that of the forecast of such a run, and a request for that loss gives the run back.
    foreseen = forecast(table, made.params, made.tokens, bootstrap=200)
    assert made.loss == pytest.approx(foreseen.loss)
    assert made.interval["loss"] == pytest.approx(foreseen.interval)
    back = allocate(few(known), Request(loss=made.loss))
    assert back.params == pytest.approx(made.params, rel=1e-4)
    given = allocate(few(known), Request(params=made.params / 3, tokens=made.tokens))
    foreseen = forecast(table, made.params / 3, made.tokens, bootstrap=200)
    assert given.interval is not None
    assert (given.loss, *given.interval["loss"]) == pytest.approx((foreseen.loss, *foreseen.interval))
    scarce = allocate(few(estimate_surface(table, unique_tokens=1e6)), Request(flops=3e12))
    assert scarce.loss > made.loss
    assert not {"kaplan", "farseer"} & set(scarce.weights)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "where", "flops", "params"),
    [
        ("epoch_chinchilla.csv", "excluded_by_epoch == 0", 5.76e23, 72e9),
        ("llama3_isoflop.csv", None, 3.8e25, 402e9),
    ],
)
def test_known_answers_from_published_runs(
    published: Path, name: str, where: str | None, flops: float, params: float
) -> None:
    made = allocate(estimate_surface(read_table(published / name, where=where)), Request(flops=flops))
    assert made.interval is not None
    low, high = made.interval["params"]
    assert high is not None
    assert low < params < high
    assert params / 2 < made.params < 2 * params


def test_a_budget_is_counted_as_the_table_counts_it() -> None:
    frame = sweep(noise=0.0)
    per_token = 6 * frame.params + 3e4  # small models pay more per parameter, as Llamas do
    costly = RunTable.from_frame(frame.assign(flops=per_token * frame.tokens))
    plain = allocate(few(estimate_surface(RunTable.from_frame(frame), "chinchilla")), Request(flops=1e12))
    known = few(estimate_surface(costly, "chinchilla"))
    best = allocate(known, Request(flops=1e12))
    assert (6 * best.params + 3e4) * best.tokens == pytest.approx(1e12, rel=0.01)
    assert best.loss > plain.loss
    served = allocate(known, Request(flops=1e12, inference_tokens=1e6))
    assert (6 * served.params + 3e4) * (served.tokens + 1e6 / 3) == pytest.approx(served.total_flops, rel=0.01)
    # The forecast of a run at that split needs that budget.
    made = forecast(costly, best.params, best.tokens, law="chinchilla", bootstrap=20)
    assert made.flops == pytest.approx(1e12)


def test_laws_that_cannot_tell_are_refused() -> None:
    table = RunTable.from_frame(sweep())
    with pytest.raises(InputError, match="does not tell parameters from tokens"):
        estimate_surface(table, "compute")
    with pytest.raises(InputError, match="what repeated tokens are worth"):
        published_surface("kaplan", unique_tokens=1e9)


def test_runs_of_one_size_or_length_are_refused() -> None:
    frame = sweep()
    for column, error in (
        ("params", "one size .* what parameters buy"),
        ("tokens", "one length .* what tokens buy"),
    ):
        one = RunTable.from_frame(frame.assign(**{column: 1e6}).drop(columns="flops"))
        with pytest.raises(InputError, match=error):
            estimate_surface(one)
    cells = frame.drop_duplicates("params").iloc[:4]
    repeated = RunTable.from_frame(pd.concat([cells] * 5).assign(run_id=[f"{i}" for i in range(20)]))
    with pytest.raises(InputError, match="4 different \\(params, tokens\\) are too few"):
        estimate_surface(repeated, "chinchilla")

"""What to buy next: designs that identify a law, and refusals that say what is missing and what would do."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

from analysis.design.design import Design, design
from analysis.design.identifiability import cheapest_identifying, optimal_size, unmet_conditions
from analysis.design.seeds import PlannedCell
from analysis.design.selection import inputs_of
from analysis.design.simulate import ExpectedForecast
from analysis.errors import InputError
from analysis.fitting.published import PUBLISHED, published
from analysis.runs.arrays import RunArrays
from analysis.runs.table import RunTable

CHINCHILLA = published("chinchilla-epoch")
LAW = (CHINCHILLA.law, CHINCHILLA.params)
TARGET = PlannedCell(7e9, 1.4e11, 6 * 7e9 * 1.4e11, 1)
AIM = inputs_of([TARGET])


def family(sizes: Sequence[float]) -> Callable[[float, float, float], list[PlannedCell]]:
    def offer(flops: float, fewest: float, most: float) -> list[PlannedCell]:
        return [PlannedCell(n, flops / 6 / n, flops, 8) for n in sizes if fewest <= n <= most]

    return offer


OFFER = family(np.geomspace(1e4, 1e11, 40).tolist())


def cells(flops: Sequence[float], spread: Sequence[float] = (0.3, 1.0, 3.0)) -> list[PlannedCell]:
    return [PlannedCell(n := float(np.sqrt(c / 120)) * s, c / 6 / n, c, 1) for c in flops for s in spread]


def lacks(runs: Sequence[PlannedCell]) -> str:
    return "; ".join(unmet_conditions(inputs_of(runs), AIM, [LAW]))


@pytest.fixture
def unsimulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the simulation of the forecast, which takes most of a design's time."""
    monkeypatch.setattr("analysis.design.design.simulate_forecast", lambda *_: None)


def check(found: Design, spend: float) -> None:
    """What every design is held to."""
    assert 0.5 * spend < found.flops <= spend * (1 + 1e-9)
    assert max(cell.flops for cell in found.cells) <= found.max_run_flops <= spend / 5
    assert len({cell.flops for cell in found.cells}) >= 4
    assert len({cell.params for cell in found.cells}) >= 4
    assert sum(cell.seeds for cell in found.cells) <= 500


def test_the_best_size_is_the_published_one() -> None:
    p = CHINCHILLA.params
    flops = np.array([1e18, 5.76e23])
    a, b = p["alpha"], p["beta"]
    ratio = (a * p["A"] / b / p["B"]) ** (1 / (a + b))
    np.testing.assert_allclose(
        optimal_size([LAW], np.log(flops)), np.log(ratio * (flops / 6) ** (b / (a + b))), atol=0.02
    )


def test_a_design_that_suffices_lacks_nothing() -> None:
    assert lacks(cells([1e17, 1e18, 1e19])) == ""


@pytest.mark.parametrize(
    ("runs", "reported"),
    [
        (cells([1e17, 1e19]), "6 different (params, tokens) are too few"),
        ([PlannedCell(1e8, d, 6e8 * d, 1) for d in np.geomspace(1e8, 1e11, 9)], "one size does not tell"),
        (cells(np.geomspace(1e17, 1e19, 8).tolist(), [1.0]), "params and tokens move together"),
        (cells([1e17, 1e18, 1e19], [0.1, 0.2, 0.3]), "no budgets have a run with more parameters than the best size"),
        (cells([1e17, 1e18, 1e19], [2, 4, 8]), "no budgets have a run with fewer parameters than the best size"),
        (cells([1e12, 1e13, 1e14]), "no forecast reaches that far"),
    ],
)
def test_what_a_design_lacks(runs: list[PlannedCell], reported: str) -> None:
    assert reported in lacks(runs)


def test_the_cheapest_design_identifies_and_is_not_bought_twice() -> None:
    menu = [cell for flops in np.geomspace(1e16, 1e19, 7).tolist() for cell in OFFER(flops, 1e6, 1e10)]
    seeds = cheapest_identifying(menu, None, AIM, [LAW], 1e20)
    assert seeds is not None
    bought = [cell for cell, count in zip(menu, seeds, strict=True) if count]
    assert lacks(bought) == ""
    assert len(bought) == 9
    assert cheapest_identifying(menu, None, AIM, [LAW], 1e16) is None
    again = cheapest_identifying(menu, inputs_of(bought), AIM, [LAW], 1e16)
    assert again is not None
    assert not again.any()


@pytest.mark.parametrize("name", list(PUBLISHED))
@pytest.mark.usefixtures("unsimulated")
def test_from_nothing_but_a_published_law(name: str) -> None:
    found = design(OFFER, TARGET, 1e20, None, published(name))
    check(found, 1e20)
    assert lacks(found.cells) == "" or name != "chinchilla-epoch"


@pytest.mark.usefixtures("unsimulated")
def test_an_over_trained_target_is_reached_out_for() -> None:
    usual, over = (
        design(OFFER, PlannedCell(n, d, 6 * n * d, 1), 1e20, None, CHINCHILLA)
        for n, d in ((2.65e10, 5.3e11), (2e9, 7e12))
    )
    most = [max(cell.tokens / cell.params for cell in found.cells) for found in (usual, over)]
    assert most[1] > 2 * most[0]
    check(over, 1e20)


def test_requested_again_after_each_batch_the_forecast_sharpens() -> None:
    frame = sweep(noise=0.005, seeds=2)
    target = PlannedCell(1e6, 3e7, 1.8e14, 1)
    offer = family(np.geomspace(1e3, 1e6, 25).tolist())
    first = design(offer, target, 2e13, RunTable.from_frame(frame).arrays)
    check(first, 2e13)
    assert first.before is not None
    assert first.after is not None
    assert first.after.half_width < first.before.half_width
    rows = [
        {
            "params": c.params,
            "tokens": c.tokens,
            "flops": c.flops,
            "loss": 0.75 + 8 / c.params**0.36 + 60 / c.tokens**0.37,
        }
        for c in first.cells
    ]
    old = frame[frame.role == "fit"][["params", "tokens", "flops", "loss"]].to_dict("records")
    more = RunTable.from_frame(type(frame)([*old, *rows])).arrays
    second = design(offer, target, 2e13, more)
    assert second.flops <= 2e13 * (1 + 1e-9)
    assert second.before is not None
    assert second.before.half_width < first.before.half_width


def table(n: Sequence[float], c: float | Sequence[float], loss: float | None = None) -> RunArrays:
    """Runs of chinchilla's law with noise, from 1e17 to 1e18 FLOPs by default, or all of one loss."""
    sizes, flops = (x.ravel() for x in np.meshgrid(n, c))
    tokens = flops / 6 / sizes
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(sizes)))
    losses = (1.7 + 400 / sizes**0.34 + 410 / tokens**0.28) * noise if loss is None else np.full(len(sizes), loss)
    return RunTable.from_frame(pd.DataFrame({"params": sizes, "tokens": tokens, "loss": losses})).arrays


SIZES, BUDGETS = [1e7, 3e7, 1e8, 3e8], [1e17, 3e17, 1e18]
ABOVE = PlannedCell(1e9, 2e10, 1.2e20, 1)


def test_more_flops_never_widen_and_tiny_runs_tell_next_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now = ExpectedForecast(half_width=0.04, level=0.9, error=0.01, noise=0.001, fitted=True)
    monkeypatch.setattr("analysis.design.design.simulate_forecast", lambda *_: now)
    widths = []
    for spend in (1e12, 1e15, 1e17, 1e18, 1e19, 3e19):
        found = design(OFFER, ABOVE, spend, table(SIZES, BUDGETS))
        assert found.before == now
        assert found.after is not None
        widths.append(found.after.half_width)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 0.99 * now.half_width
    assert widths[-1] < 0.6 * now.half_width


@pytest.mark.parametrize(
    ("finished", "reported"),
    [
        (table([1e8], np.geomspace(1e16, 1e19, 12).tolist()), "one size does not tell"),
        (table(SIZES, BUDGETS, 2.0), "their losses hardly depend on parameters and tokens"),
    ],
)
def test_runs_that_identify_no_law_do_not_steer(finished: RunArrays, reported: str) -> None:
    found = design(OFFER, ABOVE, 1e19, finished)
    assert found.before is None
    assert found.after is not None
    assert not found.after.fitted
    few = next(warning for warning in found.warnings if warning.code == "few-runs")
    assert reported in few.message
    assert {cell.params for cell in design(OFFER, ABOVE, 1e19).cells} & {cell.params for cell in found.cells}


def test_no_run_worth_training_is_reported() -> None:
    nothing = family([])
    with pytest.raises(InputError, match="no run of this family is worth training"):
        design(nothing, ABOVE, 1e19, table(SIZES, BUDGETS))


@pytest.mark.usefixtures("unsimulated")
def test_budgets_of_the_sweep_are_kept() -> None:
    requested: list[float] = []

    def offer(flops: float, fewest: float, most: float) -> list[PlannedCell]:
        requested.append(flops)
        return OFFER(flops, fewest, most)

    found = design(offer, TARGET, 1e20, None, CHINCHILLA, [7e17, 7.1e18, 1e21])
    assert sorted(requested) == [2e16, 6.3e16, 2e17, 7e17, 2e18, 7.1e18, 2e19]
    assert {cell.flops for cell in found.cells} <= set(requested)


def refusal(
    offer: Callable[[float, float, float], list[PlannedCell]], target: PlannedCell, spend: float, finished: bool = False
) -> str:
    points = RunTable.from_frame(sweep()).arrays if finished else None
    with pytest.raises(InputError) as caught:
        design(offer, target, spend, points, CHINCHILLA)
    assert all("\n" not in violation for violation in caught.value.errors)
    return "\n".join(caught.value.errors)


@pytest.mark.usefixtures("unsimulated")
def test_too_few_flops_say_the_least_that_does() -> None:
    reported = refusal(OFFER, TARGET, 1e14)
    found = re.search(r"a law; about (\S+) do", reported)
    assert found is not None
    assert "no forecast reaches that far" in reported
    least = float(found[1])
    check(design(OFFER, TARGET, 1.1 * least, None, CHINCHILLA), 1.1 * least)
    refusal(OFFER, TARGET, least / 1.4)


@pytest.mark.parametrize(
    ("sizes", "reported"),
    [([1e8], "one size"), ([1e8, 2e8], "two sizes"), ([], "there is no run"), ([9e9, 5e10, 8e10], "no")],
)
def test_a_family_that_cannot_identify_a_law(sizes: list[float], reported: str) -> None:
    refused = refusal(family(sizes), TARGET, 1e19)
    assert reported in refused


@pytest.mark.parametrize(
    ("target", "spend", "finished", "reported"),
    [
        (TARGET, 1e23, False, "train it instead"),
        (replace(TARGET, flops=np.inf), 1e20, False, "more FLOPs than can be counted"),
        (replace(TARGET, tokens=0.5), 1e20, False, "the target's tokens are 0.5"),
        (PlannedCell(1e4, 1e5, 6e9, 1), 1e9, True, "it is no extrapolation"),
    ],
)
def test_targets_that_are_none(target: PlannedCell, spend: float, finished: bool, reported: str) -> None:
    assert reported in refusal(OFFER, target, spend, finished)


@pytest.mark.usefixtures("unsimulated")
def test_far_extrapolation_is_warned_of() -> None:
    far = design(OFFER, PlannedCell(7e10, 1.4e12, 6 * 7e10 * 1.4e12, 1), 1e19, None, CHINCHILLA)
    near = design(OFFER, TARGET, 1e21, None, CHINCHILLA)
    assert [warning.code for warning in far.warnings] == ["far-extrapolation"]
    assert near.warnings == ()

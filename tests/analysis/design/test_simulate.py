"""What a design's forecast can be expected to be worth, by simulation."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.design.seeds import PlannedCell
from analysis.design.selection import cells_of
from analysis.design.simulate import ExpectedForecast, default_noise, simulate_forecast
from analysis.runs.table import read_table

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def grid(
    budgets: Sequence[float], spread: Sequence[float] = (0.3, 0.6, 1, 1.7, 3), seeds: int = 1
) -> list[PlannedCell]:
    """IsoFLOP cells around 20 tokens per parameter."""
    return [cell(c, s, seeds) for c in budgets for s in spread]


def cell(flops: float, spread: float = 1.0, seeds: int = 1) -> PlannedCell:
    params = float(np.sqrt(flops / 120) * spread)
    return PlannedCell(params, flops / 6 / params, flops, seeds)


def simulated(cells: Sequence[PlannedCell], target: PlannedCell, level: float = 0.9) -> ExpectedForecast:
    found = simulate_forecast(cells, target, level=level, draws=4)
    assert found is not None
    return found


SMALL = grid([1e10, 3e10, 1e11])


def test_what_narrows_an_interval() -> None:
    usual = simulated(SMALL, cell(1e12))
    assert simulated(grid([1e10, 3e10, 1e11], seeds=8), cell(1e12)).half_width < usual.half_width
    assert simulated(grid([1e10, 3e10, 1e11, 3e11]), cell(1e12)).half_width < usual.half_width
    assert simulated(SMALL, cell(1e14)).half_width > usual.half_width
    assert simulated(SMALL, cell(1e12), level=0.5).half_width < usual.half_width / 2
    assert 0 < usual.error < usual.half_width


def test_the_same_design_has_the_same_interval_in_any_order() -> None:
    cells = [replace(of, seeds=1 + i % 3) for i, of in enumerate(SMALL[:8])]
    assert simulated(cells, cell(1e12)) == simulated(cells[::-1], cell(1e12)) == simulated(cells, cell(1e12))


def test_without_finished_runs_seeds_do_not_buy_certainty() -> None:
    many = simulated(grid([1e18, 1e19, 1e20], seeds=32), cell(1e21))
    assert not many.fitted
    assert many.noise == pytest.approx(0.001)
    assert many.half_width > 0.02  # by noise alone it would be 0.9 %


def test_finished_sweeps_have_about_the_expected_interval() -> None:
    """None by a factor of two, and none as a rule too wide or too narrow."""
    ratios = []
    for folder in ("corpora/law", "corpora/python-2", "corpora/sotu-2"):
        forecast = json.loads((BENCHMARKS / folder / "forecast.json").read_text())
        points = read_table(BENCHMARKS / folder).arrays
        target = PlannedCell(*(forecast[name] for name in ("params", "tokens", "flops", "target_seeds")))
        found = simulate_forecast(cells_of(points), target, points)
        assert found is not None
        assert found.fitted
        ratios.append(found.half_width / (np.log(forecast["interval"]) @ [-0.5, 0.5]))
    assert 0.5 < min(ratios) < max(ratios) < 2
    assert 0.75 < np.exp(np.log(ratios).mean()) < 1.33


@pytest.mark.parametrize(
    ("half_width", "text"), [(0.0064, "0.6%"), (0.0143, "1.4%"), (0.0197, "2.0%"), (0.0427, "4%"), (0.179, "18%")]
)
def test_a_width_is_written_with_its_significant_digits(half_width: float, text: str) -> None:
    assert ExpectedForecast(half_width, 0.9, 0.01, 0.001, fitted=True).half_width_text == text


def test_too_few_cells_tell_no_law() -> None:
    assert simulate_forecast(SMALL[:6], cell(1e12)) is None
    assert simulate_forecast(SMALL[:7], cell(1e12), draws=2) is not None


def test_too_few_finished_runs_tell_nothing() -> None:
    points = read_table(BENCHMARKS / "quickstart" / "sotu").arrays
    few = points.subset(points.cell < 6)
    assert simulate_forecast(SMALL[:7], cell(1e12), few, draws=4) == simulated(SMALL[:7], cell(1e12))


@pytest.mark.parametrize(
    "cells",
    [
        [PlannedCell(1e7, tokens, 6e7 * tokens, 1) for tokens in np.geomspace(1e8, 1e10, 8)],
        [PlannedCell(1e7, 1e8, 6e15, 2)] * 8,
    ],
    ids=["one size", "one cell"],
)
def test_designs_that_tell_no_law_promise_nothing(cells: list[PlannedCell]) -> None:
    assert simulated(cells, PlannedCell(1e10, 2e11, 1.2e22, 1)).half_width > 0.1


def test_usual_noise_falls_with_the_scale() -> None:
    assert default_noise(np.array([1e2, 1e11, 1e18, 1e24])) == pytest.approx([0.015, 0.006, 0.001, 0.001])
    assert (np.diff(default_noise(np.geomspace(1e9, 1e18, 10))) < 0).all()

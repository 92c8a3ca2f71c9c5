"""What ``benchmarks/posttrain.md`` says of the 90 public fine-tuning curves of 2402.02314, held to."""

from pathlib import Path

import numpy as np
import pytest

from analysis.forecasting.ensemble import AUTO
from analysis.runs.table import table_of
from benchmarks.posttrain.finetuning import BOUNDS, DATASETS, Forecast, alone, curves, scatter


@pytest.fixture
def folder(published: Path) -> Path:
    if not (published / "finetuning").is_dir():
        pytest.skip("SCALING_PUBLISHED has no folder finetuning: no public fine-tuning curves")
    return published


@pytest.mark.parametrize("dataset", ["FLAN"])
def test_the_rectified_law_bends_as_published_curves_do(folder: Path, dataset: str) -> None:
    tables = [table_of(rows) for _, rows in curves(folder, dataset).groupby("model", sort=False)]
    assert len(tables) == 30
    rectified, power = (np.mean([scatter(table, law) for table in tables]) for law in ("rectified", "data"))
    assert rectified <= BOUNDS[dataset][0]
    assert power > 4 * rectified  # published: .0358 against .0065


def _at_most_data(made: list[dict[str, Forecast]], law: str) -> float:
    return float(np.mean([abs(each[law].error[each[law].most]).mean() for each in made]))


@pytest.mark.slow
def test_sixteen_times_the_data_is_forecast_on_all_curves(folder: Path) -> None:
    inside = []
    for dataset in DATASETS:
        rows = curves(folder, dataset)
        tables = [table_of(curve) for _, curve in rows.groupby("model", sort=False)]
        assert np.mean([scatter(table, "rectified") for table in tables]) <= BOUNDS[dataset][0]
        made = alone(rows)
        error = {law: _at_most_data(made, law) for law in (AUTO, "rectified", "data", "last loss")}
        assert error[AUTO] <= BOUNDS[dataset][1]
        assert error["rectified"] <= BOUNDS[dataset][1]
        assert error[AUTO] < min(error["rectified"], error["data"], error["last loss"])
        inside += [held for each in made for held in each[AUTO].inside]
    assert 0.80 <= np.mean(inside) <= 0.98

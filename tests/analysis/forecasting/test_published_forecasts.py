"""What ``benchmarks/forecast.md`` says of auto, held to: forecasts of published runs from the cheaper ones."""

from pathlib import Path

import numpy as np
import pytest

from analysis.forecasting.backtest import SplitScore, backtest
from analysis.forecasting.ensemble import AUTO
from analysis.runs.table import read_table

TABLES = (
    ("epoch_chinchilla", "excluded_by_epoch == 0", False),
    ("llama3_isoflop", None, False),
    ("gadre2024", 'train_data == "c4_original"', False),
    ("gadre2024", 'train_data == "rpj"', False),
    ("gadre2024", 'train_data == "rw_original"', False),
    ("misfitting2025_final", None, True),
)


def splits_of(published: Path, tables: tuple[tuple[str, str | None, bool], ...], law: str) -> list[SplitScore]:
    found: list[SplitScore] = []
    for file, where, best in tables:
        found += backtest(read_table(published / f"{file}.csv", where=where, best=best), [law], bootstrap=200).splits
    return found


@pytest.mark.slow
def test_auto_over_all_splits(published: Path) -> None:
    splits = splits_of(published, TABLES, AUTO)
    assert len(splits) == 17
    scores = [split.laws[AUTO] for split in splits]
    mean = np.mean([score.are for score in scores])
    assert mean <= 0.009
    assert max(score.are for score in scores) <= 0.025
    assert 0.85 <= np.mean([score.covered for score in scores]) <= 0.95
    assert np.median([score.half_width for score in scores]) <= 2.6 * mean


def test_auto_beats_chinchilla_on_llama_3(published: Path) -> None:
    table = read_table(published / "llama3_isoflop.csv")
    (split,) = backtest(table, ["chinchilla", AUTO], train_below=1.01e21, bootstrap=40).splits
    assert split.extrapolation == pytest.approx(10, rel=0.01)
    assert split.laws[AUTO].are < 0.007
    assert split.laws[AUTO].are < split.laws["chinchilla"].are
    assert split.laws[AUTO].covered >= 0.75

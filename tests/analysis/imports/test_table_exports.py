"""Import of tables of points along runs, of corpora that look like numbers, and of JSON that holds a table."""

import json
from pathlib import Path

import pandas as pd
import pytest

from scaling.api.imports import import_runs


def points(name: str) -> pd.DataFrame:
    rows = [
        {name: f"r{size}", "params": size * 10**7, "tokens": size * 10**8 * part, "val_loss": 5.0 / size - part / 100}
        for size in (2, 4, 8)
        for part in range(1, 13)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.mark.parametrize("name", ["run_name", "Name"])
def test_points_along_the_tokens_are_one_run(tmp_path: Path, name: str) -> None:
    points(name).to_csv(tmp_path / "log.csv", index=False)
    frame = import_runs(tmp_path / "log.csv").to_frame().sort_values("params")
    assert frame["tokens"].tolist() == [size * 12 * 10**8 for size in (2, 4, 8)]
    assert frame["loss"].tolist() == pytest.approx([5.0 / size - 0.12 for size in (2, 4, 8)])


def test_a_name_of_a_size_is_no_run(tmp_path: Path) -> None:
    frame = points("model")
    frame[frame["tokens"] <= frame["params"] * 40].to_csv(tmp_path / "grid.csv", index=False)
    assert len(import_runs(tmp_path / "grid.csv").to_frame()) == 12


def test_corpora_that_look_like_numbers(tmp_path: Path) -> None:
    frame = points("x").drop(columns="x").iloc[:3]
    frame.assign(corpus=["001", "1", "2"]).to_csv(tmp_path / "runs.csv", index=False)
    assert import_runs(tmp_path / "runs.csv").to_frame()["corpus"].tolist() == ["001", "1", "2"]


def test_json_that_holds_a_table(tmp_path: Path) -> None:
    frame = points("x").drop(columns="x").iloc[:3]
    (tmp_path / "runs.json").write_text(json.dumps({"runs": frame.to_dict("records")}))
    assert import_runs(tmp_path / "runs.json").to_frame()["loss"].tolist() == frame["val_loss"].tolist()

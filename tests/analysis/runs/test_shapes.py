"""Further shapes of JSON, and FLOPs in the units of their column's name."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.runs.recognition.spelling import flops_unit
from analysis.runs.table import read_table, table_of

FRAME = pd.DataFrame({"params": [2e7, 4e7, 8e7], "tokens": [1e9, 2e9, 4e9], "loss": [4.0, 3.5, 3.1]})
FLOPS = (6 * FRAME["params"] * FRAME["tokens"]).tolist()


@pytest.mark.parametrize(
    "content",
    [
        *(json.loads(FRAME.to_json(orient=orient)) for orient in ("columns", "index", "split", "records")),
        FRAME.to_dict("list"),
        {"name": "sweep", "runs": FRAME.to_dict("records")},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_in_any_order(tmp_path: Path, content: Any, indent: int | None) -> None:
    path = tmp_path / "runs.json"
    path.write_text(json.dumps(content, indent=indent))
    assert read_table(path).fit["loss"].tolist() == [4.0, 3.5, 3.1]


def test_objects_in_objects_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    rows = [
        {"config": {"model": {"n": row.params}}, "tokens": row.tokens, "loss": row.loss} for row in FRAME.itertuples()
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    table = read_table(path, columns={"params": "config.model.n"}, where="`config.model.n` > 2e7")
    assert table.fit["params"].tolist() == [4e7, 8e7]


def test_one_line_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(json.dumps({"params": 2e7, "tokens": 1e9, "loss": 4.0}))
    assert read_table(path).fit["loss"].tolist() == [4.0]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("PFLOPs", 1e15),
        ("flops (TFLOPs)", 1e12),
        ("compute (exaFLOPs)", 1e18),
        ("PF-days", 8.64e19),
        ("compute_pf_days", 8.64e19),
        ("petaflop/s-days", 8.64e19),
        ("flops_e18", 1e18),
        ("C (1e18)", 1e18),
        ("train_flops_EF", 1e18),
        ("flops_T", 1e12),
    ],
)
def test_flops_in_units(name: str, unit: float) -> None:
    table = table_of(FRAME.assign(**{name: [value / unit for value in FLOPS]}))
    assert table.fit["flops"].tolist() == pytest.approx(FLOPS)
    assert len(table.notes) == 1
    assert f"flops are {name!r} times" in table.notes[0]


@pytest.mark.parametrize("name", ["flops/s", "flops_per_token", "tflops_per_s", "pdays", "1e18", "mfu", "tokens_b"])
def test_what_is_no_unit_of_flops(name: str) -> None:
    assert flops_unit(name.replace("/", "_")) == 1


def test_a_rate_is_not_taken_for_flops() -> None:
    table = table_of(FRAME.assign(TFLOPs=[140.0, 150.0, 160.0]))
    assert table.notes == ()
    assert table.fit["flops"].tolist() == FLOPS

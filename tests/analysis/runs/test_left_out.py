"""Rows that are left out of a fit: diverged runs, and those without a finite loss."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.diagnostics.checks import check_table
from analysis.errors import InputError
from analysis.runs.table import read_table, table_of


def write(folder: Path, text: str) -> Path:
    path = folder / "runs.csv"
    path.write_text(text)
    return path


def test_diverged_rows_may_lack_a_loss(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "N,D,loss,status\n1e6,1e9,3,done\n1e6,1e9,nan,diverged\n"))
    assert len(table.fit) == 1
    assert table.diverged == ("row 2",)


@pytest.mark.parametrize("status", ["", "done"])
@pytest.mark.parametrize("loss", ["nan", "inf", ""])
def test_rows_without_a_finite_loss_are_left_out_and_named(status: str, loss: str, tmp_path: Path) -> None:
    rows = (f"1e6,1e9,3,{status},fit", f"1e6,2e9,{loss},{status},fit", f"1e7,1e9,{loss},{status},target")
    table = read_table(write(tmp_path, "\n".join(("N,D,loss,status,role", *rows, ""))))
    assert table.fit["loss"].tolist() == [3]
    assert table.diverged == ("row 2",)
    assert table.targets.empty
    (warning,) = [each for each in check_table(table) if each.code == "diverged-rows"]
    assert warning.message == "1 runs that diverged or have no finite loss are left out of the fit: row 2"


@pytest.mark.parametrize("dtype", ["category", "str", object])
def test_a_status_of_any_type_holds_it(dtype: Any) -> None:
    frame = pd.DataFrame({"N": [1e6, 2e6], "D": 1e9, "loss": [np.nan, 3.0], "status": "done"}).astype({"status": dtype})
    assert table_of(frame).diverged == ("row 1",)


def test_a_table_without_any_loss_has_no_row_to_fit(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "N,D,loss\n1e6,1e9,nan\n1e6,2e9,nan\n"))
    with pytest.raises(InputError, match="no row to fit: every row that has finished lacks a finite loss"):
        _ = table.fit

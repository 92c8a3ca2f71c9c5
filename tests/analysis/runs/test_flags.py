"""States of runs as truth values, exit codes and words of one's own, and filters on what cells hold."""

from typing import Any

import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.runs.filter import select
from analysis.runs.recognition.states import states_of
from analysis.runs.table import RunTable, table_of

ROWS = {"params": [2e7, 4e7, 8e7], "tokens": [1e9, 2e9, 4e9], "loss": [4.0, 3.5, 3.1]}


def table(where: str | None = None, **further: list[Any]) -> RunTable:
    return table_of(pd.DataFrame(ROWS | further), where=where)


@pytest.mark.parametrize(
    ("name", "cells", "state"),
    [
        ("finished", [True, True, False], "unfinished"),
        ("Is Done", ["yes", "yes", "No"], "unfinished"),
        ("completed", [1, 1, 0], "unfinished"),
        ("success", ["TRUE", "TRUE", "FALSE"], "unfinished"),
        ("finished", [True, True, None], "unfinished"),
        ("crashed", [False, False, True], "crashed"),
        ("has_failed", [0.0, 0.0, 1.0], "failed"),
        ("exit_code", [0, 0, 137], "failed"),
        ("ExitCode", ["0:0", "0:0", "0:9"], "failed"),
    ],
)
def test_flags_and_exit_codes_are_states(name: str, cells: list[Any], state: str) -> None:
    runs = table(**{name: cells})
    assert runs.fit["loss"].tolist() == [4.0, 3.5]
    assert runs.unfinished == {state: ("row 3",)}


def test_a_flag_of_divergence() -> None:
    assert table(diverged=[0, 0, 1]).diverged == ("row 3",)


@pytest.mark.parametrize(
    ("name", "cells"),
    [("done", [0.5, 1, 1]), ("finished", [True, True, True]), ("ok", [True, False, True]), ("exit_code", ["", "a"])],
)
def test_what_is_no_flag(name: str, cells: list[Any]) -> None:
    assert states_of(name, pd.Series(cells, dtype=object)) is None


@pytest.mark.parametrize("where", ["Status == 'final'", "status != 'failed'", "Status in ['final']"])
def test_a_filter_chooses_a_state_of_another_word(where: str) -> None:
    assert table(where=where, Status=["final", "final", "failed"]).fit["loss"].tolist() == [4.0, 3.5]


def test_a_filter_does_not_choose_what_is_known_as_unfinished() -> None:
    kept = table(where="Status != 'failed'", Status=["final", "crashed", "failed"])
    assert kept.fit["loss"].tolist() == [4.0]
    with pytest.raises(InputError, match=r"'final' in every row; .* `where` may choose another word"):
        _ = table(Status=["final"] * 3).fit


@pytest.mark.parametrize(
    ("cells", "where", "kept"),
    [
        ([2e7, 4e7, 8e7], "x == '20M'", [0]),
        ([2e7, 4e7, 8e7], "x in ['20M', '80M']", [0, 2]),
        ([2e7, 4e7, 8e7], "x >= 40M and x < 0.08B", [1]),
        ([0.1, 0.4, 0.5], "x >= 40%", [1, 2]),
        ([2e7, 4e7, 8e7], "(x > 2e7) & ~(x == 8e7) | (x == 2e7)", [0, 1]),
        ([True, False, True], "x == 'true'", [0, 2]),
        ([True, False, True], "x == true", [0, 2]),
        (["TRUE", "FALSE", "TRUE"], "x == True", [0, 2]),
        (["001", "1", "2"], "x == '001'", [0]),
        (["20M", "40M", "80M"], "x != 40e6", [0, 2]),
        ([pd.Timestamp("2024-01-02").date(), pd.Timestamp("2024-02-01").date(), None], "x >= '2024-01-15'", [1]),
    ],
)
def test_filters_compare_what_cells_mean(cells: list[Any], where: str, kept: list[int]) -> None:
    assert select(pd.DataFrame({"x": cells}), where).nonzero()[0].tolist() == kept


@pytest.mark.parametrize(
    ("cells", "where"), [(["a", "b"], "x != 3"), ([1, 2], "x != 'a'"), ([1, 2], "x in ['a']"), ([1, 2], "x & 3")]
)
def test_filters_that_compare_nothing_are_refused(cells: list[Any], where: str) -> None:
    with pytest.raises(InputError, match="`where`"):
        select(pd.DataFrame({"x": cells}), where)

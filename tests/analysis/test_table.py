"""The table of runs: what is read, what is refused, and what its hash depends on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

from analysis.backtest import backtest
from analysis.errors import InputError
from analysis.fit import fit
from analysis.forecast import forecast
from analysis.table import RunTable, read_table
from analysis.where import select


def write(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refusal(path: Path, **options: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as error:
        read_table(path, **options)  # type: ignore[arg-type]
    return error.value.faults


def test_aliases_and_6nd_in_float64(tmp_path: Path) -> None:
    path = write(tmp_path, "N,D,val_loss\n70000000000,15000000000000,1.7\n")
    rows = read_table(path).fit
    assert rows["flops"].tolist() == [6 * 7e10 * 1.5e13]  # 6.3e24: beyond int64
    assert rows["run_id"].tolist() == ["row2"]


def test_columns_override_aliases(tmp_path: Path) -> None:
    path = write(tmp_path, "N,n_active,D,loss\n10,5,20,1.5\n")
    assert read_table(path, columns={"params": "n_active"}).fit["params"].tolist() == [5]


def test_missing_column_names_the_closest(tmp_path: Path) -> None:
    (fault,) = refusal(write(tmp_path, "params,tokens,los\n1,2,3\n"))
    assert "no column 'loss'" in fault
    assert "did you mean 'los'?" in fault


def test_two_candidates_are_a_fault(tmp_path: Path) -> None:
    (fault,) = refusal(write(tmp_path, "N,model_size,D,loss\n1,1,2,3\n"))
    assert "could all be 'params'" in fault


def test_every_bad_value_is_told_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "params,tokens,loss\n1e6,1e9,abc\n-5,1e9,2.5\n1e6,,2.4\n1e6,1e9,inf\n")
    assert [fault.removeprefix(f"{path}:") for fault in refusal(path)] == [
        "3: column 'params': -5.0 is not a positive number",
        "4: column 'tokens': nan is not a positive number",
        "2: column 'loss': 'abc' is not a number",
        "5: column 'loss': inf is not a positive number",
    ]


def test_diverged_rows_may_lack_a_loss(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "N,D,loss,status\n1e6,1e9,3,done\n1e6,1e9,nan,diverged\n"))
    assert len(table.fit) == 1
    assert table.diverged == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", "", "the file is empty"),
        ("head.csv", "params,tokens,loss\n", "no rows"),
        ("fake.parquet", "params,tokens,loss\n1,2,3\n", "not a readable .parquet file"),
        ("broken.jsonl", '{"params": 1,\n', "not a readable .jsonl file"),
        ("runs.xlsx", "x", "is not .csv"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (fault,) = refusal(write(tmp_path, content, name))
    assert reason in fault
    assert "\n" not in fault


def test_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.csv") == (f"{tmp_path / 'no.csv'}: no such file",)


def test_formats_agree(tmp_path: Path) -> None:
    frame = sweep()
    frame.to_csv(tmp_path / "runs.csv", index=False)
    frame.to_parquet(tmp_path / "runs.parquet")
    frame.to_json(tmp_path / "runs.jsonl", orient="records", lines=True, double_precision=15)
    hashes = {read_table(tmp_path / name).hash() for name in ("runs.csv", "runs.parquet")}
    assert hashes == {read_table(tmp_path).hash()} == {RunTable.from_frame(frame).hash()}
    assert len(read_table(tmp_path / "runs.jsonl").fit) == len(frame) - 3


def test_hash_ignores_targets_order_and_clock_but_not_losses() -> None:
    frame = sweep()
    known = RunTable.from_frame(frame).hash()
    assert RunTable.from_frame(frame[frame.role == "fit"]).hash() == known
    assert RunTable.from_frame(frame.sample(frac=1, random_state=1)).hash() == known
    assert RunTable.from_frame(frame.assign(wall_s=9.0)).hash() == known
    assert RunTable.from_frame(frame.assign(loss=frame.loss + 1e-12)).hash() != known


def test_hash_of_a_table_without_run_ids_is_that_of_its_rows(tmp_path: Path) -> None:
    frame = sweep().drop(columns=["run_id", "trunk_id"])
    known = RunTable.from_frame(frame).hash()
    shuffled = frame.sample(frac=1, random_state=1)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    frame.to_parquet(tmp_path / "runs.parquet")
    shuffled.to_csv(tmp_path / "shuffled.csv", index=False)
    target, fitted = frame[frame.role == "target"], frame[frame.role == "fit"]
    pd.concat([target[:1], fitted[:5], target[1:], fitted[5:]]).to_csv(tmp_path / "targets.csv", index=False)
    names = ("runs.csv", "runs.parquet", "shuffled.csv", "targets.csv")
    assert {read_table(tmp_path / name).hash() for name in names} == {known}
    assert RunTable.from_frame(fitted).hash() == known
    # A row more of the same values is another table; so is one whose source names its runs.
    assert RunTable.from_frame(pd.concat([frame, fitted[:1]])).hash() != known
    assert RunTable.from_frame(sweep()).hash() != known


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"status": "finished"}, "status is 'finished' in every row to fit; 'done' is expected"),
        ({"status": "diverged"}, "status is 'diverged' in every row to fit; 'done' is expected"),
        ({"role": "target"}, "role is 'target' in every row; 'fit' is expected"),
    ],
)
def test_a_table_with_no_row_to_fit_names_what_it_has_instead(change: dict[str, str], fault: str) -> None:
    table = RunTable.from_frame(sweep().assign(**change))
    for use in (lambda: fit(table), lambda: forecast(table, 1e6, 1e8), lambda: backtest(table), table.hash):
        with pytest.raises(InputError) as error:
            use()
        assert error.value.faults == (f"table: no row to fit: {fault}",)


def test_where_is_a_filter_of_comparisons() -> None:
    frame = pd.DataFrame({"flops": [1.0, 2.0, 3.0], "corpus": ["a", "b", "a"]})
    assert select(frame, "1 < flops <= 3 and not corpus == 'b'").tolist() == [False, False, True]
    assert select(frame, "corpus in ['b'] or flops < 2").tolist() == [True, True, False]
    assert select(frame, "flops > -1").all()


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "flops.sum() > 1",
        "@flops > 1",
        "flops[0] > 1",
        "(lambda: 1)() > 0",
        "flops = 1",
        "flops",
        "1",
        "corpus > 1",
        "flops is 1",
        "flop > 1",
        "flops in 3",
        "not 3",
        "",
    ],
)
def test_where_refuses_everything_else(expression: str) -> None:
    with pytest.raises(InputError):
        select(pd.DataFrame({"flops": [1.0], "corpus": ["a"]}), expression)


def test_where_chooses_the_rows_that_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path, "N,D,loss,ok\n1e6,1e9,nan,0\n1e6,1e9,3,1\n")
    assert len(read_table(path, where="ok == 1").fit) == 1
    assert "meets --where" in refusal(path, where="ok == 2")[0]


def test_reads_the_published_tables(published: Path) -> None:
    for file in (
        "epoch_chinchilla",
        "gadre2024",
        "llama3_isoflop",
        "misfitting2025_final",
        "steplaw_dense_best",
    ):
        rows = read_table(published / f"{file}.csv").fit
        assert np.isfinite(rows[["params", "tokens", "flops", "loss"]].to_numpy()).all()

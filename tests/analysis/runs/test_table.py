"""The table of runs: what is read, what is refused, and what its hash depends on."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import sweep

from analysis.errors import InputError
from analysis.fitting.fit import fit
from analysis.forecasting.backtest import backtest
from analysis.forecasting.forecast import forecast
from analysis.runs.filter import select
from analysis.runs.table import RunTable, read_table, table_of


def write(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def refusal(path: Path, **options: object) -> tuple[str, ...]:
    with pytest.raises(InputError) as error:
        read_table(path, **options)  # type: ignore[arg-type]
    return error.value.errors


def test_aliases_and_6nd_in_float64(tmp_path: Path) -> None:
    path = write(tmp_path, "N,D,val_loss\n70000000000,15000000000000,1.7\n")
    rows = read_table(path).fit
    assert rows["flops"].tolist() == [6 * 7e10 * 1.5e13]  # 6.3e24: beyond int64
    assert rows["run_id"].tolist() == ["row2"]


def test_columns_override_aliases(tmp_path: Path) -> None:
    path = write(tmp_path, "N,n_active,D,loss\n10,5,20,1.5\n")
    assert read_table(path, columns={"params": "n_active"}).fit["params"].tolist() == [5]


def test_missing_column_names_the_closest(tmp_path: Path) -> None:
    (message,) = refusal(write(tmp_path, "params,tokens,los\n1,2,3\n"))
    assert "no column 'loss'" in message
    assert "did you mean 'los'?" in message


def test_two_candidates_are_a_violation(tmp_path: Path) -> None:
    (message,) = refusal(write(tmp_path, "N,model_size,D,loss\n1,4,2,3\n"))
    assert "could all be 'params'" in message


def test_every_bad_value_is_reported_with_line_and_column(tmp_path: Path) -> None:
    path = write(tmp_path, "params,tokens,loss\n1e6,1e9,abc\n-5,1e9,2.5\n1e6,,2.4\n1e6,1e9,-1\n")
    assert [message.removeprefix(f"{path}:") for message in refusal(path)] == [
        "3: column 'params': -5.0 is not a positive number",
        "4: column 'tokens': nan is not a positive number",
        "2: column 'loss': 'abc' is not a number",
        "5: column 'loss': -1.0 is not a positive number",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.csv", "", "the file is empty"),
        ("head.csv", "params,tokens,loss\n", "no rows"),
        ("cut.parquet", "PAR1" + "x" * 80, "not a readable .parquet file"),
        ("broken.jsonl", '{"params": 1,\n', "not a readable .jsonl file"),
        ("runs.db", "SQLite format 3\0", "is a database"),
        ("runs.pkl", "\0\1", "is no table: neither text"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (message,) = refusal(write(tmp_path, content, name))
    assert reason in message
    assert "\n" not in message


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
    # As tables of sweeps had no such column before there was Muon.
    assert RunTable.from_frame(frame.assign(optimizer="adamw")).hash() == known
    assert RunTable.from_frame(frame.assign(optimizer="muon")).hash() != known


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
    ("change", "message"),
    [
        ({"status": "crashed"}, "status is 'crashed' in every row to fit; 'done' or 'finished' is expected"),
        ({"status": "diverged"}, "status is 'diverged' in every row to fit; 'done' or 'finished' is expected"),
        ({"role": "target"}, "role is 'target' in every row; 'fit' is expected"),
    ],
)
def test_a_table_with_no_row_to_fit_names_what_it_has_instead(change: dict[str, str], message: str) -> None:
    table = RunTable.from_frame(sweep().assign(**change))
    for use in (lambda: fit(table), lambda: forecast(table, 1e6, 1e8), lambda: backtest(table), table.hash):
        with pytest.raises(InputError) as error:
            use()
        assert error.value.errors == (f"table: no row to fit: {message}",)


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
    assert "meets `where`" in refusal(path, where="ok == 2")[0]


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


def test_a_small_file_is_read_whole_and_a_large_one_by_its_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "N,D,loss,note\n1e6,1e9,3,a\n")
    assert "note" in read_table(path).frame
    monkeypatch.setattr("analysis.runs.readers._SMALL", 0)
    assert "note" not in read_table(path).frame
    assert len(read_table(path, where="note == 'a'").fit) == 1


HEAD = "params,tokens,loss\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1e9,2e10,7B\n", "2: column 'loss': '7B' is not a number"),
        ('1e9,"20,00,000",2\n', "2: column 'tokens': '20,00,000' is not a number"),
        ('1e9,"1,600B",2\n', "2: column 'tokens': '1,600B' is not a number"),
        ("1e9,2e10,true\n", "2: column 'loss': 'True' is not a number"),
        ("1e9,2024-01-01,2\n", "2: column 'tokens': '2024-01-01' is not a number"),
        ("1e9,12:30:00,2\n", "2: column 'tokens': '12:30:00' is not a number"),
        ("1e9,2e10,2\n1e9,2e10\n", "CSV parse error: Row #3: Expected 3 columns, got 2"),
        (f"1e9,2e10,{'x' * 500}\n", f"2: column 'loss': '{'x' * 35}...' is not a number"),
        ("1e9,0,2\n", "2: column 'tokens': 0.0 is not a positive number"),
        ("1e9,1e400,2\n", "2: column 'tokens': inf is not a positive number"),
    ],
)
def test_cells_that_are_no_numbers(tmp_path: Path, text: str, message: str) -> None:
    (line,) = refusal(write(tmp_path, HEAD + text))
    assert message in line


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfparams,tokens,loss\r\n1000000,1e9,3\r\n",
        b"params;tokens;loss\n1000000;1e9;3\n",
        b"PARAMS,Tokens,loss\n 1000000 , 1e9 , 3\n\n",
        b"params,tokens,loss,note\n1000000,1e9,3,\xe9t\xe9\n",
    ],
)
def test_csv_as_others_write_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    assert read_table(path).fit[["params", "tokens", "loss"]].to_numpy().tolist() == [[1e6, 1e9, 3.0]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", bytes(range(256)) * 8, "t.csv: "),
        ("t.csv", b"\n\n\n", "not a readable .csv file (CSV parse error: Empty CSV file"),
        ("t.csv", "params,tokens,loss\n1,2,3\n".encode("utf-16")[:-1], "t.csv: "),
        ("t.csv", b"params,tokens,loss,loss\n1,2,3,4\n", "column 'loss' occurs more than once"),
        ("t.csv.gz", b"\x1f\x8b\x08", "not a readable .gz file"),
        ("t.parquet", b"PAR1" + bytes(50) + b"PAR1", "not a readable .parquet file"),
        ("t.jsonl", b'{"params": 1, "tokens": 2, "loss": 3}\n[1, 2]\n', "t.jsonl:2: not a readable .jsonl file"),
        ("t.jsonl", b'{"params": 1, "tokens": 2, "loss": "x"}\n', "t.jsonl:1: column 'loss': 'x' is not a number"),
        ("t.jsonl", b'{"params": 1, "tokens": 2, "loss": [3]}\n', "t.jsonl:1: column 'loss': '[3]' is not a number"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    errors = refusal(path)
    assert reason in errors[0]
    assert not any("\n" in message for message in errors)


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    frame = pd.DataFrame([[1e6, 1e9, 3.0, 4.0]], columns=["params", "tokens", "loss", "loss"])
    with pytest.raises(InputError) as error:
        table_of(frame, "made")
    assert error.value.errors == ("made: column 'loss' occurs more than once",)


def test_a_folder_without_a_table(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (f"{tmp_path}: a folder without runs.parquet; give a sweep's folder, or a file",)


def test_parquet_of_mixed_and_odd_types(tmp_path: Path) -> None:
    frame = pd.DataFrame({"params": [1e6, 2e6], "tokens": ["1e9", "many"], "loss": [3.0, 2.5]})
    frame.to_parquet(tmp_path / "text.parquet")
    assert refusal(tmp_path / "text.parquet")[0].endswith("text.parquet:2: column 'tokens': 'many' is not a number")
    odd = frame.assign(tokens=[10**9, 10**9], corpus=pd.Categorical(["a", "b"]), tokenizer=[["x"], None])
    odd.set_index("params").to_parquet(tmp_path / "odd.parquet")
    rows = read_table(tmp_path / "odd.parquet").fit
    assert rows["params"].tolist() == [1e6, 2e6]
    assert rows["corpus"].tolist() == ["a", "b"]
    assert rows["tokenizer"].iloc[0] == "['x']"


def test_many_violations_are_counted(tmp_path: Path) -> None:
    errors = refusal(write(tmp_path, HEAD + "1e9,2e10,x\n" * 50))
    assert len(errors) == 21
    assert errors[-1].endswith("30 more errors")


def test_best_keeps_the_lowest_loss_of_each_size_and_length(published: Path) -> None:
    for file, cells in (("misfitting2025_final", 81), ("steplaw_dense", 17)):
        table = read_table(published / f"{file}.csv", best=True)
        lowest = read_table(published / f"{file}.csv").fit.groupby(["params", "tokens"])["loss"].min()
        assert len(table.fit) == cells
        assert table.fit.set_index(["params", "tokens"])["loss"].sort_index().tolist() == lowest.sort_index().tolist()
    known = pd.read_csv(published / "steplaw_dense_best.csv")
    assert sorted(table.fit["loss"]) == sorted(known["loss"])


def test_best_is_part_of_what_is_fitted() -> None:
    frame = sweep(seeds=1)
    tuned = pd.concat(
        [frame, frame[frame.role == "fit"].assign(lr=0.1, loss=lambda f: f.loss * 1.05)], ignore_index=True
    )
    table = RunTable.from_frame(tuned).best()
    assert table.hash() == RunTable.from_frame(frame).hash()
    assert table.hash() != RunTable.from_frame(tuned).hash()
    assert RunTable.from_frame(tuned.sample(frac=1, random_state=1)).best().hash() == table.hash()
    assert len(table.targets) == 3


def test_best_is_chosen_within_a_corpus() -> None:
    frame = sweep(seeds=1)
    two = pd.concat([frame, frame.assign(corpus="other", loss=frame.loss * 2)], ignore_index=True)
    assert len(RunTable.from_frame(two).best().fit) == len(RunTable.from_frame(two).fit)


def test_best_keeps_the_seeds_of_the_setting_with_the_lowest_mean() -> None:
    cell = {"params": 1e6, "tokens": 1e9}
    rows = [(0.1, 0, 3.0), (0.1, 1, 3.2), (0.2, 0, 2.9), (0.2, 1, 3.5), (0.3, 0, 9.0)]
    frame = pd.DataFrame([{**cell, "lr": lr, "seed": seed, "loss": loss} for lr, seed, loss in rows])
    assert RunTable.from_frame(frame).best().fit["loss"].tolist() == [3.0, 3.2]
    assert RunTable.from_frame(frame.drop(columns="seed")).best().fit["loss"].tolist() == [2.9]


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_a_million_rows(tmp_path: Path, named: bool) -> None:
    rng = np.random.default_rng(0)
    params, flops = np.exp(rng.uniform(np.log([[1e7], [1e18]]), np.log([[1e10], [1e22]]), (2, 1_000_000)))
    tokens = flops / 6 / params
    loss = (1.8 + 480 / params**0.35 + 2100 / tokens**0.366) * np.exp(0.003 * rng.standard_normal(len(params)))
    frame = pd.DataFrame({"N": params, "D": tokens, "loss": loss})
    if named:
        number = pd.Series(np.arange(len(frame)))
        frame = frame.assign(run_id="run" + number.astype("str"), trunk_id="trunk" + (number // 10).astype("str"))
        frame.to_parquet(tmp_path / "t.parquet")
    else:
        frame.to_csv(tmp_path / "t.csv", index=False)
    made = forecast(read_table(next(tmp_path.iterdir())), 7e10, 1.5e13, law="chinchilla", bootstrap=50)
    truth = 1.8 + 480 / 7e10**0.35 + 2100 / 1.5e13**0.366
    assert made.loss == pytest.approx(truth, rel=0.005)
    assert "sampled-rows" in {warning.code for warning in made.warnings}
    assert ("correlated-rows" in {warning.code for warning in made.warnings}) is named

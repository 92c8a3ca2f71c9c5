"""Other people's tables: their names, numbers, units and states, as they come."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.runs.recognition.loss_units import loss_unit
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.spelling import normalised, without_unit
from analysis.runs.recognition.states import are_states, finished, words
from analysis.runs.table import RunTable, read_table, table_of

ROWS = {"params": [2e7, 4e7, 8e7], "tokens": [1e9, 2e9, 4e9], "loss": [4.0, 3.5, 3.1]}


def table(columns: dict[str, str] | None = None, where: str | None = None, **changed: Any) -> RunTable:
    """A table of three runs with some columns changed, or without those that are None."""
    kept = {name: values for name, values in (ROWS | changed).items() if values is not None}
    return table_of(pd.DataFrame(kept), columns=columns, where=where)


def refusal(**arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        table(**arguments)
    (line,) = error.value.errors
    return line


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["20M", "0.1B", "1.6T"], [2e7, 1e8, 1.6e12]),
        (["7b", "300m", "1.5 billion"], [7e9, 3e8, 1.5e9]),
        (["1,600,000,000", "20,000", "7"], [1.6e9, 2e4, 7]),
        (["1 600 000", "1\u00a0600\u00a0000", "1\u202f600"], [1.6e6, 1.6e6, 1600]),
        (["38%", "1e9", " 5 "], [0.38, 1e9, 5]),
        (["0,5", "1,25", "3"], [0.5, 1.25, 3]),
        (["1,5B", "20,25M", "1,600B"], [1.5e9, 2.025e7, 1.6e9]),  # one cell shows that commas begin fractions
        (["1", "NA", "-"], [1, np.nan, np.nan]),
        ([None, "n/a", "NaN"], [np.nan] * 3),
    ],
)
def test_numbers_as_people_write_them(cells: list[Any], numbers: list[float]) -> None:
    values, unread = numbers_in(pd.Series(cells, dtype=object))
    assert not unread.any()
    assert values.tolist() == pytest.approx(numbers, nan_ok=True)


@pytest.mark.parametrize(
    "cell", ["d512", "1,600B", "20,00,000", "1.2.3", "20Q", "2024-01-01", "True", "1,60,0", "5 M 3", "~20M"]
)
def test_what_is_no_number(cell: str) -> None:
    assert numbers_in(pd.Series([cell, "3"]))[1].tolist() == [True, False]


def test_a_loss_has_no_suffix_and_a_decimal_comma() -> None:
    values, unread = numbers_in(pd.Series(["5,407", "4,612", "3"]), plain=True)
    assert values.tolist() == [5.407, 4.612, 3]
    assert not unread.any()
    assert numbers_in(pd.Series(["7B", "38%"]), plain=True)[1].all()


def test_a_column_of_any_index_keeps_its_places() -> None:
    values, unread = numbers_in(pd.Series(["3", "x", "20M"], index=[7, 9, 9]))
    assert values.fillna(0).tolist() == [3, 0, 2e7]
    assert unread.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "spelling"),
    [("Eval/Loss", "eval_loss"), (" train tokens ", "train_tokens"), ("loss.val (nats)", "loss_val_nats"), ("N", "n")],
)
def test_spelling(name: str, spelling: str) -> None:
    assert normalised(name) == spelling


@pytest.mark.parametrize(
    ("name", "unit"), [("tokens (B)", 1e9), ("params_M", 1e6), ("n_params_in_millions", 1e6), ("tokens", 1), ("b", 1)]
)
def test_units_at_the_end_of_a_name(name: str, unit: float) -> None:
    assert without_unit(normalised(name))[1] == unit


@pytest.mark.parametrize(
    "names",
    [
        ("N", "D", "val_loss"),
        ("Params", "Tokens", "Loss"),
        (" params", "tokens ", " loss "),
        ("num_params", "total tokens", "Eval/Loss"),
        ("model size", "train-tokens", "final.loss"),
        ("parameter_count", "num_input_tokens_seen", "validation loss"),
    ],
)
def test_usual_names_in_any_spelling(names: tuple[str, str, str], tmp_path: Path) -> None:
    pd.DataFrame(ROWS).set_axis(list(names), axis=1).to_csv(tmp_path / "t.csv", index=False)
    rows = read_table(tmp_path / "t.csv").fit
    assert rows[["params", "tokens", "loss"]].to_numpy().tolist() == np.transpose(list(ROWS.values())).tolist()


@pytest.mark.parametrize("name", ["params_M", "params (M)", "Params [millions]", "n_params_in_millions"])
def test_counts_in_the_unit_that_their_name_says(name: str) -> None:
    made = table(params=None, **{name: [20, 40, 80]})
    assert made.fit["params"].tolist() == [2e7, 4e7, 8e7]
    assert made.notes == (f"params are {name!r} times 1e6",)
    mapped = table(columns={"tokens": "seen_B"}, seen_B=[1, 2, 4])
    assert mapped.fit["tokens"].tolist() == [1e9, 2e9, 4e9]


def test_a_name_with_a_unit_over_whole_counts_scales_nothing() -> None:
    made = table(params=None, params_B=[2e7, 4e7, 8e7])
    assert made.fit["params"].tolist() == [2e7, 4e7, 8e7]
    assert made.notes == ()


@pytest.mark.parametrize("other", ["eval_loss", "val_loss", "Validation Loss", "test/loss", "final_loss", "eval_nll"])
def test_a_loss_beside_an_evaluation_is_asked_about(other: str) -> None:
    assert refusal(**{other: [4.1, 3.6, 3.2]}) == (
        f"table: columns ['loss', {other!r}] could all be 'loss'; choose with `columns` loss=..."
    )
    assert table(columns={"loss": other}, **{other: [4.1, 3.6, 3.2]}).fit["loss"].tolist() == [4.1, 3.6, 3.2]
    assert table(columns={"loss": "loss"}, **{other: [4.1, 3.6, 3.2]}).fit["loss"].tolist() == ROWS["loss"]


def test_two_columns_of_the_same_losses_are_one() -> None:
    assert table(eval_loss=ROWS["loss"]).fit["loss"].tolist() == ROWS["loss"]
    assert table(train_loss=[3.9, 3.4, 3.0], last_loss=[4, 3, 3]).fit["loss"].tolist() == ROWS["loss"]


def test_what_a_loss_could_be_taken_from_is_listed() -> None:
    line = refusal(loss=None, train_loss=[4, 3, 2], bits_per_byte=[2, 1, 1], perplexity=[50, 40, 30], lr=[1, 2, 3])
    assert "no column 'loss' (one of 'train_loss', 'bits_per_byte', 'perplexity'?)" in line


@pytest.mark.parametrize("name", ["perplexity", "val_ppl", "eval/perplexity", "PPL"])
def test_perplexities_become_losses(name: str) -> None:
    made = table(columns={"loss": name}, loss=None, **{name: np.exp(ROWS["loss"])})
    assert made.fit["loss"].tolist() == pytest.approx(ROWS["loss"])
    assert made.unit == "nats per token"
    assert made.notes == (f"the loss is the natural logarithm of {name!r}",)


def test_what_is_no_perplexity_is_an_error_of_its_row() -> None:
    assert refusal(columns={"loss": "ppl"}, loss=None, ppl=["50", "x", "30"]).startswith("table:2: column 'loss': 'x'")
    assert refusal(columns={"loss": "ppl"}, loss=None, ppl=[50, 0.5, 30]).endswith("is not a positive number")


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("bits_per_byte", "bits per byte"),
        ("loss (bits/byte)", "bits per byte"),
        ("eval/bpb", "bits per byte"),
        ("bpc", "bits per character"),
        ("bits_per_char", "bits per character"),
        ("bits per word", "bits per word"),
        ("loss_bits", "bits per token"),
        ("nll_per_byte", "nats per byte"),
        ("nats/char", "nats per character"),
        ("word_perplexity", "nats per word"),
        ("byte_ppl", "nats per byte"),
        ("accuracy", "accuracy"),
        ("log_perplexity", "nats per token"),
        ("c4_val", "nats per token"),
    ],
)
def test_the_unit_is_that_of_the_name(name: str, unit: str) -> None:
    assert loss_unit({"loss": name}) == unit


WORDS = {
    "W&B": ("finished", ["crashed", "failed", "killed", "running", "preempted"]),
    "MLflow": ("FINISHED", ["FAILED", "KILLED", "RUNNING", "SCHEDULED"]),
    "Slurm": ("COMPLETED", ["CANCELLED by 1000", "CANCELLED+", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "FAILED"]),
    "Slurm, short": ("CD", ["CA", "TO", "NF", "F", "R", "PD"]),
    "Ray": ("SUCCEEDED", ["STOPPED", "PENDING", "FAILED", "RUNNING"]),
    "Ray Tune": ("TERMINATED", ["ERROR", "PAUSED", "PENDING"]),
    "Hugging Face": ("COMPLETED", ["CANCELED", "ERROR", "RUNNING"]),
    "enums": ("RunStatus.FINISHED", ["RunStatus.FAILED"]),
    "people": ("Done", ["In progress", "timed out", "OOM"]),
}


@pytest.mark.parametrize(("done", "others"), WORDS.values(), ids=list(WORDS))
def test_states_in_the_words_of_their_tools(done: str, others: list[str]) -> None:
    column = pd.Series([done, *others, None, ""], dtype=object)
    assert are_states(column)
    assert finished(pd.DataFrame({"status": column})).tolist() == [True, *[False] * len(others), True, True]


@pytest.mark.parametrize("name", ["State", "status", "run state", "job_state", "outcome"])
def test_finished_runs_are_fitted_and_the_others_named(name: str) -> None:
    made = table(**{name: ["finished", "crashed", "running"], "Name": ["a", "b", "c"]})
    assert made.fit["run_id"].tolist() == ["a"]
    assert made.unfinished == {"crashed": ("b",), "running": ("c",)}
    assert made.diverged == ()


def test_a_filter_sees_the_states_as_they_are_written() -> None:
    assert len(table(where="State == 'finished'", State=["finished"] * 3).fit) == 3
    assert len(table(where="status == 'finished'", status=["finished"] * 3).fit) == 3
    assert len(table(where="State != 'running'", State=["finished", "running", "finished"]).fit) == 2
    assert "meets `where`" in refusal(where="State == 'running'", State=["finished", "running", "finished"])


def test_a_column_called_state_may_be_something_else() -> None:
    made = table(state=["Texas", "Ohio", "Iowa"], outcome=["good", "bad", "good"])
    assert len(made.fit) == 3
    assert words(pd.Series(["Texas"])).tolist() == ["texas"]
    made = table(state=["s", "r", "s"], data=["new", "ok", "new"], phase=["complete", "complete", "complete"])
    assert len(made.fit) == 3


def test_a_corpus_may_be_called_as_a_missing_value_is(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("N,D,loss,corpus,lr\n2e7,1e9,4,NA,NA\n4e7,2e9,3.5,None,1e-3\n8e7,4e9,3.1,,null\n")
    rows = read_table(path).fit
    assert rows["corpus"].fillna("missing").tolist() == ["NA", "None", "missing"]
    assert rows["lr"].fillna(0).tolist() == [0, 1e-3, 0]


@pytest.mark.parametrize("name", ["width", "lr", "vocab", "epochs", "seed", "wall_s", "mfu", "unique_tokens"])
def test_a_column_that_no_fit_needs_refuses_nothing(name: str) -> None:
    made = table(**{name: ["d512", "d640", "d768"]})
    assert len(made.fit) == 3
    assert len(made.arrays) == 3
    noted = [note for note in made.notes if repr(name) in note]
    if name == "width":  # a label, by which runs still differ
        assert made.fit["width"].tolist() == ["d512", "d640", "d768"]
    else:
        assert noted == [f"column {name!r} is not used: 'd512' in row 1 is not a number"]
        assert name not in made.fit


def test_rows_that_are_not_used_may_hold_anything() -> None:
    made = table(loss=[4.0, "crashed", 3.1], tokens=["1B", "?", "4B"], State=["finished", "failed", "finished"])
    assert made.fit["loss"].tolist() == [4.0, 3.1]


@pytest.mark.parametrize(("name", "least"), [("run_name", 2), ("Name", 10), ("trial_id", 2), ("experiment", 2)])
def test_a_step_log_names_its_runs(name: str, least: int) -> None:
    params = np.repeat([1e7, 3e7], least)
    tokens = np.tile(np.geomspace(1e8, 1e9, least), 2)
    frame = pd.DataFrame({"N": params, "D": tokens, "loss": 3.0, name: np.where(params > 2e7, "b", "a")})
    assert table_of(frame).fit["run_id"].nunique() == 2
    assert table_of(frame[params < 2e7].assign(**{name: "a"})).arrays.cluster.max() == 0


def test_names_of_sizes_name_no_runs() -> None:
    frame = pd.DataFrame({"N": [1e7, 1e7, 3e7], "D": [1e9, 2e9, 1e9], "loss": 3.0, "Name": ["10M", "10M", "30M"]})
    assert table_of(frame).fit["run_id"].tolist() == ["row1", "row2", "row3"]
    groups = frame.assign(Name=["base", "base", "base"], experiment="lr sweep")
    assert table_of(groups).fit["run_id"].nunique() == 3


def test_a_frame_may_have_any_names() -> None:
    frame = pd.DataFrame(ROWS).assign(x=["done", "failed", "b"])
    frame = pd.concat(
        [frame, frame[["x"]], pd.Series([1, 2, 3], name=0), pd.Series(["done", "failed", "done"], name=1)], axis=1
    )
    assert table_of(frame, where="`0` < 3").fit["loss"].tolist() == [4.0]

"""Which of several names is taken, and what is not guessed."""

import json
from pathlib import Path

import pandas as pd
import pytest

from scaling.api.imports import import_runs
from scaling.errors import InputError

ROWS = [{"name": f"r{n}", "n_params": 1e6 * n, "tokens": 1e8, "eval_loss": 4 - n / 10} for n in range(1, 4)]


def table(folder: Path, **more: object) -> Path:
    """A CSV file of the rows with further columns, each a value or a function of the row."""
    rows = [row | {name: value(row) if callable(value) else value for name, value in more.items()} for row in ROWS]
    pd.DataFrame(rows).drop(columns=[name for name, value in more.items() if value is None]).to_csv(
        folder / "export.csv", index=False
    )
    return folder / "export.csv"


def error(path: Path, **columns: str) -> str:
    with pytest.raises(InputError) as caught:
        import_runs(path, columns=columns)
    (line,) = caught.value.errors
    return line


def codes(path: Path, **columns: str) -> list[str]:
    return [warning.code for warning in import_runs(path, columns=columns).warnings]


def test_two_losses_of_an_evaluation_that_differ_are_not_guessed(tmp_path: Path) -> None:
    path = table(tmp_path, val_loss=lambda row: row["eval_loss"] + 0.1)
    assert "'eval_loss', 'val_loss' could all be the loss and differ" in error(path)
    made = import_runs(path, columns={"loss": "val_loss"})
    assert made.to_frame()["loss"].tolist() == pytest.approx([4.0, 3.9, 3.8])
    assert made.to_dict()["recognised"]["loss"] == "val_loss"


def test_one_figure_under_two_names_is_one(tmp_path: Path) -> None:
    path = table(tmp_path, val_loss=lambda row: row["eval_loss"], num_params=lambda row: row["n_params"])
    assert import_runs(path).to_frame()["loss"].tolist() == pytest.approx([3.9, 3.8, 3.7])


def test_two_counts_of_parameters_that_differ_are_not_guessed(tmp_path: Path) -> None:
    path = table(tmp_path, num_params=lambda row: row["n_params"] * 1.1)
    assert "'n_params', 'num_params' could all be the params" in error(path)


def test_the_loss_of_an_evaluation_rather_than_of_training(tmp_path: Path) -> None:
    path = table(tmp_path, **{"train/loss": 1.0, "loss": 1.1})
    made = import_runs(path)
    assert made.to_dict()["recognised"]["loss"] == "eval_loss"
    assert made.warnings == ()


def test_the_training_loss_alone_is_taken_and_said(tmp_path: Path) -> None:
    assert codes(table(tmp_path, eval_loss=None, **{"train/loss": 1.0})) == ["training-loss"]


def test_a_loss_of_one_data_set_yields_to_that_of_all_and_is_kept(tmp_path: Path) -> None:
    path = table(tmp_path, **{"eval/c4/loss": 5.0})
    made = import_runs(path)
    assert [warning.code for warning in made.warnings] == ["other-losses"]
    assert made.to_frame()["eval/c4/loss"].tolist() == [5.0] * 3


@pytest.mark.parametrize(
    ("name", "column"), [("eval/bpb", "bits_per_byte"), ("val_ppl", "perplexity"), ("test bits per char", None)]
)
def test_other_units_keep_a_name_that_says_so(name: str, column: str | None, tmp_path: Path) -> None:
    frame = import_runs(table(tmp_path, eval_loss=None, **{name: 1.5})).to_frame()
    assert "loss" not in frame
    assert frame[column or "bits_per_character"].tolist() == [1.5] * 3


def test_another_unit_beside_the_training_loss_is_not_guessed(tmp_path: Path) -> None:
    path = table(tmp_path, eval_loss=None, **{"eval/bpb": 1.5, "train/loss": 1.0})
    assert "'eval/bpb', 'train/loss' could all be the loss" in error(path)


def test_parameters_without_embeddings_are_taken_only_on_request(tmp_path: Path) -> None:
    path = table(tmp_path, n_params=None, non_embedding_params=7.0)
    assert "`columns` params=non_embedding_params takes it" in error(path)
    frame = import_runs(path, columns={"params": "non_embedding_params"}).to_frame()
    assert frame["params"].tolist() == frame["params_nonembedding"].tolist() == [7, 7, 7]


def test_what_is_missing_is_said_with_the_candidates(tmp_path: Path) -> None:
    line = error(table(tmp_path, tokens=None, other=3.0))
    assert "no tokens recognised, such as tokens, d, n_tokens, train_tokens" in line
    assert "'n_params', 'eval_loss', 'other'" in line


def test_a_name_that_is_not_there_is_said_with_the_nearest(tmp_path: Path) -> None:
    assert "(did you mean 'eval_loss'?)" in error(table(tmp_path), loss="evl_loss")
    assert "logs no such number" in error(table(tmp_path), loss="3.5")  # a loss is not the same for all runs


def test_further_columns_on_request(tmp_path: Path) -> None:
    path = table(tmp_path, **{"eval/hellaswag/acc": 0.3, "data.name": "pile"})
    frame = import_runs(path, columns={"hellaswag": "eval/hellaswag/acc", "corpus": "data.name"}).to_frame()
    assert frame["hellaswag"].tolist() == [0.3] * 3
    assert set(frame["corpus"]) == {"pile"}


def test_steps_times_the_tokens_of_one(tmp_path: Path) -> None:
    path = table(tmp_path, tokens=None, global_step=500, tokens_per_step=2000)
    made = import_runs(path)
    assert made.to_frame()["tokens"].tolist() == [1_000_000] * 3
    assert made.to_dict()["recognised"]["tokens"] == "global_step x tokens_per_step"


def test_flops_that_are_those_of_a_second_are_not_taken(tmp_path: Path) -> None:
    assert "flops" not in import_runs(table(tmp_path, flops=1e14 / 1e6)).to_frame()
    assert "flops" in import_runs(table(tmp_path, flops=lambda row: 6.3e8 * row["n_params"])).to_frame()


def test_rows_of_one_name_are_steps_of_one_run(tmp_path: Path) -> None:
    rows = [{**row, "step": step, "tokens": step * 1e5, "eval_loss": 9 / step} for row in ROWS for step in (1, 3, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "steps.csv", index=False)
    frame = import_runs(tmp_path / "steps.csv").to_frame()
    assert frame["run_id"].tolist() == ["r1", "r2", "r3"]
    assert frame["tokens"].tolist() == [300_000] * 3
    assert frame["loss"].tolist() == [3.0] * 3


def test_the_tokens_of_the_evaluation_and_not_of_the_end(tmp_path: Path) -> None:
    points = [{"step": step, "tokens": step * 1000.0} for step in range(0, 101, 10)]
    lines = [{"n_params": 5_000_000}, *points, {"step": 85, "val_loss": 2.5}]
    (tmp_path / "run.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (row,) = import_runs(tmp_path / "run.jsonl").to_frame().to_dict("records")
    assert (row["tokens"], row["loss"]) == (85_000, 2.5)


def test_runs_of_one_name_get_their_ids(tmp_path: Path) -> None:
    frame = import_runs(table(tmp_path, name="same", id=lambda row: f"id{row['n_params']:.0f}")).to_frame()
    assert frame["run_id"].tolist() == ["same-id1000000", "same-id2000000", "same-id3000000"]


def test_a_finished_run_without_tokens_is_named_and_a_crashed_one_stays(tmp_path: Path) -> None:
    states = {"r1": "finished", "r2": "finished", "r3": "crashed"}
    path = table(
        tmp_path, State=lambda row: states[row["name"]], tokens=lambda row: 1e8 if row["name"] == "r1" else float("nan")
    )
    made = import_runs(path)
    assert made.to_frame()["run_id"].tolist() == ["r1", "r3"]
    assert [(warning.code, "'r2'" in warning.message) for warning in made.warnings] == [("incomplete-runs", True)]
    assert made.runs.unfinished == {"r3": "crashed"}


def test_counts_in_millions_and_billions(tmp_path: Path) -> None:
    rows = [{"params (M)": 20.0 * n, "train/tokens_B": 0.5, "val_loss": 4 - n / 10} for n in (1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    made = import_runs(tmp_path / "t.csv")
    assert made.to_frame()[["params", "tokens"]].to_numpy().tolist() == [[2e7, 5e8], [4e7, 5e8]]
    assert [warning.code for warning in made.warnings] == ["columns-read"] * 2
    assert "params are 'params (M)' times 1e6" in made.warnings[0].message


def test_a_role_of_something_else_is_not_taken(tmp_path: Path) -> None:
    frame = import_runs(table(tmp_path, role="trainer", corpus=7)).to_frame()
    assert not {"role", "corpus"} & set(frame)
    assert "role" in import_runs(table(tmp_path, role="fit")).to_frame()


def test_an_unknown_name_of_a_text_is_said(tmp_path: Path) -> None:
    assert "(did you mean 'data.name'?)" in error(table(tmp_path, **{"data.name": "c4"}), corpus="data.nam")


def test_a_list_of_objects_and_a_compressed_table(tmp_path: Path) -> None:
    (tmp_path / "runs.json").write_text(json.dumps(ROWS))
    pd.DataFrame(ROWS).to_csv(tmp_path / "runs.csv.gz", index=False)
    for name in ("runs.json", "runs.csv.gz"):
        assert import_runs(tmp_path / name).to_frame()["run_id"].tolist() == ["r1", "r2", "r3"]


def test_commas_mean_what_the_whole_column_says(tmp_path: Path) -> None:
    lines = ["Name;State;N;D;eval_loss", "20M;finished;20M;400,000,000;4,632", "40M;finished;40M;800,000,000;4,349"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    frame = import_runs(tmp_path / "t.csv").to_frame()
    assert frame["run_id"].tolist() == ["20M", "40M"]
    assert frame[["params", "tokens", "loss"]].to_numpy().tolist() == [[2e7, 4e8, 4.632], [4e7, 8e8, 4.349]]


def test_names_and_states_on_request(tmp_path: Path) -> None:
    path = table(
        tmp_path, tag=lambda row: f"exp/{row['name']}", ended=lambda row: "killed" if row["name"] == "r2" else "ok"
    )
    made = import_runs(path, columns={"run_id": "tag", "status": "ended"})
    assert made.to_frame()["run_id"].tolist() == ["exp/r1", "exp/r2", "exp/r3"]
    assert made.runs.unfinished == {"exp/r2": "killed"}
    assert made.to_dict()["recognised"]["run_id"] == "tag"
    assert "(did you mean 'ended'?)" in error(path, status="endd")

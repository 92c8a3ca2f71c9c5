"""What each tool does of its own: resumed, deleted and broken-off runs, folders in folders, damaged ends."""

import importlib.util
import json
import shutil
import sqlite3
import struct
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from foreign.written import WRITERS, Run, ladder, law, lm_eval_results, tensorboard, trainer

from analysis.imports.records import LoggedRun
from scaling.api.imports import import_runs
from scaling.errors import InputError

RUNS = [Run("a", 20_000_000, 3000), Run("b", 60_000_000, 6000)]


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")


def warned(source: Path) -> list[str]:
    return [warning.code for warning in import_runs(source).warnings]


@pytest.mark.slow
def test_wandb_binary_logs_without_an_end(tmp_path: Path) -> None:
    needs("wandb")
    folder = WRITERS["wandb-offline"][0](tmp_path, RUNS)
    # By the time of writing: names have seconds, and then an id drawn at random.
    first, second = sorted(folder.glob("offline-run-*/run-*.wandb"), key=lambda file: file.stat().st_mtime_ns)
    content = first.read_bytes()
    first.write_bytes(content[: len(content) - 40])
    second.write_bytes(second.read_bytes()[:3])  # a crash before anything was written
    with pytest.raises(InputError, match="not a file of W&B"):
        import_runs(folder)
    second.unlink()
    made = import_runs(folder)
    assert made.runs.unfinished == {"a": "running"}
    assert "torn-lines" in [warning.code for warning in made.warnings]
    assert made.to_frame()["loss"].tolist() == pytest.approx([RUNS[0].loss])
    assert made.to_dict() == {**import_runs(folder.parent).to_dict(), "source": str(folder)}  # of the project's folder
    assert import_runs(first).to_frame()["params"].tolist() == [20_000_000]  # and of the file alone


def test_wandb_folders_beside_a_link_to_the_latest(tmp_path: Path) -> None:
    folder = WRITERS["wandb-synced"][0](tmp_path, RUNS)
    (folder / "latest-run").symlink_to(next(folder.iterdir()).name)
    made = import_runs(folder)
    assert len(made.to_frame()) == 2
    assert [warning.code for warning in made.warnings] == ["no-states"]


def test_wandb_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("wandb")
    for name in ("HOME", "NETRC", "WANDB_CONFIG_DIR", "WANDB_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(InputError, match=r"^wandb:me/ladder: W&B does not give its runs \(") as caught:
        import_runs("wandb:me/ladder")
    assert len(caught.value.errors) == 1


def test_wandb_project_as_its_client_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is stubbed, as it needs the server."""
    needs("wandb")
    shared = {"project": "ladder", "group": "", "config": {"model": {"n_params": 2e7}}}
    summary = {"eval/loss": 3.2, "tokens_seen": 4e8, "_wandb": {"runtime": 3}}
    stub = [
        SimpleNamespace(id="1", name="a", state="finished", summary_metrics=summary, **shared),
        SimpleNamespace(id="2", name="b", state="running", summary_metrics={}, **shared),
    ]
    monkeypatch.setattr("wandb.Api", lambda: SimpleNamespace(runs=lambda path, **_: {"me/ladder": stub}[path]))
    made = import_runs("wandb:me/ladder")
    assert made.runs.unfinished == {"b": "running"}
    (row, _) = made.to_frame().to_dict("records")
    assert (row["params"], row["tokens"], row["loss"], row["sweep"]) == (2e7, 4e8, 3.2, "ladder")


@pytest.mark.slow
def test_mlflow_runs_that_were_deleted_or_diverged(tmp_path: Path) -> None:
    needs("mlflow")
    database = WRITERS["mlflow-database"][0](tmp_path, RUNS)
    with sqlite3.connect(database) as opened:
        opened.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'b'")
        opened.execute("UPDATE metrics SET is_nan = 1, value = 0 WHERE key = 'val_loss' AND step = 3000")
    opened.close()
    before = database.read_bytes()
    (row,) = import_runs(tmp_path).to_frame().to_dict("records")
    assert (row["run_id"], row["tokens"]) == ("a", RUNS[0].tokens)
    assert np.isnan(row["loss"])
    assert database.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("mlflow.db")] == ["mlflow.db"]


def test_mlflow_files_by_hand_with_a_torn_line(tmp_path: Path) -> None:
    run = tmp_path / "mlruns" / "1" / "abc"
    for kind in ("metrics/eval", "params", "tags"):
        (run / kind).mkdir(parents=True)
    (run / "meta.yaml").write_text("run_id: abc\nrun_name: tall\nstatus: 5\nlifecycle_stage: active\n")
    (run / "params" / "n_params").write_text("20M")
    (run / "metrics" / "eval" / "loss").write_text("1 4.0 10\n2 3.5 20\n3 3.")
    (run / "metrics" / "tokens").write_text("1 1000000 10\n2 2000000 20\n")
    made = import_runs(tmp_path)
    assert made.runs.unfinished == {"tall": "KILLED"}
    assert made.to_frame()[["params", "tokens"]].to_numpy().tolist() == [[20_000_000, 2_000_000]]


def test_tensorboard_folders_of_keras_and_torn_files(tmp_path: Path) -> None:
    needs("tensorboardX")
    from tensorboardX import SummaryWriter

    for part, loss in (("train", 3.0), ("validation", 3.2)):
        with SummaryWriter(str(tmp_path / "run1" / part)) as writer:
            writer.add_scalar("epoch_loss", loss, 10)
            writer.add_scalar("n_params", 1e6, 0)
            writer.add_scalar("tokens_seen", 1e7, 10)
    (row,) = import_runs(tmp_path).to_frame().to_dict("records")
    assert (row["run_id"], row["loss"]) == ("run1", pytest.approx(3.2))
    (file,) = (tmp_path / "run1" / "validation").iterdir()
    file.write_bytes(file.read_bytes() + b"\x01\x02\x03")
    assert "torn-lines" in warned(tmp_path)


def test_tensorflow_writes_scalars_as_tensors(tmp_path: Path) -> None:
    needs("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.proto.tensor_pb2 import TensorProto
    from tensorboardX.record_writer import RecordWriter

    plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="scalars"))
    writer = RecordWriter(str(tmp_path / "events.out.tfevents.1.host"))
    for tag, value in (("n_params", 1e6), ("tokens", 1e8), ("val_loss", 3.5)):
        tensor = TensorProto(dtype=1, tensor_content=struct.pack("<f", value))
        summary = Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=plugin)])
        writer.write(Event(step=7, summary=summary).SerializeToString())
    writer.close()
    (row,) = import_runs(tmp_path).to_frame().to_dict("records")
    assert (row["params"], row["tokens"], row["loss"]) == (1e6, 1e8, 3.5)


def test_our_own_tracker(tmp_path: Path) -> None:
    needs("tensorboardX")
    from scaling.sweep.tracking.tensorboard import TensorBoardRun

    for name in ("a", "b"):
        hyperparameters = {
            "role": "fit",
            "params": 5e6,
            "tokens": 1e8,
            "flops": 3.1e15,
            "learning_rate": 0.1,
            "seed": 1,
        }
        run = TensorBoardRun(tmp_path / "fit" / name, hyperparameters, "loss/held-out", "{}")
        run.log(1000, {"loss/train": 3.0})
        run.end(2000, {"loss/held-out": 2.5}, well=True)
    (file,) = (tmp_path / "fit" / "b").iterdir()
    file.write_bytes(file.read_bytes()[:-20])  # as a crash leaves it
    made = import_runs(tmp_path)
    assert made.runs.unfinished == {"fit/b": "running"}
    row = made.to_frame().iloc[0]
    assert (row["params"], row["tokens"], row["flops"], row["loss"], row["role"]) == (5e6, 1e8, 3.1e15, 2.5, "fit")


def test_a_trainers_last_checkpoint_counts_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    needs("transformers")
    folder = trainer(tmp_path, RUNS[:1])
    (last,) = folder.glob("*/checkpoint-*")
    earlier = last.with_name("checkpoint-1000")
    shutil.copytree(last, earlier)
    state = json.loads((earlier / "trainer_state.json").read_text())
    state |= {"global_step": 1000, "log_history": state["log_history"][:2]}
    (earlier / "trainer_state.json").write_text(json.dumps(state))
    assert import_runs(folder).to_frame()["tokens"].tolist() == [RUNS[0].tokens]
    (last / "trainer_state.json").write_text('{"best_metric": null, "log_hist')
    made = import_runs(folder)
    assert [warning.code for warning in made.warnings] == ["torn-lines"]
    row = made.to_frame().iloc[0]
    assert (row["tokens"], row["status"]) == (RUNS[0].tokens // 3, "incomplete")


def test_a_trainer_that_evaluates_after_it_has_saved_its_state(tmp_path: Path) -> None:
    needs("transformers")
    folder = trainer(tmp_path, RUNS[:1])
    (file,) = folder.rglob("trainer_state.json")
    state = json.loads(file.read_text())
    state["log_history"] = [row for row in state["log_history"] if "eval_loss" not in row]
    file.write_text(json.dumps(state))
    assert warned(folder) == ["training-loss"]
    (folder / "a" / "eval_results.json").write_text('{"epoch": 1.0, "eval_loss": 3.21, "perplexity": 24.8}')
    (row,) = import_runs(folder).to_frame().to_dict("records")
    assert (row["loss"], row["tokens"]) == (3.21, RUNS[0].tokens)
    assert warned(folder) == []


def test_a_trainer_without_a_models_files_says_what_helps(tmp_path: Path) -> None:
    needs("transformers")
    folder = trainer(tmp_path, RUNS)
    for config in folder.rglob("config.json"):
        config.unlink()
    with pytest.raises(InputError, match=r"config\.json or safetensors beside trainer_state\.json"):
        import_runs(folder)


def test_results_of_tasks_join_the_runs_of_their_models(tmp_path: Path) -> None:
    runs = ladder(2, 2)
    source = WRITERS["nanogpt"][0](tmp_path, runs)
    accuracies = {f"models/{run.name}": {"hellaswag": 0.2 + place / 10} for place, run in enumerate(runs[:3])}
    results = lm_eval_results(tmp_path, accuracies | {"models/other": {"hellaswag": 0.9}})
    made = import_runs([source, results])
    frame = made.to_frame().set_index("run_id")
    assert frame["hellaswag/acc"].tolist()[:3] == pytest.approx([0.2, 0.3, 0.4])
    assert np.isnan(frame["hellaswag/acc"].iloc[3])
    assert frame["hellaswag/acc_norm"].iloc[0] == pytest.approx(0.21)
    assert not any("stderr" in name for name in frame)
    assert any("'models/other'" in warning.message for warning in made.warnings)
    with pytest.raises(InputError, match="no result of a task is of a run"):
        import_runs([source, lm_eval_results(tmp_path / "else", {"nobody": {"hellaswag": 0.9}})])


def test_results_of_tasks_alone_are_a_table_that_says_what_it_lacks(tmp_path: Path) -> None:
    results = lm_eval_results(tmp_path, {"EleutherAI/pythia-70m": {"arc_easy": 0.4}})
    (row,) = import_runs(results).to_frame().to_dict("records")
    assert row.pop("run_id") == "EleutherAI/pythia-70m"
    assert row == pytest.approx({"arc_easy/acc": 0.4, "arc_easy/acc_norm": 0.41})
    assert warned(results) == ["no-losses"]


def test_several_sources_are_one_table(tmp_path: Path) -> None:
    first = WRITERS["nanogpt"][0](tmp_path, RUNS[:1])
    second = WRITERS["levanter"][0](tmp_path, RUNS)
    frame = import_runs([first, second]).to_frame()
    assert frame["run_id"].tolist() == ["a", "a-2", "b"]
    assert frame["loss"].tolist() == pytest.approx(
        [law(2e7, r.tokens) for r in (RUNS[0], RUNS[0])] + [RUNS[1].loss], 1e-4
    )


@pytest.mark.parametrize(
    ("module", "name", "extra"),
    [
        ("tensorboardX", "events.out.tfevents.1.host", "tensorboard"),
        ("wandb", "run-abc.wandb", "wandb"),
        ("openpyxl", "table.xlsx", "excel"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(
    module: str, name: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "table.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    (tmp_path / "run-abc.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    (tmp_path / "events.out.tfevents.1.host").write_bytes(b"\x00" * 20)
    for loaded in [found for found in sys.modules if found == module or found.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError) as caught:
        import_runs(tmp_path / name)
    (line,) = caught.value.errors
    assert line.startswith(str(tmp_path))
    assert line.endswith(f' needs: pip install "scaling-law-toolkit[{extra}]"')


def test_the_folder_of_a_sweep_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "plan.json").write_text("{}")
    with pytest.raises(InputError, match="is a sweep's own folder"):
        import_runs(tmp_path)


def test_long_series_keep_their_ends_and_their_largest_value() -> None:
    points = [(float(step), float(step % 997)) for step in range(100_000)]
    points[12_345] = (12_345.0, 1e6)
    kept = LoggedRun("a", "a", series={"x": [*points[50_000:], *points[:50_000]]}).series["x"]
    assert len(kept) < 2100
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert (12_345.0, 1e6) in kept
    assert kept == sorted(kept)


def test_a_folder_of_two_tools_is_read_as_one_and_the_other_is_named(tmp_path: Path) -> None:
    needs("tensorboardX")
    tensorboard(tmp_path, RUNS)
    WRITERS["wandb-synced"][0](tmp_path, RUNS)
    made = import_runs(tmp_path)
    (warning,) = [warning for warning in made.warnings if warning.code == "other-logs"]
    assert "TensorBoard event files there were not read" in warning.message


def test_levanter_through_wandb_names(tmp_path: Path) -> None:
    frame = pd.DataFrame({"Name": ["a", "b"], "State": ["finished", "crashed"], "parameter_count": [1e6, 2e6]})
    frame = frame.assign(**{"throughput/total_tokens": [1e8, 5e7], "eval/loss": [3.0, 3.1], "train/loss": [2.9, 3.0]})
    frame.assign(**{"eval/paloma/c4_en/loss": [3.2, 3.3]}).to_csv(tmp_path / "w.csv", index=False)
    made = import_runs(tmp_path / "w.csv")
    assert made.to_frame()["loss"].tolist() == [3.0, 3.1]
    assert made.runs.unfinished == {"b": "crashed"}

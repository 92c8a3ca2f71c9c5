"""``scaling import-runs``: what it prints and writes, and three commands from a log to a forecast."""

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
from foreign.written import WRITERS, Run, ladder, law, lm_eval_results
from inprocess import scaling

SOURCE = [
    Run("small", 20_000_000, 3000),
    Run("wide", 60_000_000, 6000),
    Run("broken", 60_000_000, 9000, state="crashed"),
]
KEYS = {"rows", "source", "recognised", "unfinished", "output", "warnings"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return WRITERS["wandb-csv"][0](tmp_path, SOURCE)


def refused(*args: object) -> list[str]:
    """Lines of the errors of a command that writes nothing to stdout."""
    done = scaling(*args)
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    return [line.removeprefix("error: ") for line in lines]


def test_the_preview_says_what_was_recognised(log: Path, tmp_path: Path) -> None:
    done = scaling("import-runs", log, "-o", tmp_path / "runs.parquet")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == f"{log}: W&B runs table, one run a row"
    assert lines[1] == (
        "recognised  params from model.n_params, tokens from throughput/total_tokens, loss from eval/loss, "
        "run_id from Name"
    )
    assert "runs        3, 1 not finished" in lines
    assert "left out    broken (crashed): rows that fits leave out by their status" in lines
    assert any("20M" in line and "small" in line for line in lines)
    assert lines[-1] == f"wrote       {tmp_path / 'runs.parquet'}"


def test_json(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "made" / "runs.jsonl"
    done = scaling("import-runs", log, "-o", out, "--json")
    result = json.loads(done.stdout)
    assert set(result) == KEYS
    assert (result["rows"], result["source"], result["output"]) == (3, str(log), str(out))
    assert result["recognised"]["params"] == "model.n_params"
    assert result["unfinished"] == {"broken": "crashed"}
    assert result["warnings"] == []
    assert [json.loads(line)["run_id"] for line in out.read_text().splitlines()] == ["small", "wide", "broken"]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_formats_hold_the_same_table(suffix: str, log: Path, tmp_path: Path) -> None:
    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True)}
    out = tmp_path / f"runs{suffix}"
    assert scaling("import-runs", log, "-o", out).returncode == 0
    frame = read[suffix](out)
    assert frame["loss"].tolist() == pytest.approx([run.loss for run in SOURCE])
    assert frame["params"].tolist() == [run.params for run in SOURCE]
    assert frame["status"].tolist() == ["finished", "finished", "crashed"]


def test_what_cannot_be_written_leaves_nothing(log: Path, tmp_path: Path) -> None:
    content = log.read_bytes()
    assert "is the source itself" in refused("import-runs", log, "-o", log)[0]
    assert "write .parquet, .csv or .jsonl" in refused("import-runs", log, "-o", tmp_path / "runs.txt")[0]
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused("import-runs", log, "-o", tmp_path / "file" / "runs.csv")[0]
    assert log.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {log.name, "file"}


def test_an_error_leaves_the_table_that_was_there(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    out.write_text("mine")
    (line,) = refused("import-runs", log, "-o", out, "--columns", "loss=eval/lss")
    assert line == f"--columns loss=eval/lss: {log} logs no such number (did you mean 'eval/loss'?)"
    assert out.read_text() == "mine"
    assert scaling("import-runs", log, "-o", out).returncode == 0
    assert out.read_text() != "mine"


def test_columns_take_names_and_numbers(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.csv"
    columns = "loss=train/loss,batch_tokens=0.5M,bpb=eval/c4/bpb"
    assert scaling("import-runs", log, "-o", out, "--columns", columns).returncode == 0
    frame = pd.read_csv(out)
    assert frame["loss"].tolist() == pytest.approx([run.loss - 0.05 for run in SOURCE])
    assert set(frame["batch_tokens"]) == {500_000}
    assert frame["bpb"].tolist() == pytest.approx([run.loss / 3 for run in SOURCE])


def test_a_loss_in_bits_keeps_its_name_and_can_be_fitted(tmp_path: Path) -> None:
    log = WRITERS["levanter"][0](tmp_path, ladder())
    out = tmp_path / "runs.csv"
    assert scaling("import-runs", log, "-o", out, "--columns", "loss=eval/bpb").returncode == 0
    assert "loss" not in pd.read_csv(out)
    target = ("--params", "4B", "--tokens", "80B", "--law", "chinchilla", "--bootstrap", "20")
    done = scaling("predict", out, "--columns", "loss=bits_per_byte", *target)
    assert done.returncode == 0
    assert "bits per byte" in done.stdout


def test_unfinished_runs_are_left_out_by_name(tmp_path: Path) -> None:
    runs = [*ladder(), Run("broken", 60_000_000, 9000, state="crashed")]
    out = tmp_path / "runs.parquet"
    assert scaling("import-runs", WRITERS["wandb-csv"][0](tmp_path, runs), "-o", out).returncode == 0
    done = scaling("fit", out, "--law", "chinchilla", "--bootstrap", "0", "--json")
    result = json.loads(done.stdout)
    assert result["n_runs"] == 16
    assert any("broken" in warning["message"] for warning in result["warnings"])


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[pytest.mark.slow]) for kind in WRITERS])
def test_three_commands_from_a_log_to_a_forecast(kind: str, tmp_path: Path) -> None:
    write, package = WRITERS[kind]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"needs {package}")
    forecast_from(write(tmp_path, ladder(lengths=5)), tmp_path / "runs.parquet")


def test_three_commands_from_a_text_log_to_a_forecast(tmp_path: Path) -> None:
    forecast_from(WRITERS["nanogpt"][0](tmp_path, ladder(lengths=5)), tmp_path / "runs.parquet", "--law", "chinchilla")


def forecast_from(source: Path, table: Path, *law_of: str) -> None:
    """Import, backtest and predict; the runs lie on one law, which the forecast must meet."""
    assert scaling("import-runs", source, "-o", table).returncode == 0
    tested = json.loads(scaling("backtest", table, "--law", "chinchilla", "--json").stdout)
    assert tested["summary"]["chinchilla"]["mean_are"] < 0.002
    target = ("--params", "4B", "--tokens", "80B")
    done = json.loads(scaling("predict", table, *target, "--bootstrap", "20", *law_of, "--json").stdout)
    assert done["loss"] == pytest.approx(law(4e9, 80e9), rel=0.005)
    assert done["interval"][0] < law(4e9, 80e9) < done["interval"][1]


def test_a_tasks_forecast_from_results_and_runs(tmp_path: Path) -> None:
    runs = ladder()
    source = WRITERS["nanogpt"][0](tmp_path, runs)
    results = lm_eval_results(tmp_path, {run.name: {"hellaswag": 1 - 0.2 * run.loss} for run in runs})
    table = tmp_path / "runs.parquet"
    assert scaling("import-runs", source, results, "-o", table).returncode == 0
    target = ("--params", "1B", "--tokens", "20B")
    done = json.loads(scaling("predict", table, "--task", "hellaswag/acc", *target, "--json").stdout)
    assert done["accuracy"] == pytest.approx(1 - 0.2 * law(1e9, 20e9), abs=0.02)

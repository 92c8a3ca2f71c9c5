"""The whole story on a sweep of seconds: through the command line, twice, killed, and with what users get wrong."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import wait_for
from inprocess import scaling

# What may differ between two runs of one sweep on one machine.
CLOCKS = ["wall_s", "mfu"]


@pytest.fixture(scope="module")
def sweep(tiny_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep's file, in a folder of this module's own."""
    file = tmp_path_factory.mktemp("sweep") / "tiny.yaml"
    shutil.copy(tiny_sweep / "tiny.yaml", file)
    return file


@pytest.fixture(scope="module")
def finished(tiny_sweep: Path, sweep: Path) -> Path:
    """The finished sweep's folder, with the times of its files."""
    assert json.loads((tiny_sweep / "stdout.json").read_text())["score"]["actual"] > 0
    return Path(shutil.copytree(tiny_sweep / "out", sweep.parent / "finished"))


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "runs.parquet").drop(columns=CLOCKS)


def test_the_folder_holds_the_whole_story(finished: Path) -> None:
    forecast = json.loads((finished / "forecast.json").read_text())
    score = json.loads((finished / "score.json").read_text())
    runs = pd.read_parquet(finished / "runs.parquet")
    target = runs[runs.role == "target"]
    assert list(runs.role.value_counts()[["fit", "target"]]) == [9, 2]
    assert score["predicted"] == forecast["loss"]
    assert score["actual"] == pytest.approx(target.loss.mean())
    assert score["error"] == pytest.approx(score["predicted"] / score["actual"] - 1)
    low, high = score["interval"]
    assert score["covered"] == (low <= score["actual"] <= high)
    assert score["extrapolation"] == pytest.approx(10, rel=0.02)
    html = (finished / "report.html").read_text()
    assert "<svg" in html
    # It loads nothing: no attribute but the names of XML namespaces and of a figure's kind holds an address.
    assert not re.findall(r'(?<!:)(?:src|href|data|action)="(?!#)[^"]*"', html)
    assert not re.search(r"@import|url\((?!#)", html)


def test_the_table_has_the_schema(finished: Path) -> None:
    runs = pd.read_parquet(finished / "runs.parquet")
    schema = (
        "run_id trunk_id sweep role status params params_nonembedding params_active tokens unique_tokens epochs flops "
        "flops_6nd loss loss_stderr bits_per_byte lr batch_tokens warmup_tokens schedule decay_fraction weight_decay "
        "optimizer seed width depth heads kv_heads ffn vocab seq_len corpus tokenizer held_out_sha256 dtype device "
        "wall_s mfu loss_spikes"
    )
    assert list(runs.columns) == schema.split()
    assert (runs.status == "done").all()
    assert runs.loss.between(1, 6).all()


def test_the_forecast_was_frozen_before_the_target_began(finished: Path) -> None:
    forecast = json.loads((finished / "forecast.json").read_text())
    runs = pd.read_parquet(finished / "runs.parquet")
    for role, before in (("fit", False), ("target", True)):
        for run_id in runs[runs.role == role].run_id:
            # A worker makes the lock before the run's first step, and nothing is ever written to it.
            begun = (finished / "runs" / run_id / "lock").stat().st_mtime_ns
            assert ((finished / "forecast.json").stat().st_mtime_ns < begun) == before
    assert forecast["n_runs"] == 9


def test_the_commands_agree_with_the_story(finished: Path) -> None:
    reported = json.loads((finished / "score.json").read_text())
    scored = scaling("score", finished / "forecast.json", finished, "--json")
    assert scored.returncode == 0, scored.stderr
    assert {key: json.loads(scored.stdout)[key] for key in reported} == reported
    target = pd.read_parquet(finished / "runs.parquet").query("role == 'target'").iloc[0]
    again = scaling(
        "predict", finished, "--params", target.params, "--tokens", target.tokens, "--flops", target.flops,
        "--seeds", 2, "--json",
    )  # fmt: skip
    assert json.loads(again.stdout)["loss"] == pytest.approx(reported["predicted"])
    fitted = json.loads(scaling("fit", finished, "--law", "chinchilla", "--json").stdout)
    assert fitted["n_runs"] == 9
    assert set(fitted["params"]) == {"E", "A", "B", "alpha", "beta"}
    (finished / "report.html").unlink()
    assert scaling("report", finished).returncode == 0
    assert (finished / "report.html").exists()


def test_a_second_call_trains_nothing_and_says_the_same(finished: Path, sweep: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.glob("runs/*/status.json")}
    score = (finished / "score.json").read_bytes()
    again = scaling("run", sweep, "--out", finished)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in finished.glob("runs/*/status.json")} == before
    assert (finished / "score.json").read_bytes() == score
    assert "forecast" in again.stdout
    assert "naive" in again.stdout


@pytest.mark.slow
def test_nothing_is_special_to_english(sweep: Path) -> None:
    out = sweep.parent / "python"
    done = scaling("run", sweep, "corpus=python", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert table(out).corpus.str.startswith("python:").all()
    assert "# with corpus=python" in (out / "sweep.yaml").read_text()
    assert 1 < json.loads(done.stdout)["score"]["actual"] < 4


def logged(out: Path) -> int:
    return sum(log.read_bytes().count(b"\n") for log in out.glob("runs/*/metrics.jsonl"))


@pytest.mark.slow
def test_trained_again_and_killed_five_times_it_gives_the_same_table(finished: Path, sweep: Path) -> None:
    out = sweep.parent / "killed"
    targets = [finished / "runs" / run_id for run_id in table(finished).query("role == 'target'").run_id]
    fitted = logged(finished) - sum((run / "metrics.jsonl").read_bytes().count(b"\n") for run in targets)
    moments: list[Callable[[], bool]] = [
        lambda: (out / "plan.json").exists(),
        lambda: logged(out) > fitted // 2,
        lambda: (out / "forecast.json").exists(),
        lambda: any((out / "runs" / target.name / "metrics.jsonl").exists() for target in targets),
        lambda: (out / "score.json").exists(),
    ]
    for moment in moments:
        victim = subprocess.Popen(
            [sys.executable, "-m", "scaling", "run", str(sweep), "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(lambda: moment() or victim.poll() is not None, 240)  # noqa: B023
        assert moment(), "it has ended before"
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
    done = scaling("run", sweep, "--out", out)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(table(finished), table(out), check_exact=True)


def test_status_and_plan_agree_with_the_table(finished: Path, sweep: Path) -> None:
    planned = json.loads(scaling("plan", sweep, "--json").stdout)
    runs = pd.read_parquet(finished / "runs.parquet").set_index("run_id")
    assert [run["id"] for run in planned["runs"]] == list(runs.index)
    for run in planned["runs"]:
        row = runs.loc[run["id"]]
        assert (run["params"], run["tokens"], run["flops"], run["role"]) == (
            row.params,
            row.tokens,
            row.flops,
            row.role,
        )
    assert planned["total_flops"] == runs.flops.sum()
    assert planned["target_flops"] == runs[runs.role == "target"].flops.sum()
    status = json.loads(scaling("status", finished, "--json").stdout)
    assert {run["id"]: run["loss"] for run in status["runs"]} == runs.loss.to_dict()
    assert {(run["state"], run["progress"]) for run in status["runs"]} == {("done", 1.0)}


@pytest.mark.parametrize(
    ("arguments", "violation"),
    [
        (["seeds=3"], "unknown key 'seeds'"),
        (["fit.0.flops=many"], "many"),
        (["target.flops=1e3"], "shorter than the context"),
        (["target.flops=1e15"], "epochs"),
        (["target.size={width: 20, depth: 1, heads: 3}"], "not a multiple of heads"),
        (["target.size={width: 20, depth: 1, heads: 4}"], "odd"),
        (["target.size={width: 24, depth: 1, heads: 4, kv_heads: 3}"], "not a multiple of kv_heads"),
        (["corpus={path: /nowhere/at/all}"], "no such file"),
        (["--out", "/dev/null/x"], "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    sweep: Path, tmp_path: Path, arguments: list[str], violation: str
) -> None:
    out = [] if "--out" in arguments else ["--out", tmp_path / "out"]
    done = scaling("run", sweep, *arguments, *out)
    assert done.returncode == 2
    assert done.stdout == ""
    assert all(line.startswith("error: ") for line in done.stderr.splitlines())
    assert violation in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_another_sweep_in_the_folder_is_refused(finished: Path, sweep: Path) -> None:
    done = scaling("run", sweep, "target.seeds=1", "--out", finished)
    assert done.returncode == 2
    assert "holds another sweep" in done.stderr


def test_a_worker_that_cannot_work_is_named(sweep: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for number in range(3):
        (text / f"{number}.txt").write_text(f"{number} words and words " * 4000)
    out = tmp_path / "out"
    command = ["run", sweep, f"corpus={{path: {text}, epochs: 1000}}", "--out", out]
    first = subprocess.Popen([sys.executable, "-m", "scaling", *map(str, command)], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: first.poll() is not None or (out / "plan.json").exists(), 240)
    (text / "0.txt").write_text("changed since it was planned " * 4000)
    _, reported = first.communicate()
    assert first.returncode == 2
    assert "its text has changed since the sweep was planned" in reported
    again = scaling(*command)
    assert again.returncode == 2
    assert "gives other runs than before" in again.stderr

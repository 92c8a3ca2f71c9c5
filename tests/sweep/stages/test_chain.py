"""A chain from its base models to its policies: carried out, killed in every stage, and gone on with."""

import shutil
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import finished
import pandas as pd
import pytest
from chains.small import STAGES, carried_out, tables

from scaling.chain import read_frozen
from scaling.sweep.folder.sweep_folder import SweepFolder

# Trains a stage's runs; ends by SIGKILL after so many reports of the process. Every step is saved.
KILLED = """
import os, signal, sys
from pathlib import Path
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.workers import stage_training
from scaling.sweep.workers.worker import Worker
folder, role, after = sys.argv[1:]
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # as workers are, which decides how sums are split
stage_training.CHECKPOINT_S = (0.0, 0.0)
report, left = stage_training.Recorder.report, int(after)
def counted(self, row):
    global left
    report(self, row)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
stage_training.Recorder.report = counted
sweep = SweepFolder(Path(folder))
if sweep.runs(role):
    Worker(sweep, stage_training.StageTrainer(sweep, PLAIN)).work(role)
"""


@pytest.fixture(scope="module")
def chain(shared: Path) -> Path:
    """The folder of the small chain, carried out: to be read only."""
    return finished.made_once(shared / "chain", carried_out)


@pytest.mark.slow
def test_every_stage_has_its_tables_its_forecast_and_its_report(chain: Path) -> None:
    for name in STAGES:
        folder = chain / name
        runs, rewards = tables(folder)
        assert set(runs.status) == {"done"}, name
        assert (folder / "report.html").exists()
        if name == "base":
            continue
        assert set(runs.role) == {"fit", "target"}
        assert (rewards is None) == (name == "sft"), name
        frozen, reason = read_frozen(folder)
        assert (frozen is None) != (reason is None), name


@pytest.mark.slow
def test_each_forecast_is_frozen_before_its_target_has_begun(chain: Path) -> None:
    for name in STAGES[1:]:
        stage = SweepFolder(chain / name)
        settled = [chain / name / file for file in ("forecast.json", "refused.json")]
        made = max(path.stat().st_mtime for path in settled if path.exists())
        for run_id in stage.runs("target"):
            own = stage.run(run_id).path
            written = [own / "status.json", *own.glob("metrics.jsonl")]
            assert all(made <= path.stat().st_mtime for path in written)


@pytest.mark.slow
@pytest.mark.parametrize("name", STAGES[1:])
def test_killed_at_any_step_the_tables_are_the_same(chain: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "chain"
    shutil.copytree(chain, out)
    stage = SweepFolder(out / name)
    for run_id in stage.runs():
        config = (stage.run(run_id).path / "config.json").read_text()
        shutil.rmtree(stage.run(run_id).path)
        stage.run(run_id).path.mkdir()
        (stage.run(run_id).path / "config.json").write_text(config)
    (tmp_path / "killed.py").write_text(KILLED)
    killed = 0
    for role in ("fit", "target"):
        for attempt in count():
            after = (2, 3, 10**6)[min(attempt, 2)]
            command = [sys.executable, str(tmp_path / "killed.py"), str(out / name), role, str(after)]
            done = subprocess.run(command, timeout=600, check=False)
            if done.returncode == 0:
                break
            assert done.returncode == -signal.SIGKILL
            killed += 1
    assert killed >= (1 if name == "best" else 3)
    carried_out(out, name)
    for one, other in zip(tables(out / name), tables(chain / name), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            pd.testing.assert_frame_equal(one, other, check_exact=True)

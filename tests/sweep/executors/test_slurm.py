"""The executor slurm, by submitit's own processes: the table of local workers, through all that befalls jobs."""

import signal
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import QUICKSTART, ended, nobody_trains, run, signal_one, start, table, wait_for

from scaling.cli import main
from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.train.stop import STOPPED_EXIT

pytest.importorskip("submitit", reason="submitit is not installed")
SLURM = ("--executor", "slurm", "--workers", "2")


@pytest.mark.slow
def test_preempted_killed_and_stopped_the_table_is_the_same(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    out = tmp_path / "out"
    first = start(out, *SLURM, SCALING_SLURM="local")
    signal_one(out, "fit", signal.SIGUSR2, above=True)  # as Slurm does before a job's time is over
    wait_for(lambda: any("Requeued" in log.read_text() for log in (out / "logs" / "slurm").glob("*.out")), 240)
    signal_one(out, "fit", signal.SIGKILL)
    wait_for(lambda: (out / "forecast.json").exists(), 900)
    signal_one(out, "target", signal.SIGKILL, above=True)  # the job's own process
    wait_for(lambda: nobody_trains(out), 240)
    wait_for(lambda: not nobody_trains(out), 240)
    first.send_signal(signal.SIGTERM)
    stopped = ended(first)
    assert (stopped.returncode, stopped.stdout) == (STOPPED_EXIT, "")
    assert "has ended before its time" in stopped.stderr
    wait_for(lambda: nobody_trains(out), 30)
    assert run(out, *SLURM, SCALING_SLURM="local").returncode == 0
    pd.testing.assert_frame_equal(table(out), undisturbed, check_exact=True)


def violations(capsys: pytest.CaptureFixture[str], out: Path, *options: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(["run", *QUICKSTART, "--out", str(out), "--executor", "slurm", *options])
    assert caught.value.code == 2
    return capsys.readouterr().err.splitlines()


def test_what_slurm_has_no_use_for_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert violations(capsys, out, "--slurm", "partition") == ["error: --slurm partition: must be KEY=VALUE"]
    assert violations(capsys, out, "--slurm", "time=1:00:00") == [
        "error: --slurm time=1:00:00: must be a whole number of minutes"
    ]
    assert violations(capsys, out, "--executor", "local", "--slurm", "time=60") == [
        "error: --slurm time=60: only with --executor slurm"
    ]
    assert violations(capsys, out) == ["error: --executor slurm needs --workers N: how many jobs there are at once"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert violations(capsys, out, "--workers", "2") == [
        "error: --executor slurm: there is no Slurm here (srun is not found)"
    ]
    monkeypatch.setenv("SCALING_SLURM", "local")
    (wrong,) = violations(capsys, out, "--workers", "2", "--slurm", "colour=red", "--slurm", "partition=gpu")
    assert wrong.startswith("error: --slurm colour=red: Unknown argument 'colour'")
    assert not (out / "forecast.json").exists()


def test_a_mesh_that_no_job_could_train_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scaling.sweep.executors.slurm import slurm_jobs

    monkeypatch.setenv("SCALING_SLURM", "local")

    def reported(workers: int | None, *options: str) -> str:
        with (
            pytest.raises(InputError) as error,
            slurm_jobs(options)(SweepFolder(tmp_path), "fit", workers, 8),
        ):
            pass
        (line,) = error.value.errors
        return line

    assert reported(None) == "`executor` slurm: a mesh needs `workers` N, its processes, or `slurm` gpus_per_node=N"
    assert reported(3) == "`workers` 3: the mesh has 8 devices, of which each needs an equal share"
    assert reported(4, "nodes=2") == "`workers` 4: nodes times tasks_per_node are 2 times 1 processes"
    assert reported(4, "tasks_per_node=3") == "`workers` 4: nodes times tasks_per_node are 2 times 3 processes"
    # The nodes that follow from the options, of which submitit's own processes have only one.
    one = "LocalExecutor can use only one node. Use nodes=1"
    assert reported(None, "gpus_per_node=4") == f"`slurm` nodes=2: {one}"
    assert reported(8, "tasks_per_node=2") == f"`slurm` nodes=4: {one}"
    assert reported(None, "nodes=2", "tasks_per_node=4") == f"`slurm` nodes=2: {one}"

"""The executor ray: the table of local workers, though processes are killed, and the sweep stopped meanwhile."""

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import QUICKSTART, ended, nobody_trains, run, signal_one, start, table, wait_for

from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.train.stop import STOPPED_EXIT

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")
RAY = ("--executor", "ray", "--workers", "2")


def ray_processes() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "raylet" in words.split("\0")[0]:
            found.append(words)
    return found


@needs_ray
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
@pytest.mark.slow
def test_killed_stopped_and_gone_on_with_the_table_is_the_same(tmp_path: Path, undisturbed: pd.DataFrame) -> None:
    out, before = tmp_path / "out", ray_processes()
    first = start(out, *RAY)
    signal_one(out, "fit", signal.SIGKILL, above=True)  # a process of Ray's: its task is tried again
    wait_for(lambda: (out / "forecast.json").exists(), 900)
    signal_one(out, "target", signal.SIGKILL)
    log = out / "logs" / "target-0.log"
    wait_for(lambda: "has ended: killed by SIGKILL" in log.read_text(), 240)
    signal_one(out, "target", signal.SIGKILL, above=True)
    wait_for(lambda: not nobody_trains(out), 240)
    first.send_signal(signal.SIGTERM)
    stopped = ended(first)
    assert (stopped.returncode, stopped.stdout) == (STOPPED_EXIT, "")
    wait_for(lambda: nobody_trains(out), 240)
    assert "Traceback" not in stopped.stderr
    wait_for(lambda: ray_processes() == before, 120)
    second = run(out, *RAY)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["folder"] == str(out)
    pd.testing.assert_frame_equal(table(out), undisturbed, check_exact=True)


@needs_ray
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
@pytest.mark.slow
def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    reported = run(tmp_path / "out", *RAY, RAY_ADDRESS="127.0.0.1:1")
    assert reported.returncode == 2
    (*_, line) = reported.stderr.splitlines()
    assert line.startswith("error: RAY_ADDRESS=127.0.0.1:1: ")


@needs_ray
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
def test_processes_that_cannot_share_a_mesh_are_refused(tmp_path: Path) -> None:
    from scaling.sweep.executors.ray import ray_tasks

    reported = "`workers` 3: the mesh has 8 devices, of which each needs an equal share"
    with pytest.raises(InputError, match=reported), ray_tasks(SweepFolder(tmp_path), "fit", 3, 8):
        pass


@needs_ray
@pytest.mark.xdist_group("ray")
@pytest.mark.usefixtures("one_cluster")
@pytest.mark.slow
def test_a_mesh_is_shared_out_over_the_gpus_of_a_cluster() -> None:
    code = """
import ray
from scaling.errors import InputError
from scaling.sweep.executors.ray import share_of_mesh

def shares(workers, devices):
    try:
        return share_of_mesh(workers, devices)
    except InputError as error:
        return str(error)

ray.init(address="local", num_cpus=2, num_gpus=4, include_dashboard=False, log_to_driver=False)
print(shares(None, 4), shares(2, 4), shares(None, 2))
print(shares(None, 8))
ray.shutdown()
ray.init(address="local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False)
print(shares(None, 2), shares(1, 2))
print(shares(None, 4))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "(1, {'GPU': 4}) (2, {'GPU': 2}) (1, {'GPU': 2})",
        "`executor` ray: the mesh (of 8 devices) needs 2 times 4 GPU of one node; the nodes of the cluster have 4",
        "(2, {'CPU': 1}) (1, {'CPU': 1})",
        "`executor` ray: the mesh (of 4 devices) needs 4 times 1 CPU of one node; the nodes of the cluster have 2",
    ]


@pytest.mark.parametrize(("executor", "module"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_extra_is_one_line(executor: str, module: str) -> None:
    code = f"""
import sys
sys.modules["{module}"] = None
from scaling.cli import main
main(["run", "{QUICKSTART[0]}", "--executor", "{executor}"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    reported = f'error: --executor {executor} needs: pip install "scaling-law-toolkit[{executor}]"\n'
    assert (done.returncode, done.stdout, done.stderr) == (2, "", reported)

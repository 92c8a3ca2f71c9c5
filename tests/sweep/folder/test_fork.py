"""A sweep edited under its half-done folder: differences are reported, and a fork copies the old state atomically."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from elsewhere import wait_for
from tiny import make_run

from scaling.errors import InputError
from scaling.sweep.folder.file_names import RESULTS
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import PlannedRun, expand
from scaling.sweep.spec.sweep_file import parse_sweep

FITTED = [PlannedRun(make_run(seed=seed), "fit") for seed in range(4)]
TARGET, OTHER_TARGET = (PlannedRun(make_run(seed=seed), "target") for seed in (8, 9))
BEFORE = {"name": "tiny", "fit": [{"flops": [1e8, 2e8], "trunk": False}], "target": {"flops": 1e9}}
AFTER = {"name": "tiny", "fit": [{"flops": [1e8, 4e8], "trunk": False}], "target": {"flops": 1e9}}
OLD, NEW = [*FITTED[:3], TARGET], [*FITTED[1:], TARGET]


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Of three fitted runs one is finished and two are half-trained; the forecast is frozen, the target not begun."""
    folder = SweepFolder(tmp_path / "out")
    folder.prepare(BEFORE, "before", OLD)
    folder.run(FITTED[0].id).write_status({"state": "running", "step": 1, "steps": 2, "loss": 3.0})
    folder.run(FITTED[1].id).write_status({"state": "done", "loss": 2.0})
    folder.run(FITTED[2].id).write_status({"state": "running", "step": 1, "steps": 2, "loss": 3.0})
    for name in RESULTS:
        (folder.path / name).write_text(f"old {name}")
    return folder


def files(path: Path) -> dict[str, bytes]:
    found = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    return {name: content for name, content in found.items() if Path(name).name not in ("lock", ".lock")}


def refused(sweep: SweepFolder, plan: list[PlannedRun], after: dict = AFTER, fork: bool = False) -> tuple[str, ...]:  # type: ignore[type-arg]
    before = files(sweep.path)
    with pytest.raises(InputError) as error:
        sweep.prepare(after, "after", plan, may_grow=True, fork=fork)
    assert files(sweep.path) == before
    return error.value.errors


def test_what_differs_is_reported_a_line_each(sweep: SweepFolder) -> None:
    edited = {**AFTER, "target": {"flops": 1e9, "seeds": [0, 1]}, "dtype": "bfloat16"}
    assert refused(sweep, [*NEW, OTHER_TARGET], edited) == (
        f"{sweep.path}: holds another sweep (different: dtype, fit, target)",
        f"{sweep.path}: fit.0.flops: [1e+08, 2e+08] -> [1e+08, 4e+08]",
        f"{sweep.path}: target.seeds: not given -> [0, 1]",
        f"{sweep.path}: dtype: not given -> bfloat16",
        f"{sweep.path}: 3 runs are kept (1 finished, 1 half-trained); 1 run is no longer part of it (1 half-trained); "
        "2 runs are new",
        f"{sweep.path}: choose another `out`; or go on with it by `fork`, which keeps what was in "
        f"{sweep.path / 'forks'}",
    )


def test_a_fork_keeps_runs_and_what_was(sweep: SweepFolder) -> None:
    kept = [sweep.run(run.id).path for run in OLD]
    before = {path: files(path) for path in kept}
    sweep.prepare(AFTER, "after", NEW, may_grow=True, fork=True)
    assert sweep.runs() == [run.id for run in NEW]
    assert sweep.sweep() == AFTER
    assert {path: files(path) for path in kept} == before
    was = sweep.path / "forks" / "1"
    assert {file.name for file in was.iterdir()} == {"plan.json", "sweep.yaml", *RESULTS}
    assert (was / "forecast.json").read_text() == "old forecast.json"
    assert [run["id"] for run in json.loads((was / "plan.json").read_text())["runs"]] == [run.id for run in OLD]
    assert [(sweep.path / name).exists() for name in RESULTS] == [False] * len(RESULTS)
    assert (sweep.path / "sweep.yaml").read_text() == "after"


def test_back_and_forth(sweep: SweepFolder) -> None:
    sweep.prepare(AFTER, "after", NEW, fork=True)
    sweep.prepare(BEFORE, "before", OLD, fork=True)
    assert sweep.runs() == [run.id for run in OLD]
    assert sorted(path.name for path in (sweep.path / "forks").iterdir()) == ["1", "2"]
    sweep.prepare(BEFORE, "before", OLD)
    sweep.prepare(BEFORE, "before", OLD, fork=True)
    assert len(list((sweep.path / "forks").iterdir())) == 2, "nothing differs, so nothing forks"


def test_no_forecast_is_made_after_its_target_has_begun(sweep: SweepFolder) -> None:
    sweep.run(TARGET.id).write_status({"state": "running", "step": 1, "steps": 2, "loss": 3.0})
    (violation,) = refused(sweep, NEW, fork=True)
    assert "the target's training has begun" in violation
    assert "--fork" not in refused(sweep, NEW)[-1], "what is refused is not recommended"
    assert "has begun" in refused(sweep, NEW[:-1], fork=True)[0], "nor with --fit-only"
    assert "has begun" in refused(sweep, [*OLD, OTHER_TARGET], fork=True)[0], "nor of one more seed"
    sweep.prepare(AFTER, "after", [*NEW[:-1], OTHER_TARGET], fork=True)  # another target has not begun
    assert not (sweep.path / "forecast.json").exists()
    for fork in (False, True):
        assert "has begun" in refused(sweep, NEW, fork=fork)[0], "it has begun, though it was not the plan's"


def test_a_fork_to_the_same_runs_keeps_the_forecast(sweep: SweepFolder) -> None:
    sweep.run(TARGET.id).write_status({"state": "done"})
    sweep.prepare({**BEFORE, "corpus": {"epochs": 2.0}}, "after", OLD, fork=True)
    assert (sweep.path / "forecast.json").read_text() == "old forecast.json"
    assert (sweep.path / "forks" / "1" / "forecast.json").exists()


def test_another_name_is_another_table_and_so_another_forecast(sweep: SweepFolder) -> None:
    renamed = {**BEFORE, "name": "other"}
    sweep.run(TARGET.id).write_status({"state": "done"})
    assert "has begun" in refused(sweep, OLD, renamed, fork=True)[0]
    (sweep.run(TARGET.id).path / "status.json").unlink()
    sweep.prepare(renamed, "after", OLD, fork=True)
    assert not (sweep.path / "forecast.json").exists()


def test_what_is_being_trained_is_not_forked_from(sweep: SweepFolder) -> None:
    with sweep.run(FITTED[0].id).locked() as mine:
        assert mine
        (violation,) = refused(sweep, NEW, fork=True)
    assert f"runs are being trained now ({FITTED[0].id})" in violation
    sweep.prepare(AFTER, "after", NEW, fork=True)


GRID = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 2e8, 4e8], trunk: %s}
%s
"""


@pytest.mark.parametrize(
    ("trunk", "last", "edit", "kept"),
    [
        ("false", "grid: {learning_rate: [0.5x, 1x]}", "grid.learning_rate=[1x,2x]", 3),
        ("true", "target: {size: {width: 8, depth: 1}, flops: 1e9}", "fit.0.flops=[1e8,3e8,4e8]", 3),
    ],
    ids=["grid", "trunk"],
)
def test_a_grid_and_a_trunk(trunk: str, last: str, edit: str, kept: int, tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path / "out")
    text = GRID % (trunk, last)
    specs = [parse_sweep(text.replace("fit: {", "fit:\n- {"), "x.yaml", overrides) for overrides in ([], [edit])]
    old, new = (expand(spec, load_text(spec.corpus)) for spec in specs)
    sweep.prepare(specs[0].canonical(), text, old)
    if trunk == "true":  # a branch that has not left its trunk is trained under the trunk's lock
        branch = old[0].config
        sweep.run(branch.id).write_status({"state": "running", "step": 1, "steps": 9, "loss": 3.0})
        with sweep.trunk(branch.trunk_id).locked(), pytest.raises(InputError, match="trained now"):
            sweep.prepare(specs[1].canonical(), text, new, fork=True)
    with pytest.raises(InputError, match=f"{kept} runs are kept"):
        sweep.prepare(specs[1].canonical(), text, new)
    sweep.prepare(specs[1].canonical(), text, new, fork=True)
    assert sweep.runs() == [run.id for run in new]


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_fork
from scaling.sweep.folder.sweep_folder import SweepFolder

def change(event, arguments):
    if event == "open":
        flags = arguments[2] or 0
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    if event == "os.remove":  # of a temporary file that has its name by now, nothing
        return arguments[1] != -1 or os.path.lexists(arguments[0])
    return event in ("os.rename", "os.mkdir", "os.rmdir", "os.link")

def kill_at(last):
    left = last
    def hook(event, arguments):
        nonlocal left
        if change(event, arguments):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(hook)

template, number, killed = Path(sys.argv[1]), 0, True
while killed:
    number += 1
    out = template.with_name(f"killed-{{number:03}}")
    shutil.copytree(template, out)
    child = os.fork()
    if child == 0:
        kill_at(number)
        SweepFolder(out).prepare(test_fork.AFTER, "after", test_fork.NEW, may_grow=True, fork=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or status == 0
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_the_one_or_the_other(sweep: SweepFolder, tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(sweep.path)], env=environment, check=True, timeout=300)
    *cut_short, whole = sorted(tmp_path.glob("killed-*"))
    assert len(cut_short) > 20
    old, new = files(sweep.path), files(whole)
    assert (old["plan.json"], new["plan.json"]) == (new["forks/1/plan.json"], files(whole)["plan.json"])
    assert any(not (killed / "forecast.json").exists() for killed in cut_short), "none was killed midway"
    for killed in cut_short:
        # The last change is the plan's: until then whoever goes on with the old sweep finds all of it.
        assert (killed / "plan.json").read_bytes() == old["plan.json"]
        undone = SweepFolder(Path(shutil.copytree(killed, killed.with_name("undone"))))
        undone.prepare(BEFORE, "before", OLD, may_grow=True)
        left = files(undone.path)
        assert {name: left[name] for name in old} == old
        assert not any(name.startswith("forks/") for name in left)
        shutil.rmtree(undone.path)
        SweepFolder(killed).prepare(AFTER, "after", NEW, may_grow=True, fork=True)
        after = files(killed)
        assert {name: after[name] for name in new} == new
        assert {name for name in after if name.startswith("forks/")} == {
            name for name in new if name.startswith("forks/")
        }


SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
fit:
- {sizes: [{width: 8, depth: 1}, {width: 12, depth: 1}, {width: 20, depth: 1}], flops: [1e8, 3e8, 1e9]}
- {sizes: [{width: 40, depth: 1}], flops: 6e11}
target: {size: {width: 20, depth: 1}, flops: 2e10}
eval_tokens: 2048
"""
EDITED = SWEEP.replace("1e8, 3e8, 1e9", "2e8, 3e8, 1e9")


def scaling(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scaling", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture
def half_done(tmp_path: Path) -> Path:
    """A sweep's folder, killed when the first run has a checkpoint."""
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "scaling", "run", str(tmp_path / "tiny.yaml"), "--out", str(out), "--workers", "1"]
    victim = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: any(out.glob("runs/*/checkpoints.jsonl")) or victim.poll() is not None, 300)
    assert victim.poll() is None, victim.communicate()[1]
    workers = subprocess.run(["pgrep", "-P", str(victim.pid)], capture_output=True, text=True, check=False).stdout
    for process in (victim.pid, *map(int, workers.split())):
        os.kill(process, signal.SIGKILL)
    victim.communicate()
    return out


@pytest.mark.slow
def test_an_edited_sweep_goes_on_and_gives_what_it_gives_by_itself(half_done: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(EDITED)
    command = ("run", tmp_path / "tiny.yaml", "--out", half_done)
    reported = scaling(*command)
    assert reported.returncode == 2
    assert all(line.startswith("error: ") for line in reported.stderr.splitlines())
    assert "fit.0.flops: [1e+08, 3e+08, 1e+09] -> [2e+08, 3e+08, 1e+09]" in reported.stderr
    assert "8 runs are kept (" in reported.stderr
    done = scaling(*command, "--fork")
    assert done.returncode == 0, done.stderr
    alone = scaling("run", tmp_path / "tiny.yaml", "--out", tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    tables = [
        pd.read_parquet(path / "runs.parquet").drop(columns=["wall_s", "mfu"])
        for path in (half_done, tmp_path / "alone")
    ]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    (tmp_path / "tiny.yaml").write_text(SWEEP)
    late = scaling(*command, "--fork")
    assert late.returncode == 2
    assert "the target's training has begun" in late.stderr

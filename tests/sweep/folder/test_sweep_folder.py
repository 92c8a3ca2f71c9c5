"""The sweep's folder: whole files, torn tails, locks, and other sweeps' folders."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_run

from scaling.errors import InputError
from scaling.files import write_text
from scaling.sweep.folder.run_folder import RunFolder
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.locks.local import LocalLocks
from scaling.sweep.plan.expand import PlannedRun

PLAN = [PlannedRun(make_run(seed=0), "fit"), PlannedRun(make_run(seed=1), "target")]
CANONICAL = {"name": "tiny", "seeds": [0, 1]}


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    folder = SweepFolder(tmp_path / "out")
    folder.prepare(CANONICAL, "name: tiny\n", PLAN)
    return folder


def test_a_config_comes_back_as_it_was(sweep: SweepFolder) -> None:
    assert sweep.runs() == [run.id for run in PLAN]
    assert sweep.runs("target") == [PLAN[1].id]
    assert sweep.run(PLAN[0].id).config() == PLAN[0].config


def test_the_same_sweep_is_taken_up_again(sweep: SweepFolder) -> None:
    sweep.run(PLAN[0].id).write_status({"state": "done"})
    sweep.prepare(CANONICAL, "name: tiny\n", PLAN)
    assert sweep.run(PLAN[0].id).status() == {"state": "done"}


def test_a_damaged_status_is_named(sweep: SweepFolder) -> None:
    (sweep.run(PLAN[0].id).path / "status.json").write_text('{"state": "do')
    with pytest.raises(InputError, match=r"status.json: damaged"):
        sweep.table()


def test_another_sweep_is_refused_and_nothing_touched(sweep: SweepFolder) -> None:
    before = {path: path.read_bytes() for path in sweep.path.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"holds another sweep \(different: seeds\)"):
        sweep.prepare({"name": "tiny", "seeds": [0, 2]}, "other", PLAN[:1])
    with pytest.raises(InputError, match="gives other runs than before"):
        sweep.prepare(CANONICAL, "other", PLAN[:1])
    assert {path: path.read_bytes() for path in sweep.path.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match="cannot write the sweep's folder"):
        SweepFolder(tmp_path / "file" / "out").prepare(CANONICAL, "", PLAN)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_torn_row_is_passed_over_and_the_last_row_of_a_step_counts(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, LocalLocks())
    for step, loss in ((1, 3.0), (2, 2.0), (3, 1.5), (2, 2.1)):
        run.log({"step": step, "loss": loss})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "lo')
    assert [(row["step"], row["loss"]) for row in run.metrics()] == [(1, 3.0), (2, 2.1), (3, 1.5)]


def test_a_lock_keeps_other_processes_out_and_dies_with_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom scaling.sweep.folder.run_folder import RunFolder\n"
        "from scaling.sweep.locks.local import LocalLocks\n"
        "with RunFolder(Path(sys.argv[1]), LocalLocks()).locked() as mine:\n"
        "    print(mine, flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with RunFolder(tmp_path, LocalLocks()).locked() as mine:
        assert not mine
    holder.kill()
    holder.communicate()
    with RunFolder(tmp_path, LocalLocks()).locked() as mine:
        assert mine


def test_a_write_is_whole_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "status.json"
    write_text(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_no_sweeps_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no sweep's folder"):
        SweepFolder(tmp_path).runs()


def entries(sweep: SweepFolder) -> list[str]:
    return sweep.runs("fit") + sweep.runs("target")


def test_a_sweep_may_grow_if_it_keeps_its_runs(sweep: SweepFolder) -> None:
    grown = {"name": "tiny", "seeds": [0, 1, 2]}
    more = [PLAN[0], PlannedRun(make_run(seed=2), "fit"), PLAN[1]]
    with pytest.raises(InputError, match="holds another sweep"):
        sweep.prepare(grown, "more", more)
    with pytest.raises(InputError, match="holds another sweep"):
        sweep.prepare(grown, "more", more[1:], may_grow=True)
    sweep.prepare(grown, "more", more, may_grow=True)
    assert entries(sweep) == [run.id for run in more]
    assert sweep.sweep() == grown


def test_a_sweep_may_leave_its_target_for_later(sweep: SweepFolder) -> None:
    sweep.prepare(CANONICAL, "name: tiny\n", PLAN[:1], may_grow=True)
    assert entries(sweep) == [run.id for run in PLAN]
    with pytest.raises(InputError, match="gives other runs than before"):
        sweep.prepare(CANONICAL, "other", PLAN[1:], may_grow=True)


OTHER = PlannedRun(make_run(seed=3), "target")


@pytest.mark.parametrize("left", [[], [OTHER]])  # left for later, as with --fit-only, or not
def test_a_target_that_has_not_begun_may_change(sweep: SweepFolder, left: list[PlannedRun]) -> None:
    other = {**CANONICAL, "target": {"tokens": 5e6}}
    with pytest.raises(InputError, match="holds another sweep"):
        sweep.prepare(other, "other", [PLAN[0], OTHER])
    sweep.prepare(other, "other", [PLAN[0], *left], may_grow=True)
    assert entries(sweep) == [PLAN[0].id, *(run.id for run in left)]
    sweep.prepare(other, "other", [PLAN[0], OTHER], may_grow=True)
    assert entries(sweep) == [PLAN[0].id, OTHER.id]


@pytest.mark.parametrize("left", [[], [OTHER]])
def test_a_target_that_has_begun_may_not_change(sweep: SweepFolder, left: list[PlannedRun]) -> None:
    sweep.run(PLAN[1].id).write_status({"state": "running"})
    with pytest.raises(InputError, match="holds another target, whose training has begun"):
        sweep.prepare({**CANONICAL, "target": {"tokens": 5e6}}, "other", [PLAN[0], *left], may_grow=True)
    assert entries(sweep) == [run.id for run in PLAN]


def test_a_target_left_for_later_is_taken_up(tmp_path: Path) -> None:
    sweep = SweepFolder(tmp_path / "out")
    sweep.prepare(CANONICAL, "name: tiny\n", PLAN[:1], may_grow=True)
    assert entries(sweep) == [PLAN[0].id]
    sweep.prepare(CANONICAL, "name: tiny\n", PLAN, may_grow=True)
    assert entries(sweep) == [run.id for run in PLAN]

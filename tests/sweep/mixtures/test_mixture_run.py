"""A sweep with mixtures from its runs to the score of its choice: carried out, killed on the way, and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import finished
import pandas as pd
import pytest
from inprocess import scaling
from mixing import small as mixing

from analysis.mixing.choice import read_choice
from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder

pytestmark = pytest.mark.slow

SHARES = ["mix_speech", "mix_code"]
# Carries the sweep out; ends by SIGKILL when runs of a role train, before the choice is frozen, or once it is.
KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from mixing import small as mixing
from analysis.mixing.choice import Choice
out, point = sys.argv[1:]
def kill(at, _=None):
    if at == point:
        os.kill(os.getpid(), signal.SIGKILL)
freeze = Choice.freeze
def frozen(self, path):
    kill("chosen")
    freeze(self, path)
    kill("frozen")
Choice.freeze = frozen
replace(mixing.pipeline(Path(out)), report=kill).run()
"""


@pytest.fixture(scope="module")
def done(shared: Path) -> Path:
    """The folder of the small sweep, carried out: to be read only."""
    return finished.made_once(shared / "mixture", mixing.carried_out)


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(done, tmp_path / "copy"))


@pytest.fixture
def unbegun(copy: Path) -> Path:
    """A folder whose choice is frozen, and no target begun."""
    sweep = SweepFolder(copy)
    for run_id in sweep.runs("target"):
        for path in sweep.run(run_id).path.iterdir():
            if path.name != "config.json":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return copy


def frozen(out: Path) -> dict[str, object]:
    """What a choice says, without when and of which file."""
    content = read_choice(out / "choice.json").to_dict()
    return {key: value for key, value in content.items() if key not in ("created", "source")}


def test_the_target_is_trained_on_the_chosen_mixture_beside_others(done: Path) -> None:
    choice = read_choice(done / "choice.json")
    runs = mixing.table(done)
    assert set(runs.status) == {"done"}
    targets = runs[runs.role == "target"]
    known = SweepFolder(done).sweep()["corpus"]["names"]
    chosen = [round(choice.shares[name], 6) for name in known]
    tried = {tuple(row) for row in targets[SHARES].to_numpy().round(6).tolist()}
    assert len(targets) == 2 * len(tried)
    assert tuple(chosen) in tried
    assert (0.5, 0.5) in tried
    assert choice.shares["code"] > 0.5  # four fifths of the objective are code
    scored = json.loads((done / "choice_score.json").read_bytes())
    assert {"chosen", "proportional", "uniform"} <= set(scored["candidates"])
    assert (done / "report.html").exists()
    assert not (done / "forecast.json").exists()


def test_the_choice_is_frozen_before_any_target_has_begun(done: Path) -> None:
    made = (done / "choice.json").stat().st_mtime
    sweep = SweepFolder(done)
    for run_id in sweep.runs("target"):
        own = sweep.run(run_id).path
        assert all(made <= path.stat().st_mtime for path in (own / "status.json", *own.glob("metrics.jsonl")))
    for run_id in sweep.runs("fit"):
        assert sweep.run(run_id).path.joinpath("status.json").stat().st_mtime <= made


def test_killed_on_the_way_the_results_are_the_same(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "killed.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(mixing.__file__).parents[1])}
    for point in ("fit", "chosen", "frozen", "target"):
        command = [sys.executable, str(tmp_path / "killed.py"), str(out), point]
        ended = subprocess.run(command, env=environment, timeout=600, capture_output=True, check=False)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert (out / "choice.json").exists() == (point in ("frozen", "target"))
        assert not (out / "choice_score.json").exists()
    before = (out / "choice.json").read_bytes()
    mixing.carried_out(out)
    assert (out / "choice.json").read_bytes() == before
    pd.testing.assert_frame_equal(mixing.table(out), mixing.table(done), check_exact=True)
    assert frozen(out) == frozen(done)


def test_a_frozen_choice_is_never_made_anew(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (copy / "choice.json").read_bytes()
    monkeypatch.setattr("scaling.mixture.choose", None)
    result = mixing.carried_out(copy)
    assert (copy / "choice.json").read_bytes() == before
    assert result.choice.to_dict() == read_choice(copy / "choice.json").to_dict()


def test_a_target_that_was_begun_before_the_choice_is_refused(copy: Path) -> None:
    (copy / "choice.json").unlink()
    with pytest.raises(InputError, match=r"of the target has begun but there is no choice\.json"):
        mixing.carried_out(copy)
    assert not (copy / "choice.json").exists()


def test_a_chosen_target_that_was_begun_before_the_choice_is_refused(unbegun: Path) -> None:
    """As of an earlier choice of the same mixture, in a folder that was forked."""
    (unbegun / "choice.json").unlink()
    plan = json.loads((unbegun / "plan.json").read_bytes())
    chosen = [run.id for run in mixing.pipeline(unbegun).plan.on_chosen(shares_of(plan, unbegun))]
    plan["runs"] = [run for run in plan["runs"] if run["id"] not in chosen]
    (unbegun / "plan.json").write_text(json.dumps(plan))
    SweepFolder(unbegun).run(chosen[0]).write_status({"state": "running", "step": 1, "steps": 10})
    with pytest.raises(InputError, match=f"run {chosen[0]} of the target has begun but there is no choice"):
        mixing.carried_out(unbegun)


def shares_of(plan: dict[str, list[dict[str, str]]], folder: Path) -> dict[str, float]:
    """The mixture of the first of a plan's targets, which is the chosen one."""
    first = next(run["id"] for run in plan["runs"] if run["role"] == "target")
    mixture = SweepFolder(folder).run(first).pretraining().data.mixture
    assert mixture is not None
    return mixture


def test_a_changed_choice_is_refused(copy: Path) -> None:
    path = copy / "choice.json"
    path.write_text(path.read_text().replace('"seeds": 2', '"seeds": 1'))
    with pytest.raises(InputError, match=r"choice\.json: changed since it was frozen"):
        mixing.carried_out(copy)


def test_once_frozen_and_begun_there_is_no_other_sweep(copy: Path) -> None:
    other = mixing.SMALL.replace("code: 80%, speech: 20%", "code: 20%, speech: 80%")
    more = mixing.SMALL.replace("[5e7, 2e8]", "[5e7, 2e8, 3e8]")
    for text in (other, more):
        with pytest.raises(InputError, match="holds another sweep"):
            mixing.pipeline(copy, text).run()
        with pytest.raises(InputError, match="the target's training has begun"):
            mixing.pipeline(copy, text, fork=True).run()
    assert len(mixing.carried_out(copy).choice.shares) == 2
    assert not (copy / "forks").exists()


def test_before_the_target_has_begun_a_fork_chooses_again(unbegun: Path) -> None:
    other = mixing.SMALL.replace("code: 80%, speech: 20%", "code: 1%, speech: 99%")
    before = read_choice(unbegun / "choice.json")
    with pytest.raises(InputError, match="holds another sweep"):
        mixing.pipeline(unbegun, other).run()
    result = mixing.pipeline(unbegun, other, fork=True).run()
    assert result.choice.shares["speech"] > before.shares["speech"] + 0.1
    assert read_choice(unbegun / "forks" / "1" / "choice.json").to_dict() == before.to_dict()
    assert result.score is not None


def test_runs_that_determine_no_choice_are_told_of_and_no_target_is_trained(tmp_path: Path) -> None:
    few = mixing.SMALL.replace("mixtures: 5, seeds: 2", "mixtures: [proportional, uniform]")
    (tmp_path / "few.yaml").write_text(few)
    ended = scaling("run", tmp_path / "few.yaml", "--out", tmp_path / "out")
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert lines
    assert all("mixture" in line for line in lines)
    sweep = SweepFolder(tmp_path / "out")
    assert {sweep.run(run_id).status()["state"] for run_id in sweep.runs("target")} == {"planned"}
    assert not (tmp_path / "out" / "choice.json").exists()


def test_fit_only_freezes_nothing(unbegun: Path) -> None:
    (unbegun / "choice.json").unlink()
    (unbegun / "small.yaml").write_text(mixing.SMALL)
    ended = scaling("run", unbegun / "small.yaml", "--out", unbegun, "--fit-only", "--json")
    assert ended.returncode == 0, ended.stderr
    content = json.loads(ended.stdout)
    assert content["score"] is None
    assert sum(content["choice"]["shares"].values()) == pytest.approx(1.0)
    assert not (unbegun / "choice.json").exists()


def test_a_plan_lists_the_chosen_target_before_and_after_it_is_chosen(done: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(mixing.SMALL)
    plans = [
        json.loads(scaling("plan", tmp_path / "small.yaml", "--out", out, "--no-calibrate", "--json").stdout)
        for out in (tmp_path / "new", done)
    ]
    before, after = ([run for run in plan["runs"] if run["mixture_name"] == "chosen"] for plan in plans)
    assert [(run["id"], run["mixture"]) for run in before] == [(None, None)] * 2
    assert [run["mixture"] for run in after] == [pytest.approx(read_choice(done / "choice.json").shares, abs=1e-6)] * 2
    assert {run["id"] for run in after} <= set(SweepFolder(done).runs("target"))
    assert plans[0]["total_flops"] == plans[1]["total_flops"] == sum(run["flops"] for run in plans[0]["runs"])
    assert all(sum(run["mixture"].values()) == pytest.approx(1.0) for run in plans[1]["runs"])
    assert "warnings" in plans[0]


def test_status_and_report_take_the_folder(copy: Path) -> None:
    runs = json.loads(scaling("status", copy, "--json").stdout)["runs"]
    assert [run["role"] for run in runs].count("target") == 6
    assert {run["state"] for run in runs} == {"done"}
    (copy / "report.html").unlink()
    assert scaling("report", copy).returncode == 0
    assert (copy / "report.html").exists()

"""Contenders from their runs to the score of their comparison: carried out, killed on the way, and gone on with."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import finished
import pandas as pd
import pytest
from contending import small as contending

from analysis.comparing.comparison import read_comparison
from scaling.errors import InputError
from scaling.sweep.folder.sweep_folder import SweepFolder

pytestmark = pytest.mark.slow

NAMES = ("usual", "undecayed")
# Carries the contenders out; ends by SIGKILL when the runs of a contender and role train, or once all is frozen.
KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from contending import small as contending
from analysis.comparing.comparison import Comparison
out, point = sys.argv[1:]
def kill(at, _=None):
    if at == point:
        os.kill(os.getpid(), signal.SIGKILL)
freeze = Comparison.freeze
def frozen(self, path):
    made = freeze(self, path)
    kill("frozen")
    return made
Comparison.freeze = frozen
replace(contending.pipeline(Path(out)), report=kill).run()
"""


@pytest.fixture(scope="module")
def comparison(shared: Path) -> Path:
    """The folder of the small contenders, carried out: to be read only."""
    return finished.made_once(shared / "comparison", contending.carried_out)


@pytest.fixture
def copy(comparison: Path, tmp_path: Path) -> Path:
    """A copy of the folder, to be changed."""
    return Path(shutil.copytree(comparison, tmp_path / "copy"))


def frozen(out: Path) -> dict[str, object]:
    """What a comparison says, without when and of which files; seconds differ from one time to the next."""
    content = asdict(read_comparison(out / "comparison.json"))
    pairs = [{**pair, "time": None} for pair in content["pairs"]]
    return {**{key: content[key] for key in ("contenders", "best", "targets", "runs", "target_seeds")}, "pairs": pairs}


def test_every_contender_is_a_sweep_and_the_comparison_is_scored(comparison: Path) -> None:
    for name in NAMES:
        runs = pd.read_parquet(comparison / name / "runs.parquet")
        assert runs.role.value_counts().to_dict() == {"fit": 12, "target": 2}
        assert set(runs.status) == {"done"}
        assert set(runs.sweep) == {f"small-{name}"}
        assert (comparison / name / "score.json").exists()
        assert (comparison / name / "report.html").exists()
    page = (comparison / "report.html").read_text()
    assert all(f"{name}/report.html" in page for name in NAMES)
    made = read_comparison(comparison / "comparison.json")
    assert (sorted(made.contenders), made.target_seeds) == (sorted(NAMES), 2)
    assert made.runs == {"usual": 12, "undecayed": 12}
    scored = json.loads((comparison / "comparison_score.json").read_bytes())
    losses = {name: contending.table(comparison / name).query("role == 'target'").loss.mean() for name in NAMES}
    assert scored["losses"] == pytest.approx(losses)
    assert scored["runs"] == {"usual": 2, "undecayed": 2}
    assert scored["comparison_sha256"] == made.sha256


def test_all_is_frozen_before_any_target_has_begun(comparison: Path) -> None:
    settled = [comparison / "comparison.json", *(comparison / name / "forecast.json" for name in NAMES)]
    made = max(path.stat().st_mtime for path in settled)
    for name in NAMES:
        sweep = SweepFolder(comparison / name)
        for run_id in sweep.runs("target"):
            own = sweep.run(run_id).path
            assert all(made <= path.stat().st_mtime for path in (own / "status.json", *own.glob("metrics.jsonl")))


def test_killed_on_the_way_the_results_are_the_same(comparison: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "killed.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(contending.__file__).parents[1])}
    for point in ("usual fit", "undecayed fit", "frozen", "usual target", "undecayed target"):
        command = [sys.executable, str(tmp_path / "killed.py"), str(out), point]
        done = subprocess.run(command, env=environment, timeout=600, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert (out / "comparison.json").exists() == (point not in ("usual fit", "undecayed fit"))
        assert not (out / "comparison_score.json").exists()
    contending.carried_out(out)
    for name in NAMES:
        pd.testing.assert_frame_equal(
            contending.table(out / name), contending.table(comparison / name), check_exact=True
        )
    assert frozen(out) == frozen(comparison)


def test_what_is_frozen_is_never_changed(copy: Path) -> None:
    before = {path: path.read_bytes() for path in (copy / "comparison.json", copy / "usual" / "forecast.json")}
    result = contending.carried_out(copy)
    assert {path: path.read_bytes() for path in before} == before
    assert result.comparison.to_dict() == read_comparison(copy / "comparison.json").to_dict()


def test_a_target_that_was_begun_before_the_comparison_is_refused(copy: Path) -> None:
    (copy / "comparison.json").unlink()
    with pytest.raises(InputError, match=r"of the target has begun but there is no comparison\.json"):
        contending.carried_out(copy)
    assert not (copy / "comparison.json").exists()


def test_a_changed_comparison_is_refused(copy: Path) -> None:
    path = copy / "comparison.json"
    path.write_text(path.read_text().replace('"target_seeds": 2', '"target_seeds": 1'))
    with pytest.raises(InputError, match="changed after it was frozen"):
        contending.carried_out(copy)


def test_once_frozen_there_are_no_other_contenders_runs_or_forks(copy: Path) -> None:
    third = contending.SMALL + "  third: {schedule: cosine}\n"
    with pytest.raises(InputError, match=r"comparison\.json: is frozen, and of "):
        contending.pipeline(copy, third).run()
    with pytest.raises(InputError, match="holds another sweep"):
        contending.pipeline(copy, contending.SMALL.replace("1e8, 2e8", "1e8, 2e8, 3e8")).run()
    other = contending.SMALL.replace("contenders:", "evaluate: {speech: sotu}\ncompare_on: speech\ncontenders:")
    with pytest.raises(InputError, match="is frozen, and compares by loss; choose another"):
        contending.pipeline(copy, other).run()
    with pytest.raises(InputError, match="a fork would be of other runs"):
        replace(contending.pipeline(copy), fork=True).run()

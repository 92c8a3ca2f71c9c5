"""Stacked runs in a worker: the same table as one after another; and when runs are stacked at all."""

import fcntl
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny import make_run

from scaling.llama.memory import training_bytes
from scaling.llama.sharding import PLAIN
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host import stacking
from scaling.sweep.host.stacking import fits, known_gain, measured_gain, members_at_once
from scaling.sweep.host.timing import standard_run
from scaling.sweep.plan.corpus_text import SweepText, load_text
from scaling.sweep.plan.expand import expand
from scaling.sweep.spec.sweep_file import parse_sweep
from scaling.sweep.workers.job_training import JobTrainer
from scaling.sweep.workers.worker import Worker
from scaling.train.config import RunConfig

SWEEP = """\
name: tiny
model: {seq_len: 32, heads: 2, depth: 1}
corpus: sotu
recipe: {batch_tokens: 64, learning_rate: 3e-3}
fit:
  - {sizes: [{width: 8, depth: 1}], flops: [2e8, 4e8], seeds: 3}
  - {sizes: [{width: 16, depth: 1}], flops: 2e8, seeds: 2}
target: {size: {width: 8, depth: 1}, flops: 1e9}
eval_tokens: 4096
"""


def prepare(path: Path) -> tuple[SweepFolder, SweepText]:
    spec = parse_sweep(SWEEP, "tiny.yaml", ())
    sweep, text = SweepFolder(path), load_text(spec.corpus)
    sweep.prepare(spec.canonical(), SWEEP, expand(spec, text))
    return sweep, text


@pytest.mark.slow
def test_a_worker_that_stacks_makes_the_same_table(tmp_path: Path) -> None:
    requested: list[tuple[int, int]] = []

    def four(config: RunConfig, available: int) -> int:
        requested.append((config.model.width, available))
        return min(4, available)

    one, text = prepare(tmp_path / "one")
    Worker(one, JobTrainer(one, text, PLAIN)).work("fit")
    stacked, _ = prepare(tmp_path / "stacked")
    begun = time.monotonic()
    Worker(stacked, JobTrainer(stacked, text, PLAIN), four).work("fit")
    took = time.monotonic() - begun
    # Most FLOPs first: the longer runs of width 8 and one of the shorter, then the rest; those of width 16.
    assert sorted(requested) == [(8, 2), (8, 6), (16, 2)]
    expected, found = one.table(), stacked.table()
    assert len(found) == 8
    for column in (
        "run_id",
        "trunk_id",
        "status",
        "params",
        "tokens",
        "unique_tokens",
        "flops",
        "lr",
        "seed",
        "device",
    ):
        assert list(found[column]) == list(expected[column])
    for column in ("loss", "loss_stderr", "bits_per_byte"):
        np.testing.assert_allclose(found[column], expected[column], rtol=1e-4)
    assert 0.5 * took < found["wall_s"].sum() <= took, "each run has its share of the seconds"
    for run_id in stacked.runs("fit"):
        mine, alone = stacked.run(run_id), one.run(run_id)
        assert [row["step"] for row in mine.metrics()] == [row["step"] for row in alone.metrics()]
        assert not mine.checkpoints.exists()
        with mine.locked() as free:
            assert free


def test_runs_that_others_hold_or_that_have_ended_are_left_out(tmp_path: Path) -> None:
    sweep, text = prepare(tmp_path / "out")
    ended, held, *others = (run_id for run_id in sweep.runs("fit") if sweep.run(run_id).config().model.width == 8)
    sweep.run(ended).write_status({"state": "diverged", "step": 1, "steps": 2, "loss": None})

    def state(run_id: str) -> str:
        name: str = sweep.run(run_id).status()["state"]
        return name

    trainer = JobTrainer(sweep, text, PLAIN)
    with ThreadPoolExecutor(1) as pool:
        with sweep.run(held).locked():
            working = pool.submit(Worker(sweep, trainer, lambda _, available: available).work, "fit")
            while {state(run_id) for run_id in others} != {"done"} and not working.done():
                time.sleep(0.1)
            assert state(held) == "planned"
        working.result()
    assert state(held) == "done"
    assert state(ended) == "diverged"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def gains(monkeypatch: pytest.MonkeyPatch, **by_width: float) -> list[tuple[int, int]]:
    """An accelerator where stacking gains so much at each width, whatever the members; notes what it measures."""
    measured: list[tuple[int, int]] = []

    def gain(run: RunConfig, members: int) -> float:
        measured.append((run.model.width, members))
        return by_width[f"w{run.model.width}"]

    monkeypatch.setenv("SCALING_CALIBRATE", "yes")
    monkeypatch.setattr(stacking, "measured_gain", gain)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(stacking, "_memory_bytes", lambda: 10**11)
    return measured


def test_as_many_as_there_are_and_gain(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    measured = gains(monkeypatch, w32=8.0, w768=1.05)
    small, large = standard_run(24, 2, 2, 256, 8), standard_run(1024, 4, 8, 256, 8)
    assert [members_at_once(small, available) for available in (1, 2, 3, 7, 16, 40)] == [1, 2, 2, 4, 16, 16]
    assert measured == [(32, 2), (32, 4), (32, 16)], "each once"
    assert members_at_once(large, 16) == 1
    assert measured[3:] == [(768, 16), (768, 8), (768, 4), (768, 2)]
    (kept,) = cache.glob("stacking-*.json")
    assert json.loads(kept.read_text())["32 float32 16"] == 8.0


@pytest.mark.usefixtures("cache")
def test_the_standard_run_has_about_as_much_to_do_in_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = gains(monkeypatch, w32=8.0, w128=8.0, w256=8.0, w768=8.0)
    for config in (
        standard_run(256, 4, 4, 256, 8),
        standard_run(256, 8, 4, 256, 8),
        standard_run(256, 4, 4, 256, 128),
        standard_run(256, 4, 4, 256, 1),
    ):
        members_at_once(config, 2)
    assert measured == [(256, 2), (768, 2), (128, 2)]


@pytest.mark.usefixtures("cache")
def test_no_more_than_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    gains(monkeypatch, w32=8.0)
    config = standard_run(24, 2, 2, 256, 8)
    need = training_bytes(config.model, config.batch, config.dtype).total
    monkeypatch.setattr(stacking, "_memory_bytes", lambda: 10 * need)
    monkeypatch.setattr(stacking, "_gain", lambda *_: 8.0)
    assert members_at_once(config, 16) == 4
    assert fits(config, 7)
    assert not fits(config, 8)


@pytest.mark.usefixtures("cache")
def test_nothing_is_measured_where_it_must_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = gains(monkeypatch, w32=8.0)
    monkeypatch.setenv("SCALING_CALIBRATE", "no")
    assert members_at_once(make_run(), 16) == 1
    assert not measured


def test_a_cpu_measures_one_small_shape(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    measured = gains(monkeypatch, w32=1.2)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    for config in (make_run(), standard_run(256, 4, 4, 256, 8)):
        assert members_at_once(config, 16) == 1
    assert measured == [(32, 4)]
    (kept,) = cache.glob("stacking-*.json")
    kept.write_text(json.dumps({"32 float32 4": 1.5}))
    assert members_at_once(make_run(), 16) == 16


@pytest.mark.usefixtures("cache")
def test_while_another_process_measures_nothing_is_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = gains(monkeypatch, w32=8.0)
    run = standard_run(32, 1, 2, 64, 4)
    with stacking._path("lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert known_gain(run, 4) == 0.0
        assert not measured
    assert known_gain(run, 4) == 8.0


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gains(monkeypatch, w32=8.0)
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(stacking, "_measured_here", lambda *_: 3.0)
    assert known_gain(standard_run(32, 1, 2, 64, 4), 4) == 3.0


@pytest.mark.slow
def test_the_gain_is_measured() -> None:
    # At this size the machine decides which is faster; that one is ten times faster would be a mistake in counting.
    assert 0.1 < measured_gain(replace(standard_run(8, 1, 2, 32, 1), steps=10), 2) < 10


def test_where_stacking_fails_it_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(stacking, "stacked_program", lambda _: fail)
    assert measured_gain(standard_run(8, 1, 2, 32, 1), 2) == 0.0

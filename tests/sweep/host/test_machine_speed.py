"""A machine's speed: fitted to seconds of shapes, cached, and reported where it cannot be measured."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import make_run

from scaling.llama.config import LlamaConfig
from scaling.sweep.host import machine_speed
from scaling.sweep.host.machine_speed import MachineSpeed, Timing, Unmeasured, fit, measure, recall
from scaling.train.muon.direction import muon_flops

SPEEDS = MachineSpeed("here", "now", (2e-5, 0.01, 0.005, 0.002, 0.001, 0.004), (5.0, 1.0), 2.0, 0.0)


def model(width: int, depth: int = 2, heads: int = 2, seq_len: int = 64) -> LlamaConfig:
    return LlamaConfig(vocab=256, width=width, depth=depth, heads=heads, kv_heads=heads, ffn=3 * width, seq_len=seq_len)


SHAPES = [
    (model(16, 1, seq_len=32), 1),
    (model(128), 16),
    (model(64, 6, 4, 128), 1),
    (model(20), 4),
    (model(52), 4),
    (model(48, 1, 4, 256), 4),
    (model(256, 4, 4, 128), 2),
    (model(32), 2),
]


def timings(error: float = 0.0) -> list[Timing]:
    """What a machine of known speed would take."""
    factor = np.exp(error * np.random.default_rng(0).standard_normal(len(SHAPES)))
    return [
        Timing(shape, batch, SPEEDS.step_s(shape, batch) * by, SPEEDS.compile_s(shape), 2.0)
        for (shape, batch), by in zip(SHAPES, factor.tolist(), strict=True)
    ]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_known_speeds_are_found() -> None:
    found = fit(timings())
    assert found.step == pytest.approx(SPEEDS.step, rel=1e-3)
    assert found.compile == pytest.approx(SPEEDS.compile)
    assert (found.start_s, found.error) == (2.0, pytest.approx(0.0, abs=1e-6))


def test_other_shapes_are_predicted_about_as_well_as_those_measured() -> None:
    found = fit(timings(error=0.05))
    assert 0 < found.error < 0.1
    for shape, batch in ((model(24), 6), (model(96, 3, 6, 128), 4), (model(512, 8, 8, 256), 8)):
        assert found.step_s(shape, batch) == pytest.approx(SPEEDS.step_s(shape, batch), rel=0.2)


def test_a_run_is_its_steps_and_its_evaluation() -> None:
    config = make_run(steps=100)
    # 2048 held-out tokens are one call of 64 windows.
    evaluation = SPEEDS.step_s(config.model, 64) / 3
    steps = 100 * SPEEDS.step_s(config.model, config.batch)
    assert SPEEDS.run_s(config, 100) == pytest.approx(steps + evaluation + 0.1)
    # Muon's orthogonalisations are matrix products more, of each step and not of the evaluation.
    more = 100 * 1e-9 * muon_flops(config.model) * SPEEDS.step[1]
    muon = make_run(steps=100, optimizer="muon")
    assert SPEEDS.run_s(muon, 100) == pytest.approx(steps + more + evaluation + 0.1)


def test_layers_are_compiled_one_by_one_up_to_a_depth() -> None:
    assert [SPEEDS.compile_s(model(16, depth)) for depth in (1, 4, 8, 32)] == [6.0, 9.0, 13.0, 13.0]


def test_what_was_measured_is_recalled(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert recall() is None
    monkeypatch.setattr(machine_speed, "_timings", timings)
    assert recall() is None
    found = measure()
    assert recall() == found
    (file,) = cache.glob("calibration-*.json")
    file.write_text(json.dumps({"machine": "another"}))
    assert recall() is None


def test_another_machine_or_version_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_speed, "_timings", timings)
    measure()
    monkeypatch.setattr(machine_speed, "__version__", "0.0.0")
    assert recall() is None


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCALING_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(machine_speed, "_timings", timings)
    assert measure().compile == pytest.approx(SPEEDS.compile)
    assert recall() is None


@pytest.mark.parametrize(
    ("program", "patience", "reason"),
    [("import sys; sys.exit('no memory')", 60.0, "no memory"), ("import time; time.sleep(60)", 0.1, "more than 0 s")],
)
def test_why_it_cannot_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, patience: float, reason: str
) -> None:
    broken = tmp_path / "python"
    broken.write_text(f"#!{sys.executable}\n{program}\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setattr(machine_speed, "_PATIENCE_S", patience)
    with pytest.raises(Unmeasured, match=reason):
        measure()
    assert recall() is None


def test_the_train_step_is_timed_as_it_is_trained() -> None:
    from scaling.sweep.host.timing import standard_runs, time_run

    runs = standard_runs()
    found = time_run(replace(runs[0], model=make_run().model), start_s=1.0)
    assert (found.model, found.batch, found.start_s) == (make_run().model, runs[0].batch, 1.0)
    assert 0 < found.step_s < found.compile_s


def test_every_shape_is_timed_once_and_no_process_is_idle() -> None:
    from scaling.sweep.host.timing import share, standard_runs

    runs = standard_runs()
    by_two = [config for index in range(2) for config in share(runs, index, 2)]
    assert sorted(map(repr, by_two)) == sorted(map(repr, runs))
    assert all(len(list(share(runs, index, 20))) == 1 for index in range(20))

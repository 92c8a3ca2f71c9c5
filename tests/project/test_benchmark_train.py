"""The benchmark of training's speed, on a tiny model: its tricks can be taken away, and its page says what it found."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import MODEL, make_run

from benchmarks.training import steps
from benchmarks.training.clock import Failed, Variant, clocks, in_turn
from benchmarks.training.page import page
from benchmarks.training.sizes import describe, usual_runs
from benchmarks.training.tricks import TRICKS
from scaling.sweep.host.machine import visible_cores
from scaling.sweep.plan.expand import PlannedRun


def test_a_step_without_a_trick_trains_alike() -> None:
    config = steps.make_run(MODEL, 2)
    usual = steps.Ours(config)
    taken = usual.dispatch() + usual.dispatch()
    for name in ("steps-per-dispatch", "losses-late", "donated-buffers", "attention"):
        without, done = TRICKS[name].make(config), 0
        while done < taken:
            done += without.dispatch()
        assert without.finish() == pytest.approx(usual.finish(), rel=1e-3), name


@pytest.mark.slow
def test_processes_are_timed_in_turn_and_one_that_fails_says_why() -> None:
    config = steps.make_run(MODEL, 2)
    variants = [Variant("ours", name, visible_cores()[0]) for name in (None, "swiglu-backward", "unrolled-layers")]
    with clocks(variants) as timers:
        assert all(timer.prepare(config) > 0 for timer in timers)
        assert all(0 < step_s < 1 for step_s in in_turn(timers, 1, 0.05))
        timers[0].ask({"run": "{}"})
        with pytest.raises(Failed, match="not a run's config"):
            timers[0].answer()
        assert timers[0].prepare(config) > 0


@pytest.mark.slow
def test_pytorch_trains_the_same_llama() -> None:
    pytest.importorskip("transformers", reason='needs pip install -e ".[parity]"')
    config = steps.make_run(MODEL, 2)
    step = steps.PyTorch(config, compiled=False)
    assert step.dispatch() > 0
    assert step.finish() == pytest.approx(np.log(MODEL.vocab), rel=0.1)
    assert sum(parameter.numel() for parameter in step.parameters) == config.params
    with pytest.raises(ValueError, match="no norms on queries"):
        steps.PyTorch(replace(config, model=replace(MODEL, qk_norm=True)), compiled=False)


def test_a_size_is_timed_at_the_batch_it_spends_most_at() -> None:
    small, large = make_run(steps=100), make_run(steps=30, model=replace(MODEL, width=32))
    other = steps.make_run(MODEL, 4)
    plan = [PlannedRun(config, "fit") for config in (large, small, other)]
    assert usual_runs(plan) == [other, large]


def test_the_page_tells_the_least_and_the_mean_ratio() -> None:
    config = steps.make_run(MODEL, 2)
    step_s = [
        {"ours": 0.001, "eager": 0.004, "compile": 0.005},
        {"ours": 0.001, "eager": 0.003, "compile": 0.001},
    ]
    compile_s = {"ours": 1.0, "eager": 0.1, "compile": 20.0}
    rows = [describe(config) | {"step_s": times, "compile_s": compile_s} for times in step_s]
    figures = {"sizes": {"command": "x", "machine": "y", "rounds": 3, "peak_flops": 1e9, "rows": rows}}
    made = page(figures)
    assert "2.00 in the geometric mean, 1.00 at least" in made
    flops = config.flops / config.steps / 0.001
    assert f"| {flops / 1e9:.1f} | {flops / 1e9:.0%} | 1.0 / 20.0 |" in made

"""Training: it learns, repeats itself to the bit, resumes to the bit, and says when it diverged."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import make_run, make_text

from scaling.train.config import RunConfig
from scaling.train.loop import Outcome, Progress, RunText, steps_per_dispatch, train_run
from scaling.train.step import group_of, hyper_of, init_state, program_for


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return make_run()


@pytest.fixture(scope="module")
def text(run: RunConfig) -> RunText:
    return make_text(run)


NEVER = (math.inf, math.inf)


def train(
    config: RunConfig, text: RunText, folder: Path, checkpoint_s: tuple[float, float] = NEVER
) -> tuple[Outcome, list[Progress]]:
    seen: list[Progress] = []
    return train_run(config, text, folder / "checkpoints", checkpoint_s, seen.append), seen


def same(a: Outcome, b: Outcome) -> bool:
    return (a.loss, a.loss_stderr) == (b.loss, b.loss_stderr)


def test_it_learns(run: RunConfig, text: RunText, tmp_path: Path) -> None:
    outcome, seen = train(run, text, tmp_path)
    assert outcome.status == "done"
    assert outcome.loss < seen[0].loss - 1
    # Letters alone have more than 2.5 nats. A word has 6 and is chosen by one coin: log(2) / 6 is the least.
    assert math.log(2) / 6 < outcome.loss < 1.5
    assert 0 < outcome.loss_stderr < 0.1


def test_the_budget_is_met_to_the_step(run: RunConfig, text: RunText, tmp_path: Path) -> None:
    _, seen = train(run, text, tmp_path)
    size = steps_per_dispatch(run)
    assert run.steps % size, "the last dispatch should be a short one in this test"
    assert [p.step for p in seen] == [*range(size, run.steps, size), run.steps]


def test_the_same_run_twice_is_the_same_to_the_bit(run: RunConfig, text: RunText, tmp_path: Path) -> None:
    first, second = (train(run, text, tmp_path / name)[0] for name in "ab")
    assert same(first, second)
    other = dataclasses.replace(run, seed=1)
    assert not same(first, train(other, make_text(other), tmp_path / "c")[0])


def test_interrupted_and_resumed_is_the_same_to_the_bit(run: RunConfig, text: RunText, tmp_path: Path) -> None:
    whole, _ = train(run, text, tmp_path / "whole")

    class Killed(BaseException):
        pass

    reached: list[int] = []

    def die(progress: Progress) -> None:
        reached.append(progress.step)
        if len(reached) in (2, 3):
            raise Killed

    folder = tmp_path / "checkpoints"
    for _ in range(2):
        with pytest.raises(Killed):
            train_run(run, text, folder, (0.0, 0.0), die)
    resumed = train_run(run, text, folder, (0.0, 0.0), die)
    size = steps_per_dispatch(run)
    assert reached[:4] == [size, 2 * size, 2 * size, 2 * size], "each attempt goes on from the last checkpoint"
    assert same(whole, resumed)


def test_streams_pair_hyperparameters_and_nothing_else(run: RunConfig) -> None:
    assert make_run(learning_rate=1e-3, weight_decay=0.0).stream == run.stream
    others = [make_run(seed=1), make_run(steps=151), make_run(model=dataclasses.replace(run.model, width=24, ffn=64))]
    assert len({run.stream, *(other.stream for other in others)}) == 4


def test_divergence_is_told(text: RunText, tmp_path: Path) -> None:
    outcome, seen = train(make_run(learning_rate=1e30), text, tmp_path)
    assert outcome.status == "diverged"
    assert math.isnan(outcome.loss)
    assert seen[-1].step < 150


def test_runs_that_differ_in_numbers_share_a_compilation(text: RunText) -> None:
    a, b = make_run(steps=150), make_run(steps=77, learning_rate=1e-3, weight_decay=0.0, warmup=0.5, seed=3)
    assert program_for(a) is program_for(b)
    program, size = program_for(a), steps_per_dispatch(a)
    before = program.train._cache_size()
    for config in (a, b):
        state, hyper, batches = init_state(config), hyper_of(config), text.batches.take(0, size)
        for _ in range(2):  # what a dispatch returns must fit the next one as it is
            state, _ = program.train(state, hyper, batches, jnp.int32(3))
    assert program.train._cache_size() <= max(before, 1)


def test_evaluation_is_the_mean_over_held_out_tokens(run: RunConfig, text: RunText, tmp_path: Path) -> None:
    """With no step taken worth mentioning, the loss is that of the initial model, window by window."""
    still = make_run(steps=1, learning_rate=1e-12)
    outcome, _ = train(still, make_text(still), tmp_path)
    losses = program_for(still).evaluate(init_state(still).parameters, text.windows)
    assert losses.shape == (len(text.windows), run.model.seq_len)
    assert outcome.loss == pytest.approx(float(np.mean(losses)), rel=1e-5)
    assert outcome.loss_stderr == pytest.approx(float(np.std(losses)) / math.sqrt(losses.size), rel=1e-2)


def test_only_matrices_decay_and_every_parameter_has_a_group(run: RunConfig) -> None:
    state = init_state(run)
    groups = {group_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(state.parameters)}
    assert groups == {"embedding", "matrix", "norm", "final_norm"}

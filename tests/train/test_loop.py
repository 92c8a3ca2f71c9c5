"""Training: it learns, repeats itself to the bit, resumes to the bit, and says when it diverged."""

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODEL, make_run, make_text

from scaling.data.batches import RunText
from scaling.llama.sharding import name_of
from scaling.train.config import RunConfig
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, steps_per_dispatch, train_run
from scaling.train.optimizer import Hyper, Parameters
from scaling.train.step import hyper_of, init_state, program_for


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


def test_divergence_is_reported(text: RunText, tmp_path: Path) -> None:
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
    still = make_run(steps=1, learning_rate=1e-12, weight_decay=0.0)
    outcome, _ = train(still, make_text(still), tmp_path)
    losses = program_for(still).evaluate(init_state(still).parameters, text.windows)
    assert losses.shape == (len(text.windows), run.model.seq_len)
    assert outcome.loss == pytest.approx(float(np.mean(losses)), rel=1e-5)
    assert outcome.loss_stderr == pytest.approx(float(np.std(losses)) / math.sqrt(losses.size), rel=1e-2)


def test_each_rate_moves_its_own_parameters_and_only_matrices_decay(text: RunText) -> None:
    model = dataclasses.replace(MODEL, tie_embeddings=False, qk_norm=True)
    config = make_run(model=model, warmup=0.0, weight_decay=0.0)
    program, hyper, batches = program_for(config), hyper_of(config), text.batches.take(0, 2)

    def after(hyper: Hyper) -> Parameters:
        # Two steps: an output head that starts at zero hides the rest from the first.
        return program.train(init_state(config), hyper, batches, jnp.int32(2))[0].parameters

    def moved(one: Parameters, other: Parameters) -> dict[str, np.ndarray]:
        """Whether each column of each parameter differs, by the parameter's name."""
        pairs = zip(*map(jax.tree_util.tree_leaves_with_path, (one, other)), strict=True)
        columns = {
            name_of(path): np.asarray(a != b).reshape(-1, a.shape[-1]).any(axis=0) for (path, a), (_, b) in pairs
        }
        return {name: column for name, column in columns.items() if column.any()}

    owners = {
        "embedding": {"embedding"},
        "matrix": {"qkv", "gate_up"},
        "query": {"qkv"},
        "residual": {"out", "down"},
        "norm": {"attention_norm", "ffn_norm", "key_norm"},
        "query_norm": {"query_norm"},
        "final_norm": {"norm"},
        "head": {"output"},
    }
    assert owners.keys() == hyper.rates.keys()
    zero = {group: jnp.zeros(()) for group in hyper.rates}
    # The head must move, or nothing else has a gradient.
    ground = zero | {"head": hyper.rates["head"]}
    still, base = init_state(config).parameters, after(hyper._replace(rates=ground))
    assert moved(base, still).keys() == owners.pop("head")
    for group, names in owners.items():
        columns = moved(after(hyper._replace(rates=ground | {group: hyper.rates[group]})), base)
        assert columns.keys() - {"output"} == names, group
        if "qkv" in names:
            queries = np.arange(model.width + 2 * model.kv_heads * model.head_dim) < model.width
            np.testing.assert_array_equal(columns["qkv"], queries == (group == "query"))
    decayed = after(hyper._replace(weight_decay=jnp.float32(0.1), rates=ground | {"matrix": hyper.rates["matrix"]}))
    plain = after(hyper._replace(rates=ground | {"matrix": hyper.rates["matrix"]}))
    assert moved(decayed, plain).keys() == {"qkv", "out", "gate_up", "down", "output"}

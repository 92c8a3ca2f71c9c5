"""Runs trained with Muon: they learn, resume to the bit, and are the same stacked, in parts, and as branches."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import MODEL, make_run, make_text

from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import Execution
from scaling.train.config import RunConfig, read_config
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, steps_per_dispatch, train_run
from scaling.train.stacked import pick, stack, stack_key, stacked_program
from scaling.train.step import TrainState, hyper_of, init_state, program_for
from scaling.train.trunk import Begin, train_trunk

NEVER = (math.inf, math.inf)
# At this rate rounding stays rounding.
CALM = 5e-3
MODELS: dict[str, LlamaConfig] = {
    "tied": MODEL,
    "untied, qk_norm, biases": replace(MODEL, tie_embeddings=False, qk_norm=True, attention_bias="all"),
}


def muon_run(steps: int = 150, seed: int = 0, model: LlamaConfig = MODEL, **chosen: float) -> RunConfig:
    return make_run(steps, seed, model, "muon", **chosen)


def train(config: RunConfig, folder: Path) -> tuple[Outcome, list[Progress]]:
    seen: list[Progress] = []
    return train_run(config, make_text(config), folder / "checkpoints", NEVER, seen.append), seen


def dispatched(config: RunConfig, count: int = 20, execution: Execution | None = None) -> tuple[TrainState, jax.Array]:
    """The state and the losses after some steps."""
    program = program_for(config) if execution is None else program_for(config, execution)
    batches = make_text(config).batches.take(0, steps_per_dispatch(config))
    state, losses = program.train(init_state(config), hyper_of(config), batches, jnp.int32(count))
    return state, losses[:count]


@pytest.mark.parametrize("name", MODELS)
def test_it_learns(name: str, tmp_path: Path) -> None:
    outcome, seen = train(muon_run(model=MODELS[name]), tmp_path)
    assert outcome.status == "done"
    assert outcome.loss < seen[0].loss - 1
    assert math.log(2) / 6 < outcome.loss < 0.5  # see tests/train/test_loop.py


def test_bfloat16_learns_as_well(tmp_path: Path) -> None:
    outcome, _ = train(replace(muon_run(), dtype="bfloat16"), tmp_path)
    assert outcome.loss < 0.6


def test_interrupted_and_resumed_is_the_same_to_the_bit(tmp_path: Path) -> None:
    config = muon_run()
    text, (whole, _) = make_text(config), train(config, tmp_path)

    class Killed(BaseException):
        pass

    reached: list[int] = []

    def die(progress: Progress) -> None:
        reached.append(progress.step)
        if len(reached) == 2:
            raise Killed

    folder, size = tmp_path / "killed", steps_per_dispatch(config)
    with pytest.raises(Killed):
        train_run(config, text, folder, (0.0, 0.0), die)
    resumed = train_run(config, text, folder, (0.0, 0.0), die)
    assert reached == [size, 2 * size, 2 * size, config.steps]
    assert (resumed.loss, resumed.loss_stderr) == (whole.loss, whole.loss_stderr)


def test_stacked_runs_take_their_own_steps() -> None:
    configs = [muon_run(learning_rate=CALM), muon_run(seed=1, learning_rate=CALM / 3), muon_run(90, learning_rate=CALM)]
    size, counts = steps_per_dispatch(configs[0]), np.array([20, 20, 7], np.int32)
    batches = np.stack([make_text(config).batches.take(0, size) for config in configs])
    states, losses = stacked_program(configs[0])(
        stack([init_state(config) for config in configs]),
        stack([hyper_of(config) for config in configs]),
        batches,
        counts,
    )
    for place, config in enumerate(configs):
        state, expected = dispatched(config, int(counts[place]))
        np.testing.assert_allclose(losses[place, : counts[place]], expected, rtol=1e-5)
        mine = pick(states, np.int32(place))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-4), mine, state)


def test_muon_and_adamw_are_not_stacked_together() -> None:
    assert stack_key(muon_run()) != stack_key(make_run())
    assert stack_key(muon_run()) == stack_key(muon_run(seed=1, learning_rate=0.1))


def test_microbatches_and_remat_change_rounding_alone() -> None:
    config = muon_run(learning_rate=CALM)
    _, expected = dispatched(config)
    _, losses = dispatched(config, execution=Execution(remat="full", microbatches=2))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_a_branch_is_the_run_by_itself_to_the_bit(tmp_path: Path) -> None:
    def branch(steps: int) -> RunConfig:
        run = muon_run(200)
        schedule = replace(run.recipe.schedule, warmup=12 / steps)
        return replace(run, recipe=replace(run.recipe, schedule=schedule), steps=steps, trunk=200)

    outcomes: dict[int, Outcome] = {}

    def leave(config: RunConfig, begin: Begin) -> None:
        where = tmp_path / str(config.steps)
        outcomes[config.steps] = train_run(config, make_text(config), where, NEVER, lambda _: None, begin)

    branches = [branch(60), branch(200)]
    train_trunk(branches, make_text, tmp_path / "trunk", NEVER, lambda _, __: None, leave)
    for config in branches:
        alone, _ = train(config, tmp_path / f"alone {config.steps}")
        assert (outcomes[config.steps].loss, outcomes[config.steps].loss_stderr) == (alone.loss, alone.loss_stderr)


def test_adamws_runs_keep_their_ids_and_their_form() -> None:
    """As they were before there was Muon, to the digit and to the letter."""
    assert make_run().id == make_run().trunk_id == "2a4dab51750c"
    assert make_run(model=replace(MODEL, tie_embeddings=False, qk_norm=True)).id == "f8c87d889359"
    assert "optimizer" not in json.loads(make_run().to_json())["recipe"]
    config = muon_run()
    assert json.loads(config.to_json())["recipe"]["optimizer"] == "muon"
    for run in (config, make_run()):
        assert read_config(run.to_json(), "here") == run
    assert len({make_run().id, config.id, replace(config, recipe=replace(config.recipe, optimizer="adamw")).id}) == 3
    assert config.stream == make_run().stream
    assert config.flops == make_run().flops


def test_stages_after_muon_multiply_the_rates_that_adamw_would_have_had() -> None:
    assert muon_run(learning_rate=0.01).adamw_rates == make_run().recipe.rates
    assert asdict(make_run(learning_rate=0.01).adamw_rates) == asdict(make_run(learning_rate=0.01).recipe.rates)

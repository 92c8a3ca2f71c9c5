"""Runs on mixtures: trained, cut off, stacked, on a mesh and as branches of a trunk, each sees its own mixture."""

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import DATA, make_mixed_text, make_run, make_text

from scaling.train.config import RunConfig, read_config
from scaling.train.evaluate import Outcome
from scaling.train.loop import Progress, train_run
from scaling.train.stacked import StackedRun, train_stacked
from scaling.train.trunk import Begin, train_trunk

NEVER = (math.inf, math.inf)
MIXTURES: dict[str, dict[str, float]] = {
    "a": {"a": 0.9, "b": 0.05, "c": 0.05},
    "b": {"a": 0.05, "b": 0.95, "c": 0.0},
    "even": {"a": 0.333334, "b": 0.333333, "c": 0.333333},
}


def mixed(mixture: dict[str, float], steps: int = 150, seed: int = 0) -> RunConfig:
    run = make_run(steps=steps, seed=seed, learning_rate=3e-3)
    return dataclasses.replace(run, data=dataclasses.replace(DATA, mixture=mixture))


def train(config: RunConfig, folder: Path) -> Outcome:
    return train_run(config, make_mixed_text(config), folder / config.id, NEVER, lambda _: None)


def losses(outcome: Outcome) -> dict[str, float]:
    return {name: loss.mean for name, loss in outcome.evaluation_sets.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    folder = tmp_path_factory.mktemp("mixed")
    return {name: train(mixed(mixture, 400), folder) for name, mixture in MIXTURES.items()}


def test_a_source_is_learnt_by_its_share(outcomes: dict[str, Outcome]) -> None:
    found = {name: losses(outcome) for name, outcome in outcomes.items()}
    assert found["a"]["a"] < found["even"]["a"] - 0.1 < found["b"]["a"] - 0.5
    assert found["b"]["b"] < found["even"]["b"] - 0.1 < found["a"]["b"] - 0.5
    assert found["even"]["c"] < min(found["a"]["c"], found["b"]["c"]) - 0.1


def test_a_mixture_changes_the_id_and_not_the_stream() -> None:
    """Runs of two mixtures begin at the same weights; a run without one has the id that it has always had."""
    one, other = (mixed(MIXTURES[name]) for name in "ab")
    assert one.stream == other.stream == make_run(learning_rate=3e-3).stream
    assert len({one.id, other.id, make_run(learning_rate=3e-3).id}) == 3
    assert make_run().id == "2a4dab51750c"
    assert "mixture" not in json.loads(make_run().to_json())["data"]
    for run in (one, make_run()):
        back = read_config(run.to_json(), "config.json")
        assert (back, back.id) == (run, run.id)
    backwards = {name: MIXTURES["a"][name] for name in "cba"}
    assert mixed(backwards).id == one.id
    batches = [make_mixed_text(run).batches.take(0, 20) for run in (one, mixed(backwards))]
    np.testing.assert_array_equal(*batches)


def test_a_run_that_is_cut_off_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    config = mixed(MIXTURES["even"])
    whole = train(config, tmp_path / "whole")

    class Killed(BaseException):
        pass

    reached: list[int] = []

    def die(progress: Progress) -> None:
        reached.append(progress.step)
        if len(reached) == 2:
            raise Killed

    with pytest.raises(Killed):
        train_run(config, make_mixed_text(config), tmp_path / "cut", (0.0, 0.0), die)
    resumed = train_run(config, make_mixed_text(config), tmp_path / "cut", (0.0, 0.0), die)
    assert reached[1] == reached[2] > reached[0], "it goes on from a checkpoint"
    assert (resumed.loss, losses(resumed)) == (whole.loss, losses(whole))


def branch(mixture: dict[str, float], steps: int) -> RunConfig:
    run = mixed(mixture, 300)
    schedule = dataclasses.replace(run.recipe.schedule, warmup=12 / steps)
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, schedule=schedule), steps=steps, trunk=300)


def test_branches_of_a_mixture_share_a_trunk_and_those_of_two_do_not(tmp_path: Path) -> None:
    branches = [branch(MIXTURES["even"], steps) for steps in (100, 300)]
    assert len({run.trunk_id for run in branches}) == 1
    assert branch(MIXTURES["a"], 100).trunk_id != branches[0].trunk_id
    found: dict[int, Outcome] = {}

    def leave(config: RunConfig, begin: Begin) -> None:
        own = tmp_path / str(config.steps)
        found[config.steps] = train_run(config, make_mixed_text(config), own, NEVER, lambda _: None, begin)

    train_trunk(branches, make_mixed_text, tmp_path / "trunk", NEVER, lambda *_: None, leave)
    for config in branches:
        alone = train(config, tmp_path / "alone")
        assert (found[config.steps].loss, losses(found[config.steps])) == (alone.loss, losses(alone))


def test_stacked_runs_each_see_their_own_mixture(tmp_path: Path, outcomes: dict[str, Outcome]) -> None:
    found: dict[str, Outcome] = {}
    runs = []
    for name, mixture in MIXTURES.items():
        config = mixed(mixture, 400)
        end = lambda outcome, name=name: found.update({name: outcome})  # noqa: E731
        runs.append(StackedRun(config, make_mixed_text(config), tmp_path / name, lambda _: None, end))
    plain = make_run(steps=400, learning_rate=3e-3)
    runs.append(StackedRun(plain, make_text(plain), tmp_path / "plain", lambda _: None, lambda _: None))
    train_stacked(runs, NEVER)
    for name, outcome in outcomes.items():
        assert losses(found[name]) == pytest.approx(losses(outcome), rel=1e-3)


ON_A_MESH = """
from tiny import make_mixed_text
from test_mixed_runs import MIXTURES, NEVER, losses, mixed
from pathlib import Path
import dataclasses, json, sys
import numpy as np
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.train.loop import train_run
from scaling.train.placement import mesh_of_devices, take_batches

config = mixed(MIXTURES["even"], 30)
recipe = dataclasses.replace(config.recipe, batch_tokens=8 * 32)
config, mesh = dataclasses.replace(config, recipe=recipe), mesh_of_devices(Parallelism(2, 2, 1))
whole = make_mixed_text(config).batches.take(511, 3)  # over the end of a block of rows
assert np.array_equal(np.asarray(take_batches(make_mixed_text(config).batches, 511, 3, mesh)), whole)
found = []
for number, execution in enumerate((Execution(), Execution(mesh=mesh))):
    folder = Path(sys.argv[1]) / str(number)
    found.append(losses(train_run(config, make_mixed_text(config), folder, NEVER, lambda _: None, execution=execution)))
print(json.dumps(found))
"""


def test_on_a_mesh_a_run_sees_the_same_rows(tmp_path: Path) -> None:
    """In a process of its own, as devices are counted when JAX starts."""
    tests = Path(__file__).parents[1]
    paths = os.pathsep.join(map(str, (tests.parent, tests / "support", tests / "train")))
    env = {**os.environ, "PYTHONPATH": paths, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    command = [sys.executable, "-c", ON_A_MESH, str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    one, meshed = json.loads(done.stdout)
    assert meshed == pytest.approx(one, rel=1e-4)

"""An iteration on eight devices, or in microbatches, is that on one device, to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from posttraining import tiny_ppo

import scaling.posttrain.ppo.update
from scaling.llama.sharding import PLAIN, Execution
from scaling.posttrain.ppo.rollout import Experience
from scaling.posttrain.ppo.update import Learners, make_updates
from scaling.posttrain.settings import PpoSettings
from scaling.posttrain.training.logprob import policy_parameters, reward_parameters
from scaling.posttrain.training.update import Sums, begin

ROOT = Path(__file__).parents[3]
TOLERANCE = 2e-4  # of what is reported, and of parameters after an iteration at a rate of 1e-3

# Devices are counted when JAX starts, so in a process of its own. argv: the folder. It prints for one device, and for
# a mesh in microbatches, what the run reports, its row and its parameters.
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.posttrain.ppo.loop import run_ppo
from scaling.train.placement import mesh_of_devices
from posttraining import tiny_ppo

for number, (sizes, parts) in enumerate([(None, 1), ((2, 2, 2), 2)]):
    mesh = None if sizes is None else mesh_of_devices(Parallelism(*sizes))
    rows = []
    run = tiny_ppo.ppo_run(
        Path(sys.argv[1]) / str(number), rows.append, steps=1, execution=Execution(mesh=mesh, microbatches=parts)
    )
    outcome = run_ppo(run)
    parameters = {name: array.astype(float).ravel().tolist() for name, array in outcome.parameters.items()}
    print(json.dumps([rows[0], outcome.row, parameters]), flush=True)
"""


@pytest.mark.slow
def test_eight_devices_give_the_iteration_of_one(tmp_path: Path) -> None:
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    one, other = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for mine, theirs in zip(one[:2], other[:2], strict=True):
        assert theirs == pytest.approx(mine, abs=TOLERANCE)
    assert apart(one[2], other[2]) < TOLERANCE


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    return max(float(np.abs(np.array(one[name]) - np.array(other[name])).max()) for name in one)


def experience() -> Experience:
    """Eight answers of very unequal lengths, with numbers at random."""
    random = np.random.default_rng(0)
    live = (np.arange(32) >= 4) & (np.arange(32) < np.array([6, 8, 32, 5, 31, 6, 7, 30])[:, None])
    tokens = random.integers(1, 256, live.shape, dtype=np.int32)
    numbers = random.normal(size=(4, *live.shape)).astype(np.float32)
    old = np.where(live, numbers[0] * 0.1 - 5.5, 0).astype(np.float32)
    return Experience(tokens, live, old, *(np.where(live, x, np.float32(0)) for x in numbers[1:]))


def updated(execution: Execution) -> tuple[list[np.ndarray], dict[str, float]]:
    config = tiny_ppo.ppo_run(Path(), steps=4).config
    settings = PpoSettings(answers=8, minibatches=1, epochs=1)
    model, critic = tiny_ppo.START, tiny_ppo.REWARD
    learners = Learners(
        begin(policy_parameters(model), model.config, config.recipe),
        begin(reward_parameters(critic), critic.config, config.recipe),
    )
    learners, means = make_updates(config, settings, critic.config, execution)(learners, experience(), 0)
    # The moments, not the parameters, as Adam's first step has the size of the rate whatever the gradient.
    return [np.asarray(leaf) for leaf in jax.tree.leaves([state.optimizer for state in learners])], means


def differences(one: tuple[list[np.ndarray], Any], other: tuple[list[np.ndarray], Any]) -> float:
    pairs = zip(one[0], other[0], strict=True)
    return max(float(np.abs(x - y).max() / max(np.abs(x).max(), 1e-12)) for x, y in pairs)


def test_microbatches_change_nothing() -> None:
    one, parts = updated(PLAIN), updated(Execution(microbatches=4))
    assert differences(one, parts) < 1e-4
    assert parts[1] == pytest.approx(one[1], rel=1e-5)


def test_means_of_microbatches_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: each part's loss divided by its own tokens."""
    whole = updated(PLAIN)
    make = scaling.posttrain.ppo.update.make_policy_objective

    def wrong(*arguments: Any) -> Any:
        objective = make(*arguments)

        def of_part(parameters: Any, batch: Experience) -> Sums:
            loss, weight, metrics = objective(parameters, batch)
            return Sums(loss / weight, weight / weight, {name: value / weight for name, value in metrics.items()})

        return of_part

    monkeypatch.setattr(scaling.posttrain.ppo.update, "make_policy_objective", wrong)
    assert differences(whole, updated(Execution(microbatches=4))) > 1e-2

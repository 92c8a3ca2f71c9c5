"""A reward model trained on a mesh of devices is that of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.posttrain.rewards.reward import run_reward
from scaling.train.placement import mesh_of_devices
from posttraining.tiny_rewards import letter_pairs, reward_run

for number, (sizes, parts) in enumerate([(None, 1), ((2, 2, 2), 1), ((2, 2, 1), 2)]):
    mesh = None if sizes is None else mesh_of_devices(Parallelism(*sizes))
    execution = Execution(mesh=mesh, microbatches=parts)
    run = reward_run(Path(sys.argv[1]) / str(number), letter_pairs(96, 40), steps=4, execution=execution)
    outcome = run_reward(run)
    sums = {name: float(np.abs(array.astype(float)).sum()) for name, array in outcome.parameters.items()}
    print(json.dumps([outcome.row, sums]), flush=True)
"""


@pytest.mark.slow
def test_eight_devices_give_the_model_of_one(tmp_path: Path) -> None:
    """Bug 6: data, state and tensors spread over devices, with microbatches too."""
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{root / 'tests' / 'support'}",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    one, *others = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(others) == 2
    for other in others:
        for mine, theirs in zip(one, other, strict=True):
            assert mine.keys() == theirs.keys()
            for name, value in mine.items():
                assert value == pytest.approx(theirs[name], rel=1e-3, abs=1e-4), name

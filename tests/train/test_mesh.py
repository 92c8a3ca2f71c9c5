"""A run on a mesh of eight devices, or of two processes with four each, is the run on one device, to rounding."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4  # of a loss in nats, at each of 50 steps
MESHES: dict[str, dict[str, Any]] = {
    "one": {},
    "data 8": {"mesh": [8, 1, 1]},
    "fsdp 8": {"mesh": [1, 8, 1]},
    "data 2, fsdp 4": {"mesh": [2, 4, 1]},
    "data 2, fsdp 2, tensor 2": {"mesh": [2, 2, 2]},
    "data 4, tensor 2": {"mesh": [4, 1, 2]},
    "data 2, fsdp 4, microbatches 2": {"mesh": [2, 4, 1], "microbatches": 2},
    "data 2, fsdp 2, tensor 2, remat selective": {"mesh": [2, 2, 2], "remat": "selective"},
    "data 2, fsdp 2, tensor 2, remat full, microbatches 2": {"mesh": [2, 2, 2], "remat": "full", "microbatches": 2},
    "one, microbatches 4": {"microbatches": 4},
    "one, remat selective": {"remat": "selective"},
    "one, remat full": {"remat": "full"},
    "one, muon": {"optimizer": "muon"},
    "fsdp 8, muon": {"mesh": [1, 8, 1], "optimizer": "muon"},
    "data 2, fsdp 2, tensor 2, microbatches 2, muon": {"mesh": [2, 2, 2], "microbatches": 2, "optimizer": "muon"},
}

# A process of its own, as devices are counted when JAX starts. argv: the folder of checkpoints, the step after which to
# be cut off, and the ways to train. It prints each way's losses, of which the last is of the held-out text.
PROGRAM = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
import jax
if "JAX_PROCESS_ID" in os.environ:
    jax.distributed.initialize(num_processes=2, process_id=int(os.environ["JAX_PROCESS_ID"]))
from tiny import DATA, make_text
from scaling.llama.config import LlamaConfig
from scaling.llama.parallelism import Parallelism
from scaling.llama.sharding import Execution
from scaling.train import loop
from scaling.train.checkpoints import timer
from scaling.train.config import RunConfig
from scaling.train.placement import mesh_of_devices
from scaling.train.recipe import RECIPES, Overrides

loop.MAX_STEPS_PER_DISPATCH, timer.SAVE_SHARE = 1, 0
model = LlamaConfig(vocab=256, width=32, depth=2, heads=4, kv_heads=2, ffn=96, seq_len=32, qk_norm=True)
# Not the default recipe: at 50 steps it takes rates at which a step multiplies what rounding differs by.
recipe = RECIPES["llama"](model, 50 * 512, Overrides("cosine", None, learning_rate=0.005, batch_tokens=512))
config = RunConfig(model, DATA, recipe, 50, 0)
folder, stop, ways = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

class Stopped(Exception):
    pass

for number, way in enumerate(ways):
    optimizer = replace(recipe, optimizer=way.pop("optimizer", "adamw"))
    mine, sizes = replace(config, recipe=optimizer), way.pop("mesh", None)
    mesh = None if sizes is None else mesh_of_devices(Parallelism(*sizes))
    losses = {}

    def report(progress):
        losses[progress.step] = progress.loss
        if progress.step == stop:
            raise Stopped

    where = folder / ("checkpoints" if stop else str(number))
    pace = (0.0, 0.0) if stop else (1e9, 1e9)
    try:
        outcome = loop.train_run(mine, make_text(mine), where, pace, report, execution=Execution(mesh=mesh, **way))
        losses[51] = outcome.loss
    except Stopped:
        pass
    if jax.process_index() == 0:
        print(json.dumps(losses), flush=True)
"""


def environment(devices: int, **more: str) -> dict[str, str]:
    flags = f"--xla_force_host_platform_device_count={devices}"
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'support'}"
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "JAX_"))}
    return {**kept, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **more}


def start(folder: Path, devices: int, stop: int, *ways: dict[str, Any], **more: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, str(folder), str(stop), json.dumps(ways)]
    return subprocess.Popen(
        command, env=environment(devices, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def losses_of(process: "subprocess.Popen[str]") -> Iterator[dict[int, float]]:
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    for line in output.splitlines():
        if line.startswith("{"):
            yield {int(step): loss for step, loss in json.loads(line).items()}


def apart(one: dict[int, float], other: dict[int, float]) -> float:
    return max(abs(one[step] - other[step]) for step in one.keys() | other.keys())


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, float]]:
    process = start(tmp_path_factory.mktemp("runs"), 8, 0, *MESHES.values())
    return dict(zip(MESHES, losses_of(process), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("way", list(MESHES))
def test_every_mesh_gives_the_curve_of_one_device(curves: dict[str, dict[int, float]], way: str) -> None:
    alone = curves["one, muon" if way.endswith("muon") else "one"]
    assert alone.keys() == set(range(1, 52))
    assert alone[50] < alone[1] - 1
    print(f"{way}: {apart(alone, curves[way]):.1e}")
    assert apart(alone, curves[way]) < TOLERANCE


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(curves: dict[str, dict[int, float]], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    ways = [MESHES["data 2, fsdp 2, tensor 2"], MESHES["data 2, fsdp 4, microbatches 2"]]
    team = [
        start(tmp_path, 4, 0, *ways, JAX_COORDINATOR_ADDRESS=address, JAX_PROCESS_ID=str(index)) for index in range(2)
    ]
    reported, silent = (list(losses_of(process)) for process in team)
    assert silent == []
    for curve in reported:
        print(f"two processes: {apart(curves['one'], curve):.1e}")
        assert apart(curves["one"], curve) < TOLERANCE


@pytest.mark.slow
def test_a_run_goes_on_under_another_mesh(curves: dict[str, dict[int, float]], tmp_path: Path) -> None:
    """Begun on eight devices, gone on with on one, ended on four: at each stop the newest checkpoint is a step old."""
    parts = []
    for devices, stop, way in ((8, 16, {"mesh": [2, 2, 2]}), (1, 31, {}), (4, -1, {"mesh": [1, 2, 2]})):
        parts += losses_of(start(tmp_path, devices, stop, way))
    assert [min(part) for part in parts] == [1, 16, 31]
    for part in parts:
        print(f"from step {min(part)}: {max(abs(curves['one'][step] - loss) for step, loss in part.items()):.1e}")
        assert max(abs(curves["one"][step] - loss) for step, loss in part.items()) < TOLERANCE

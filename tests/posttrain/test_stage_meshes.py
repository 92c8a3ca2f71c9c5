"""SFT and DPO on a mesh of eight devices are those on one, to rounding, with measurements and checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# A process of its own, as devices are counted when JAX starts. argv: a folder for checkpoints. It prints for each stage
# and way the row and the curve; the last way begins on one device, stops, and goes on on the mesh.
PROGRAM = """
import json, sys
from dataclasses import replace
from pathlib import Path
import jax, numpy as np
from posttraining.tiny_rewards import MODEL
from posttraining.tiny_stages import make_examples, make_pairs, make_run
from scaling.llama.sharding import PLAIN, Execution, make_mesh
from scaling.posttrain.dpo import run_dpo
from scaling.posttrain.settings import DpoSettings, SftSettings
from scaling.posttrain.sft import run_sft
from scaling.train.stop import Stopped, request_stop, stopping_on_signals

model = replace(MODEL, heads=4, kv_heads=2)
folder = Path(sys.argv[1])
mesh = Execution(mesh=make_mesh(np.array(jax.devices()), (2, 2, 2)), microbatches=2)
stages = {
    "sft": (run_sft, make_examples(), SftSettings(64)),
    "dpo": (run_dpo, make_pairs(), DpoSettings(64, measured=16, measurements=2)),
}

def stop_at(progress):
    if progress["step"] == 2:
        request_stop()

for name, (train, data, settings) in stages.items():
    def run(way, execution, report=lambda _: None):
        return train(make_run(folder / name / way, name, data, settings, model=model, steps=4, execution=execution,
                              report=report))

    found = {"plain": run("plain", PLAIN), "mesh": run("mesh", mesh)}
    try:
        with stopping_on_signals():
            run("moved", PLAIN, stop_at)
    except Stopped:
        found["moved"] = run("moved", mesh)
    for way, outcome in found.items():
        print(json.dumps([name, way, outcome.row, outcome.curve]), flush=True)
"""


@pytest.mark.slow
def test_a_mesh_changes_nothing(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "JAX_"))},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "support"))),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[tuple[str, str], tuple[dict[str, Any], list[dict[str, Any]]]] = {}
    for name, way, row, curve in map(json.loads, done.stdout.splitlines()):
        found[name, way] = row, curve
    assert len(found) == 6
    for name in ("sft", "dpo"):
        row, curve = found[name, "plain"]
        for way in ("mesh", "moved"):
            other, points = found[name, way]
            assert other == pytest.approx(row, rel=1e-3, abs=1e-3)
            assert len(points) == len(curve)
            for point, own in zip(points, curve, strict=True):
                assert point == pytest.approx(own, rel=1e-3, abs=1e-3)

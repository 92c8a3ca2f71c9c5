"""A step on sums: microbatches and meshes change neither loss nor gradients, whatever the rows' lengths."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from posttraining.tiny_rewards import MODEL, make_model
from posttraining.tiny_stages import make_examples, make_pairs

from scaling.data.answers.padded import padded, padded_pairs
from scaling.data.answers.rows import Padded
from scaling.llama.sharding import Execution
from scaling.posttrain import dpo, sft
from scaling.posttrain.training.logprob import policy_parameters
from scaling.posttrain.training.update import Batch, Objective, Sums, make_gradient
from scaling.train.optimizer import Parameters

ROOT = Path(__file__).parents[3]
PARAMETERS = policy_parameters(make_model())


def examples() -> Padded:
    return padded(make_examples(14).train, 16, MODEL.seq_len)  # two rows that only fill the batch


def pairs() -> dpo.DpoBatch:
    made = make_pairs(14).train
    sides = dpo.pair_likelihoods(MODEL, policy_parameters(make_model(seed=1)), made, "float32")
    reference = np.zeros((16, 2), np.float32)
    reference[:14] = np.stack([side.logprobs for side in sides], axis=1)
    return dpo.dpo_batch(padded_pairs(made, 16, MODEL.seq_len), reference)


OBJECTIVES: dict[str, tuple[Objective, Any]] = {
    "sft": (sft.make_objective(MODEL, "float32"), examples()),
    **{
        f"dpo-{kind}": (dpo.make_objective(MODEL, "float32", 0.1, kind, nll=0.2), pairs())
        for kind in ("sigmoid", "ipo", "hinge")
    },
}


def gradient(objective: Objective, batch: Batch, microbatches: int) -> tuple[dict[str, float], np.ndarray]:
    """The means, and the gradient as one vector."""
    execution = Execution(microbatches=microbatches)
    means, found = jax.jit(make_gradient(objective, execution))(PARAMETERS, batch)
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(found)]
    return {name: float(value) for name, value in means.items()}, np.concatenate(leaves)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max() / np.abs(one).max())


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_microbatches_change_nothing(name: str) -> None:
    objective, batch = OBJECTIVES[name]
    means, whole = gradient(objective, batch, 1)
    in_parts, parts = gradient(objective, batch, 4)
    assert in_parts == pytest.approx(means, rel=1e-6, abs=1e-6)
    assert apart(whole, parts) < 1e-6


def test_a_mean_of_means_is_seen() -> None:
    objective, batch = OBJECTIVES["sft"]

    def of_means(parameters: Parameters, part: Batch) -> Sums:
        sums = objective(parameters, part)
        return Sums(sums.loss / jnp.maximum(sums.weight, 1.0), jnp.ones(()), {})

    means, whole = gradient(of_means, batch, 1)
    in_parts, parts = gradient(of_means, batch, 4)
    assert abs(in_parts["loss"] / means["loss"] - 1) > 1e-3
    assert apart(whole, parts) > 1e-2


def test_rows_that_fill_a_batch_change_nothing() -> None:
    for name, smaller in {"sft": padded(make_examples(14).train, 14, MODEL.seq_len)}.items():
        objective, batch = OBJECTIVES[name]
        means, whole = gradient(objective, batch, 1)
        fewer, without = gradient(objective, smaller, 1)
        assert fewer == pytest.approx(means, rel=1e-6)
        assert apart(whole, without) < 1e-6


# A process of its own, as devices are counted when JAX starts. It prints for each objective and way of computing it the
# means, how far the gradient is from that of one device, and whether a step leaves the state where it lay.
MESHES = """
import json, sys
from dataclasses import replace
import jax, numpy as np
from scaling.llama import loss as loss_module
loss_module.CHUNK_LOGITS = 100_000  # several chunks on every device
import test_update as tests
from posttraining.tiny_stages import make_recipe
from posttraining.tiny_rewards import make_model
from scaling.llama.sharding import Execution, make_mesh, stored
from scaling.posttrain import dpo, sft
from scaling.posttrain.training.logprob import policy_parameters
from scaling.posttrain.training.placement import place_parameters, place_rows
from scaling.posttrain.training.update import begin, make_gradient, make_update
from scaling.train.optimizer import make_hyper

model = replace(tests.MODEL, heads=4, kv_heads=2)

def computed(name, sizes, microbatches):
    mesh = None if sizes is None else make_mesh(np.array(jax.devices()[: int(np.prod(sizes))]), tuple(sizes))
    execution = Execution(mesh=mesh, microbatches=microbatches)
    if name == "sft":
        objective, batch = sft.make_objective(model, "float32", execution), tests.examples()
    else:
        objective, batch = dpo.make_objective(model, "float32", 0.1, "ipo", 0.2, execution), tests.pairs()
    batch, parameters = place_rows(batch, mesh), place_parameters(policy_parameters(make_model(model)), mesh)
    means, gradients = jax.jit(make_gradient(objective, execution))(parameters, batch)
    whole = np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(gradients)])
    kept = True
    if name == "sft" and mesh is not None:
        recipe = make_recipe()
        state = begin(parameters, model, recipe, mesh)
        state, _ = make_update(objective, model, recipe, execution)(state, make_hyper(recipe, 3), batch)
        kept = all(leaf.sharding.is_equivalent_to(at, leaf.ndim) for leaf, at in zip(
            jax.tree.leaves(state), jax.tree.leaves(stored(state, mesh)), strict=True))
    return {key: float(value) for key, value in means.items()}, whole, bool(kept)

for name in ("sft", "dpo"):
    plain = None
    for sizes, microbatches in json.loads(sys.argv[1]):
        means, whole, kept = computed(name, sizes, microbatches)
        plain = whole if plain is None else plain
        print(json.dumps([means, tests.apart(plain, whole), kept]), flush=True)
"""
WAYS: list[tuple[tuple[int, int, int] | None, int]] = [(None, 1), ((2, 2, 1), 1), ((1, 8, 1), 1), ((2, 2, 2), 2)]


@pytest.mark.slow
def test_meshes_change_nothing() -> None:
    paths = (ROOT, ROOT / "tests" / "support", ROOT / "tests" / "posttrain" / "training")
    environment = {
        **{name: value for name, value in os.environ.items() if name.startswith(("PATH", "HOME", "JAX_"))},
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
    }
    command = [sys.executable, "-c", MESHES, json.dumps(WAYS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2 * len(WAYS)
    for at in (0, len(WAYS)):
        plain = found[at][0]
        for means, gradients_apart, kept in found[at : at + len(WAYS)]:
            assert means == pytest.approx(plain, rel=2e-6, abs=1e-6)
            assert gradients_apart < 2e-6
            assert kept

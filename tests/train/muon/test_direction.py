"""A step of Muon is the published one, on every matrix by itself; all else takes AdamW's."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.memory import training_bytes
from scaling.llama.sharding import name_of
from scaling.train.muon import direction
from scaling.train.muon.direction import matrices_of, muon_flops
from scaling.train.muon.newton_schulz import orthogonalised
from scaling.train.optimizer import Hyper, make_optimizer
from scaling.train.recipe import OptimizerName
from scaling.train.step import abstract_state

# The layer of ``make_reference.py``.
LAYER = LlamaConfig(vocab=5, width=4, depth=1, heads=2, kv_heads=1, ffn=6, seq_len=8)
SIDE_BY_SIDE = {"qkv": ("query", "key", "value"), "out": ("out",), "gate_up": ("gate", "up"), "down": ("down",)}
RATES = ("embedding", "matrix", "query", "residual", "norm", "query_norm", "final_norm", "head")
Weights = dict[str, np.ndarray]


def hyper_of(rate: float, weight_decay: float) -> Hyper:
    """No clip, and a constant rate for all groups."""
    one, zero = jnp.ones(()), jnp.zeros(())
    rates = {group: jnp.float32(rate) for group in RATES}
    return Hyper(rates, jnp.float32(weight_decay), 1e9 * one, zero, zero, one, jnp.int32(100))


def joined(matrices: Weights) -> Weights:
    """Torch's matrices as our parameters of one layer, by name."""
    return {
        name: np.concatenate([matrices[part].T for part in parts], axis=1)[None] for name, parts in SIDE_BY_SIDE.items()
    }


def train(
    model: LlamaConfig, before: Weights, gradients: list[Weights], hyper: Hyper, name: OptimizerName = "muon"
) -> Weights:
    """Parameters after a step for each of the gradients; parameters and gradients that are not given are 0.5 and 1."""

    def filled(given: Weights, usual: float) -> Any:
        shapes = abstract_state(model).parameters
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: jnp.asarray(given.get(name_of(path), np.full(leaf.shape, usual, np.float32))), shapes
        )

    optimizer, parameters = make_optimizer(name, model, "wsd", 0.9, 0.95), filled(before, 0.5)
    state = optimizer.init(parameters)
    for step, gradient in enumerate(gradients):
        updates, state = optimizer.update(filled(gradient, 1.0), state, parameters, hyper=hyper, step=jnp.int32(step))
        parameters = optax.apply_updates(parameters, updates)
    return {name_of(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)}


def apart_from_reference() -> float:
    """The largest difference from the stored numbers."""
    stored = json.loads(Path(__file__).with_name("reference.json").read_text())
    tensors = {
        key: {name: np.array(matrix[key], np.float32) for name, matrix in stored["matrices"].items()}
        for key in ("before", "gradients", "after")
    }
    gradients = [joined({name: both[step] for name, both in tensors["gradients"].items()}) for step in range(2)]
    hyper = hyper_of(stored["rate"], stored["weight_decay"])
    found, expected = train(LAYER, joined(tensors["before"]), gradients, hyper), joined(tensors["after"])
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


def test_two_steps_have_the_published_numbers() -> None:
    assert apart_from_reference() < 2e-6


def whole(model: LlamaConfig) -> dict[str, tuple[int, ...]]:
    return {name: (sum(columns),) for name, columns in matrices_of(model).items()}


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("scaling.train.muon.direction.matrices_of", whole),
        ("scaling.train.muon.direction._step", orthogonalised),
        ("scaling.train.muon.direction.MOMENTUM", 0.9),
        ("scaling.train.muon.newton_schulz.STEPS", 4),
        ("optax.trace", lambda decay, **_: optax.ema(decay, debias=False)),
    ],
    ids=["fused matrices as one", "no factor of shape", "another momentum", "four steps", "not Nesterov's"],
)
def test_a_fault_is_seen(place: str, fault: Callable[..., Any] | float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, fault)
    assert apart_from_reference() > 2e-4


@pytest.mark.xdist_group("torch")
@pytest.mark.parametrize("shape", [(6, 6), (12, 5), (5, 12)], ids=str)
def test_torch_takes_the_same_steps(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch", reason='needs pip install -e ".[parity]"')
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("torch.optim.Muon came with torch 2.9")
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.clone())  # its iteration in float32
    random = np.random.default_rng(0)
    before, *gradients = random.standard_normal((4, *shape)).astype(np.float32)
    weight = torch.nn.Parameter(torch.from_numpy(before.T.copy()))
    theirs = torch.optim.Muon([weight], lr=0.02, weight_decay=0.1, momentum=direction.MOMENTUM, nesterov=True)
    for gradient in gradients:
        weight.grad = torch.from_numpy(gradient.T.copy())
        theirs.step()
    fan_in, fan_out = shape  # ``down`` reads the inner layer
    model = replace(LAYER, width=fan_out, ffn=fan_in, heads=1, kv_heads=1, head_size=2)
    ours = train(model, {"down": before[None]}, [{"down": g[None]} for g in gradients], hyper_of(0.02, 0.1))["down"][0]
    np.testing.assert_allclose(ours, weight.detach().numpy().T, atol=2e-6)


def test_all_but_the_layers_matrices_take_adamws_steps() -> None:
    model = replace(LAYER, qk_norm=True, attention_bias="all")
    gradient = {
        name_of(path): np.random.default_rng(0).standard_normal(leaf.shape).astype(np.float32)
        for path, leaf in jax.tree_util.tree_leaves_with_path(abstract_state(model).parameters)
    }
    hyper = hyper_of(0.02, 0.1)
    muon, adamw = (train(model, {}, [gradient, gradient], hyper, name) for name in ("muon", "adamw"))
    differ = {name for name in muon if (muon[name] != adamw[name]).any()}
    assert differ == set(SIDE_BY_SIDE)
    assert len(muon) == 13


def test_no_gradient_no_step() -> None:
    zeros = {
        name_of(path): np.zeros(leaf.shape, np.float32)
        for path, leaf in jax.tree_util.tree_leaves_with_path(abstract_state(LAYER).parameters)
    }
    for after in train(LAYER, {}, [zeros, zeros], hyper_of(0.02, 0.0)).values():
        assert (after == 0.5).all()


def test_matrices_keep_one_moment_and_the_memory_counts_it() -> None:
    model = replace(LAYER, depth=3, tie_embeddings=True)
    for name in ("adamw", "muon"):
        moments = [leaf for leaf in jax.tree.leaves(abstract_state(model, name).optimizer) if leaf.ndim]
        held = sum(leaf.size * leaf.dtype.itemsize for leaf in moments)
        assert held == training_bytes(model, 1, optimizer=name).optimizer
    counts = count_params(model)
    saved = training_bytes(model, 1).optimizer - training_bytes(model, 1, optimizer="muon").optimizer
    assert saved == 4 * 3 * counts.per_layer_matmul


def test_flops_are_those_of_every_matrix_of_every_layer() -> None:
    # Width 4: query and out (4, 4), key and value (4, 2), gate, up and down (4, 6); two layers.
    each = [(4, 4)] * 2 + [(2, 4)] * 2 + [(4, 6)] * 3
    assert muon_flops(replace(LAYER, depth=2)) == 2 * sum(5 * 2 * (2 * m * m * n + m**3) for m, n in each)

"""Heads that are not width / heads wide, and biases: through identity, memory and the compiled step."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import make_run

from scaling.errors import InputError
from scaling.feasibility.compile import compile_step
from scaling.feasibility.roofline import Plan
from scaling.feasibility.topology import find_topology
from scaling.llama.config import LlamaConfig, canonical
from scaling.llama.counts import count_params
from scaling.llama.memory import activation_bytes_per_token
from scaling.llama.model import Llama
from scaling.llama.parallelism import Parallelism
from scaling.llama.parameters import llama_with, named_parameters
from scaling.llama.rope_scaling import DynamicScaling, LinearScaling, RopeScaling, Scaling, YarnScaling
from scaling.train.config import read_config

TINY = LlamaConfig(vocab=64, width=32, depth=3, heads=4, kv_heads=2, ffn=96, seq_len=16)
WIDE = dataclasses.replace(TINY, head_size=24, attention_bias="all")


def test_runs_keep_their_ids() -> None:
    run = make_run()
    older = {field.name for field in dataclasses.fields(LlamaConfig)} - {"head_size", "attention_bias"}
    assert json.loads(run.to_json())["model"].keys() == canonical(run.model).keys() == older
    wide = dataclasses.replace(run, model=dataclasses.replace(run.model, head_size=12))
    assert json.loads(wide.to_json())["model"].keys() == older | {"head_size"}
    assert len({run.id, wide.id}) == len({run.stream, wide.stream}) == 2
    for each in (run, wide):
        assert read_config(each.to_json(), "config.json") == each


@pytest.mark.parametrize(
    "scaling",
    [RopeScaling(), LinearScaling(2.0), DynamicScaling(2.0), YarnScaling(2.0, 8, attention_factor=1.1)],
)
def test_scalings_are_read_back_as_they_were(scaling: Scaling) -> None:
    run = make_run()
    run = dataclasses.replace(run, model=dataclasses.replace(run.model, rope_scaling=scaling))
    assert read_config(run.to_json(), "config.json") == run


def test_impossible_heads() -> None:
    for fields, expected in (
        ({"head_size": 7}, "head_dim 7 is odd; RoPE needs pairs"),
        ({"head_size": 0}, "head_size is 0; it must be a positive whole number"),
        ({"head_size": 2, "rope_scaling": DynamicScaling(2.0)}, "head_dim is 2; dynamic RoPE scaling"),
    ):
        with pytest.raises(InputError, match=expected):
            dataclasses.replace(TINY, **fields)
    assert dataclasses.replace(TINY, width=30, head_size=8).attention_width == 32


def test_a_head_size_of_width_over_heads_changes_nothing() -> None:
    same = dataclasses.replace(TINY, head_size=8)
    assert count_params(same) == count_params(TINY)
    assert activation_bytes_per_token(same, 2, flash=True) == activation_bytes_per_token(TINY, 2, flash=True)
    tokens = jnp.arange(16)[None]
    first, second = (Llama(config, rngs=nnx.Rngs(0)).logits(tokens) for config in (TINY, same))
    np.testing.assert_array_equal(first, second)


def test_wider_heads_take_more_memory() -> None:
    grown = activation_bytes_per_token(WIDE, 2, flash=True) - activation_bytes_per_token(TINY, 2, flash=True)
    # Queries and what is mixed of them twice; keys and values.
    assert grown == 2 * (3 * 4 + 2 * 2) * (24 - 8)


def test_every_bias_is_felt() -> None:
    parameters = named_parameters(nnx.split(Llama(WIDE, rngs=nnx.Rngs(0)))[1])
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 64, (1, 16)))
    plain = llama_with(WIDE, parameters).logits(tokens)
    changed = {"qkv_bias": 4 * 24 + 2 * 2 * 24, "out_bias": 32}
    for name, size in changed.items():
        biases = np.random.default_rng(1).normal(size=(3, size)).astype(np.float32)
        assert parameters[f"layers.{name}"].shape == biases.shape
        other = llama_with(WIDE, {**parameters, f"layers.{name}": biases}).logits(tokens)
        assert float(jnp.abs(other - plain).max()) > 1e-3


@pytest.mark.slow
def test_the_full_step_compiles_with_it() -> None:
    config = LlamaConfig(vocab=512, width=256, depth=2, heads=2, kv_heads=2, ffn=512, seq_len=256, head_size=64)
    split = Parallelism(data=2, fsdp=2, tensor=2)
    compiled = compile_step(config, find_topology("h100:8"), Plan(split, 1, 1), 1e9, lambda _: None)
    assert compiled.refusal is None
    assert compiled.arguments == pytest.approx(12 * count_params(config).total / split.state_shards, rel=0.02)

"""The one train step on a mesh of eight devices computes what it computes on one device."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from scaling.llama.config import LlamaConfig, canonical
from scaling.llama.counts import count_params

ROOT = Path(__file__).parents[2]
TINY = LlamaConfig(vocab=64, width=32, depth=3, heads=4, kv_heads=2, ffn=96, seq_len=16)

# Devices are counted when JAX starts, so this runs in a process of its own.
STEPS = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from scaling.llama import loss as loss_module
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import BATCH, Execution, make_mesh, stored
from scaling.train.recipe import RECIPES, Overrides
from scaling.train.optimizer import make_hyper
from scaling.train.step import abstract_state, make_step

loss_module.CHUNK_LOGITS = 1000  # several chunks on every device
config = LlamaConfig(**json.loads(sys.argv[1]))
hyper = make_hyper(RECIPES["llama"](config, 1e6, Overrides("cosine", None, 0.03, 256, 0.1, 0.0)), 100)

def train(sizes, remat, microbatches):
    mesh = None if sizes is None else make_mesh(np.array(jax.devices()), tuple(sizes))
    step = jax.jit(make_step(config, "float32", "cosine", 0.9, 0.95, Execution(None, remat, mesh, microbatches)))
    random = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(0.1 * random.standard_normal(x.shape), x.dtype)
    state = abstract_state(config)
    parameters = jax.tree.map(draw, state.parameters)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state.optimizer)
    state = state._replace(parameters=parameters, optimizer=zeros, step=jnp.int32(0))
    if mesh is not None:
        state = jax.device_put(state, stored(state, mesh))
    losses = []
    for _ in range(3):
        windows = random.integers(0, config.vocab, (16, config.seq_len + 1)).astype(np.int32)
        if mesh is not None:
            windows = jax.device_put(windows, NamedSharding(mesh, PartitionSpec(BATCH)))
        state, loss = step(state, hyper, windows)
        losses.append(float(loss))
    held = max(sum(s.data.nbytes for x in jax.tree.leaves(state) for s in x.addressable_shards if s.device == d)
               for d in jax.devices())
    return losses, held

print(json.dumps([train(*how) for how in json.loads(sys.argv[2])]))
"""


def run_on_eight(program: str, *args: str) -> str:
    """What a program prints where the CPU is taken for eight devices."""
    done = subprocess.run(
        [sys.executable, "-c", program, *args],
        env={"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[list[float], int]]:
    """Three losses, and the bytes that the fullest device holds of the state, by how it was trained."""
    ways = {
        "plain": (None, "none", 1),
        "microbatches": (None, "full", 4),
        "fsdp": ((1, 8, 1), "full", 1),
        "tensor": ((1, 4, 2), "selective", 2),
        "all": ((2, 2, 2), "none", 1),
        "all in parts": ((2, 2, 2), "full", 2),
    }
    losses = json.loads(run_on_eight(STEPS, json.dumps(canonical(TINY)), json.dumps(list(ways.values()))))
    return dict(zip(ways, losses, strict=True))


def test_every_way_of_training_gives_the_same_losses(trained: dict[str, tuple[list[float], int]]) -> None:
    plain, _ = trained["plain"]
    assert len(set(plain)) == 3
    for losses, _ in trained.values():
        assert losses == pytest.approx(plain, rel=2e-6)


@pytest.mark.slow
def test_wider_heads_and_biases_are_shared_out_too() -> None:
    config = replace(TINY, head_size=24, attention_bias="all")
    ways = [(None, "none", 1), ((2, 2, 2), "full", 2)]
    (plain, _), (shared, held) = json.loads(run_on_eight(STEPS, json.dumps(canonical(config)), json.dumps(ways)))
    assert shared == pytest.approx(plain, rel=2e-6)
    biases = 3 * (4 * 24 + 2 * 2 * 24 + 32)  # whole on every device
    assert held == pytest.approx(12 * ((count_params(config).total - biases) / 4 + biases), rel=0.01)


# Prints, for a step on 2 replicas of 4 shards, the shape of everything that it adds up over devices.
ADDED_UP = """
import re, sys
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import BATCH, Execution, make_mesh, stored
from scaling.train.recipe import RECIPES, Overrides
from scaling.train.optimizer import make_hyper
from scaling.train.step import abstract_state, make_step

config = LlamaConfig(vocab=64, width=256, depth=12, heads=8, kv_heads=4, ffn=768, seq_len=16)
mesh = make_mesh(np.array(jax.devices()), (2, 4, 1))
hyper = jax.eval_shape(lambda: make_hyper(RECIPES["llama"](config, 1e6, Overrides("cosine", None, 0.03, 256)), 1))
state = abstract_state(config)
step = make_step(config, "bfloat16", "cosine", 0.9, 0.95, Execution("chunked", "full", mesh))
everywhere = NamedSharding(mesh, PartitionSpec())
at = (stored(state, mesh), jax.tree.map(lambda _: everywhere, hyper), NamedSharding(mesh, PartitionSpec(BATCH)))
windows = jax.ShapeDtypeStruct((8, 17), jnp.int32)
program = jax.jit(step, in_shardings=at, out_shardings=(at[0], everywhere)).lower(state, hyper, windows).compile()
for line in program.as_text().splitlines():
    if found := re.search(r"= (.*?) all-reduce(-start)?\\(", line):
        print(*re.findall(r"\\[([\\d,]*)\\]", found[1]))
"""


def test_replicas_add_up_shards_of_the_layers_gradients_not_the_whole() -> None:
    shapes = {shape for line in run_on_eight(ADDED_UP).splitlines() for shape in line.split()}
    whole = {"256,512", "256,256", "256,1536", "768,256"}  # qkv, out, gate_up and down
    assert {"64,512", "256,64", "64,1536", "768,64"} <= shapes
    assert not whole & shapes


# Prints, for a gradient on 2 x 2 x 2 devices, the shape of everything that is sent between devices.
SENT = """
import re
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from scaling.llama.config import LlamaConfig
from scaling.llama.sharding import BATCH, Execution, make_mesh, stored
from scaling.train.step import abstract_state, make_losses

config = LlamaConfig(vocab=256, width=64, depth=1, heads=8, kv_heads=4, ffn=224, seq_len=128)
mesh = make_mesh(np.array(jax.devices()), (2, 2, 2))
losses = make_losses(config, "float32", Execution(mesh=mesh))
parameters = abstract_state(config).parameters
at = stored(parameters, mesh), NamedSharding(mesh, PartitionSpec(BATCH))
gradient = jax.jit(jax.grad(lambda p, w: losses(p, w).mean()), in_shardings=at, out_shardings=at[0])
program = gradient.lower(parameters, jax.ShapeDtypeStruct((16, 129), jnp.int32)).compile()
kinds = "all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter"
for line in program.as_text().splitlines():
    if found := re.search(rf"= (.*?) ({kinds})(-start)?\\(", line):
        print(*re.findall(r"\\[([\\d,]*)\\]", found[1]))
"""


def test_within_attention_and_swiglu_nothing_is_sent() -> None:
    shapes = [[int(n) for n in shape.split(",")] for line in run_on_eight(SENT).splitlines() for shape in line.split()]
    assert [4, 128, 64] in shapes  # what a block reads: a device's sequences, gathered over their positions
    # Heads have four axes; what is between gate_up and down is 224 / 2 wide.
    assert not [shape for shape in shapes if len(shape) > 3 or (len(shape) == 3 and shape[2] == 112)]


@pytest.mark.parametrize(("way", "shards"), [("plain", 1), ("fsdp", 8), ("tensor", 8), ("all", 4)])
def test_the_state_is_shared_out(trained: dict[str, tuple[list[float], int]], way: str, shards: int) -> None:
    assert trained[way][1] == pytest.approx(12 * count_params(TINY).total / shards, rel=0.01)

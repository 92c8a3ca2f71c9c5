"""The search by arithmetic: what it chooses, what it refuses, and the lower bound of time."""

import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import pytest

from scaling.errors import InputError
from scaling.feasibility.roofline import Plan, recomputed_per_token, roofline
from scaling.feasibility.search import Request, candidates, fits, usable_bytes, what_would_fit
from scaling.feasibility.topology import find_topology
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params, flops_per_token
from scaling.llama.parallelism import Parallelism, Remat
from scaling.llama.sharding import Execution
from scaling.llama.zoo import find
from scaling.train.step import abstract_state, make_losses


def ask(model: str, topology: str, batch: float = 4e6, seq_len: int = 8192, **pinned: int) -> Request:
    config = dataclasses.replace(find(model).config, seq_len=seq_len)
    return Request(config, find_topology(topology), batch, **pinned)


@pytest.mark.parametrize("topology", ["v5p:8x8x8", "v6e:16x16", "h100:512", "v7:4x4x8"])
def test_the_best_plan_uses_every_device_and_about_the_batch(topology: str) -> None:
    request = ask("llama3-70b", topology)
    best = candidates(request)[0]
    assert fits(request, best)
    assert best.plan.parallelism.devices == request.topology.devices
    assert best.plan.batch * 8192 == pytest.approx(4e6, rel=0.1)
    assert best.memory.total * request.topology.devices_per_chip <= usable_bytes(request.topology)


def test_nothing_that_fits_is_faster_than_the_first() -> None:
    request = ask("llama3-70b", "h100:512")
    found = candidates(request)
    fitting = [candidate for candidate in found if fits(request, candidate)]
    assert 1 < len(fitting) < len(found)
    assert found[0].s_per_sequence <= 1.01 * min(candidate.s_per_sequence for candidate in fitting)
    assert found[: len(fitting)] == fitting


def test_pins_are_kept() -> None:
    plan = candidates(ask("llama3-8b", "v5p:4x4x4", fsdp=16, tensor=2, microbatch=4))[0].plan
    assert plan.parallelism == Parallelism(data=2, fsdp=16, tensor=2)
    assert plan.microbatch == 4


def test_70b_needs_a_larger_slice_of_v5e() -> None:
    request = ask("llama3-70b", "v5e:4x4")
    best = candidates(request)[0]
    assert not fits(request, best)
    # Parameters, gradients and two moments alone are 66 GiB a chip, and as many gradients again where they add up.
    assert best.plan.microbatches > 1
    assert best.memory.state == pytest.approx(20 * 70_553_706_496 / 16, rel=1e-6)
    enough = what_would_fit(request)
    assert enough is not None
    assert enough.topology.device.name == "v5e"
    assert enough.topology.chips > 16 * 70_553_706_496 / (16 * 2**30)
    assert enough.batch_tokens is None
    assert what_would_fit(ask("llama3-405b", "v5e:4x4")) is None


def test_where_only_the_pins_stand_in_the_way_the_same_devices_would_do() -> None:
    request = ask("llama3-8b", "v5p:4x4x4", fsdp=1, tensor=1)
    assert not fits(request, candidates(request)[0])
    enough = what_would_fit(request)
    assert enough is not None
    assert enough.topology == request.topology
    assert enough.plan.parallelism.fsdp > 1
    unlisted = ask("llama3-8b", "v5p:4x4x12", fsdp=1, tensor=1)
    enough = what_would_fit(unlisted)
    assert enough is not None
    assert enough.topology == unlisted.topology


def test_where_only_the_batch_stands_in_the_way_it_is_named() -> None:
    request = ask("llama3-70b", "v5e:4x4", batch=64e3)
    enough = what_would_fit(request)
    assert enough is not None
    assert enough.batch_tokens is not None
    assert enough.batch_tokens > 64e3
    larger = dataclasses.replace(request, topology=enough.topology, batch_tokens=enough.batch_tokens)
    assert fits(larger, candidates(larger)[0])


def test_what_would_fit_is_larger_where_the_arithmetic_was_short() -> None:
    request = ask("llama3-70b", "v5e:4x4")
    enough, more = what_would_fit(request), what_would_fit(request, times=1.5)
    assert enough is not None
    assert more is not None
    assert more.topology.chips > enough.topology.chips
    # The fastest plan, 34 GiB by arithmetic, no longer fits; a slower one does.
    pinned = ask("llama3-8b", "v5p:4x4x4", fsdp=1, tensor=1)
    slower = what_would_fit(pinned, times=3.0)
    assert slower is not None
    assert slower.topology == pinned.topology


@pytest.mark.parametrize(
    ("impossible", "says"),
    [
        (ask("llama3-8b", "v5p:4x4x4", tensor=3), "heads 32 is not a multiple of tensor 3"),
        (ask("llama3-8b", "v5p:4x4x4", tensor=16), "kv_heads 8 is not a multiple of tensor 16"),
        (ask("llama3-8b", "v5p:4x4x4", fsdp=7), "fsdp 7 x tensor 1 does not divide 64 devices"),
        (ask("llama3-8b", "v7:4x4x4", fsdp=256), "does not divide 128 devices (the compiler's 2 a chip)"),
        (ask("llama3-8b", "v5p:4x4x4", batch=100), "100 tokens is less than a sequence of 8192"),
        (ask("llama3-8b", "v5p:4x4x4", batch=1e30), "is absurd"),
        (
            ask("llama3-8b", "v5p:4x4x4", seq_len=1000),
            "seq_len 1000 is not a multiple of 128, the block of a TPU's attention kernel; 1024 is",
        ),
        (ask("llama3-8b", "h100:64", tensor=32), "more than the 8 GPUs of a node"),
        (
            ask("llama3-8b", "v5p:16x16x24"),
            "488.3 sequences of 8192: not to be shared out to 768 or more within 10%; 6.29M tokens are",
        ),
        (ask("llama3-8b", "v5p:4x4x4", microbatch=300), "300 at once to each"),
    ],
)
def test_what_cannot_be_carried_out_is_reported(impossible: Request, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        candidates(impossible)


def test_the_roofline_by_hand() -> None:
    config = LlamaConfig(vocab=1024, width=512, depth=4, heads=4, kv_heads=4, ffn=1024, seq_len=256)
    params = count_params(config).total
    alone = roofline(config, find_topology("v5e:1x1"), Plan(Parallelism(), 4, 2))
    # What the layers compute again: their forward pass but for the product with ``down``.
    forward = flops_per_token(config, 256, causal=True) / 3 - 2 * 1024 * 512 - 2 * 4 * 1024 * 512
    flops = 8 * 256 * (flops_per_token(config, 256, causal=True) + forward)
    assert alone.compute == pytest.approx(flops / 197e12)
    assert alone.interconnect == 0
    # fp32: parameters and moments read and written, and gradients twice a microbatch; the weights of the layers in
    # bf16 thrice, and what enters a layer twice.
    layers = 4 * count_params(config).per_layer_matmul
    assert alone.memory == pytest.approx(
        (4 * (6 + 4) * params + 2 * (3 * 2 * layers + 2 * 2 * 4 * 1024 * 512)) / 0.819e12
    )
    # Two gathers and a scatter of bf16, of which a chip has a quarter itself; 2 links of 50 GB/s at the corner.
    four = roofline(config, find_topology("v5e:2x2"), Plan(Parallelism(fsdp=4), 1, 2))
    assert four.interconnect == pytest.approx(2 * 3 * 2 * params * 3 / 4 / 100e9)
    # A node has one 64th of the parameters; the rest comes over its eight networks of 50 GB/s.
    nodes = roofline(config, find_topology("h100:512"), Plan(Parallelism(fsdp=512), 1, 1))
    assert nodes.interconnect == pytest.approx(3 * 2 * params * 63 / 64 / 8 / 50e9)
    # A node alone: seven eighths over NVLink.
    node = roofline(config, find_topology("h100:8"), Plan(Parallelism(fsdp=8), 1, 1))
    assert node.interconnect == pytest.approx(3 * 2 * params * 7 / 8 / 450e9)
    assert math.isclose(nodes.step, max(nodes.compute, nodes.memory, nodes.interconnect))
    assert nodes.bound in ("compute", "memory", "interconnect")


def test_what_tensor_devices_share_and_replicas_reduce_by_hand() -> None:
    config = dataclasses.replace(find("llama3.2-1b").config, seq_len=8192)
    params = count_params(config).total

    def seconds(topology: str, *split: int) -> float:
        return roofline(config, find_topology(topology), Plan(Parallelism(*split), 1, 1)).interconnect

    # Four transfers a layer forward, four backward, and of those forward three again; 2 links at the corner.
    assert seconds("v5e:2x2", 1, 1, 4) == pytest.approx(11 * 16 * 8192 * 2048 * 2 * 3 / 4 / 100e9)
    # A chip of two devices receives what both need once: seven eighths of what 8 chips share, over 3 links.
    assert seconds("v7:2x2x2", 1, 16, 1) == pytest.approx(3 * 2 * params * 7 / 8 / 300e9)
    # Gradients are added up within a node first, so each network carries an eighth of them, in and out.
    assert seconds("h100:64", 64, 1, 1) == pytest.approx(2 * 2 * params / 8 * 7 / 8 / 50e9)
    # A group that is no multiple of a node reaches into two.
    assert seconds("h100:24", 2, 12, 1) >= 3 * 2 * params * 4 / 12 / 8 / 50e9


@pytest.mark.parametrize("vocab", [64, 32768])
def test_what_is_computed_again_is_what_xla_computes_again(vocab: int) -> None:
    config = LlamaConfig(vocab=vocab, width=512, depth=2, heads=4, kv_heads=2, ffn=1792, seq_len=256)
    parameters = abstract_state(config).parameters
    windows = jax.ShapeDtypeStruct((2, 257), jnp.int32)

    def flops(remat: Remat) -> float:
        losses = make_losses(config, "bfloat16", Execution("xla", remat))
        step = jax.jit(jax.value_and_grad(lambda p, w: losses(p, w).mean()))
        counted = step.lower(parameters, windows).compile().cost_analysis()
        assert counted is not None
        return float(counted["flops"])

    again = 2 * 256 * recomputed_per_token(config, 256, chunked=False, causal=False)
    none, selective, full = flops("none"), flops("selective"), flops("full")
    assert full - none == pytest.approx(again, rel=0.02)
    # Attention's two products, and what is no product: norms, softmax and the like.
    scores = 2 * 256 * config.depth * 4 * 256 * config.width
    assert selective - none == pytest.approx(scores, rel=0.2)


def test_more_devices_are_never_slower() -> None:
    times = [candidates(ask("llama3-8b", f"v5p:{sides}"))[0].s_per_sequence for sides in ("4x4x4", "4x4x8", "4x8x8")]
    assert times == sorted(times, reverse=True)

"""The compiled step: what lies on a device, by the host's compiler and, where it is installed, by the TPU's."""

import dataclasses
import importlib.util

import pytest

from scaling.errors import InputError
from scaling.feasibility import compile as compile_module
from scaling.feasibility.compile import Compiled, check_tpu_compiler, compile_step
from scaling.feasibility.roofline import Plan
from scaling.feasibility.topology import find_topology
from scaling.llama.config import LlamaConfig
from scaling.llama.counts import count_params
from scaling.llama.memory import training_bytes
from scaling.llama.parallelism import Parallelism
from scaling.llama.zoo import find

TINY = LlamaConfig(vocab=512, width=256, depth=2, heads=2, kv_heads=2, ffn=512, seq_len=256)
NEEDS_LIBTPU = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: pip install -e '.[tpu]'"
)


@pytest.mark.parametrize(
    ("topology", "split"),
    [
        ("h100:8", Parallelism(data=2, fsdp=2, tensor=2)),
        pytest.param("v5e:2x2", Parallelism(fsdp=2, tensor=2), marks=[NEEDS_LIBTPU, pytest.mark.slow]),
        pytest.param("v4:2x2x1", Parallelism(fsdp=4), marks=[NEEDS_LIBTPU, pytest.mark.slow]),
        pytest.param("v7:2x2x1", Parallelism(fsdp=8), marks=[NEEDS_LIBTPU, pytest.mark.slow]),
    ],
)
def test_a_device_is_given_its_shard_of_the_state(topology: str, split: Parallelism) -> None:
    ticks: list[float] = []
    compiled = compile_step(TINY, find_topology(topology), Plan(split, 1, 2), 1e9, ticks.append)
    assert compiled.refusal is None
    assert compiled.arguments == pytest.approx(12 * count_params(TINY).total / split.state_shards, rel=0.02)
    assert compiled.temporaries > 0
    assert compiled.cpu_s > 0
    assert compiled.host_bytes is not None
    assert compiled.host_bytes > 2**26
    assert ticks == sorted(ticks)


def test_a_compiler_that_fails_says_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match="the compiler for h100:8 failed: 1"):
        compile_step(TINY, find_topology("h100:8"), Plan(Parallelism(fsdp=8), 1, 1), 1e9, lambda _: None)


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        ("RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 25.50G of 15.75G hbm.", 25.5 * 2**30),
        (
            "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO "
            "temporaries (21.46G) exceeds available HBM (15.75G). HLO module: jit_step.",
            21.46 * 2**30,
        ),
        ("RESOURCE_EXHAUSTED: E1001: CompileTimeScopedVmemOom:", None),
    ],
)
def test_a_refusal_states_what_is_taken_or_nothing(words: str, taken: float | None) -> None:
    assert Compiled(4, 0, 0, 0, 0, words, 1.0, 1.0, None).total == (None if taken is None else int(taken))


@pytest.mark.parametrize(
    ("system", "machine", "says"),
    [
        ("linux", "x86_64", r"pip install 'scaling-law-toolkit\[tpu\]'"),
        ("darwin", "arm64", "for Linux on x86-64 only"),
        ("linux", "aarch64", "for Linux on x86-64 only"),
    ],
)
def test_a_missing_compiler_is_named(system: str, machine: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(compile_module.sys, "platform", system)
    monkeypatch.setattr(compile_module.platform, "machine", lambda: machine)
    with pytest.raises(InputError, match=says) as caught:
        check_tpu_compiler()
    assert len(caught.value.errors) == 1


@NEEDS_LIBTPU
@pytest.mark.slow
def test_8b_on_64_chips_of_v5p() -> None:
    config = find("llama3-8b").config
    plan = Plan(Parallelism(fsdp=64), 1, 1)
    compiled = compile_step(config, find_topology("v5p:4x4x4"), plan, 15e12, lambda _: None)
    assert compiled.arguments == pytest.approx(12 * count_params(config).total / 64, rel=0.01)
    expected = training_bytes(config, 1, "bfloat16", plan.parallelism, remat="full", flash=True)
    assert compiled.total == pytest.approx(expected.total, rel=0.1)
    assert compiled.host_bytes is not None
    assert compiled.host_bytes < 8 * 2**30


@NEEDS_LIBTPU
@pytest.mark.slow
def test_the_compiler_says_what_a_chip_lacks() -> None:
    wide = dataclasses.replace(TINY, vocab=128_256, width=8192, ffn=28_672, depth=8)
    compiled = compile_step(wide, find_topology("v5e:2x2"), Plan(Parallelism(fsdp=4), 1, 1), 1e9, lambda _: None)
    assert compiled.refusal is not None
    assert "exceed" in compiled.refusal.lower()
    assert compiled.total is not None
    assert compiled.total > 16 * 2**30

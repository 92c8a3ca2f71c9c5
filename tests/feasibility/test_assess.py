"""The answer: compiled, estimated or by arithmetic, and what follows when the compiler refuses."""

import dataclasses
from typing import Any

import pytest

from scaling.errors import InputError
from scaling.feasibility import assess as module
from scaling.feasibility.assess import assess
from scaling.feasibility.compile import Compiled
from scaling.feasibility.roofline import Plan
from scaling.feasibility.search import Request
from scaling.feasibility.topology import find_topology
from scaling.llama.parallelism import Parallelism
from scaling.llama.zoo import find

GIB = 2**30


def ask(model: str, topology: str) -> Request:
    return Request(dataclasses.replace(find(model).config, seq_len=8192), find_topology(topology), 4e6)


def compiler(monkeypatch: pytest.MonkeyPatch, *answers: Compiled) -> list[Plan]:
    """A compiler that gives these answers in turn; returns the list of plans it was given."""
    plans: list[Plan] = []

    def compile_step(*request: Any) -> Compiled:
        _, _, plan, _, waiting = request
        plans.append(plan)
        waiting(1.0)
        return answers[len(plans) - 1]

    monkeypatch.setattr(module, "compile_step", compile_step)
    monkeypatch.setattr(module, "check_tpu_compiler", lambda: None)
    return plans


FITS = Compiled(64, 2 * GIB, 0, 7 * GIB, GIB, None, 100.0, 90.0, 2 * GIB)
REFUSED = Compiled(64, 0, 0, 0, 0, "RESOURCE_EXHAUSTED: Used 120.00G of 95.74G hbm.", 100.0, 90.0, 2 * GIB)


def total(answer: module.Feasibility) -> int:
    return answer.params + answer.optimizer + answer.gradients + answer.activations


def test_the_compiler_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = compiler(monkeypatch, FITS)
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12)
    assert (answer.fits, answer.method) == (True, "compiled")
    assert answer.bytes_per_chip == total(answer) == 10 * GIB
    assert plans == [answer.plan]


def test_a_chip_of_two_devices_takes_twice_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(monkeypatch, FITS)
    assert assess(ask("llama3-8b", "v7:4x4x4"), 15e12).bytes_per_chip == 20 * GIB


def test_a_refused_plan_is_followed_by_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = compiler(monkeypatch, REFUSED, FITS)
    reported: list[str] = []
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12, report=reported.append)
    assert answer.fits
    assert answer.plan == plans[1] != plans[0]
    assert len(answer.refused) == 1
    assert any("120.00G" in line for line in reported)


def test_after_enough_refusals_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(monkeypatch, *[REFUSED] * 9)
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12)
    assert (answer.fits, answer.method) == (False, "refused")
    assert len(answer.refused) > 1
    assert answer.bytes_per_chip == total(answer) == 120 * GIB
    assert answer.lacking == 25 * GIB
    # By how much the arithmetic was short here, it may be short elsewhere.
    assert answer.enough is not None
    assert answer.enough.topology.chips > 64


def test_a_compiler_that_reports_no_figure_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = dataclasses.replace(REFUSED, refusal="RESOURCE_EXHAUSTED: Ran out of memory.")
    compiler(monkeypatch, *[silent] * 9)
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12)
    assert (answer.fits, answer.method, answer.lacking, answer.enough) == (False, "refused", None, None)


def test_a_step_that_compiles_to_more_than_a_chip_has_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(monkeypatch, *[dataclasses.replace(FITS, temporaries=110 * GIB)] * 9)
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12)
    assert (answer.fits, answer.method) == (False, "compiled")
    assert answer.lacking == (113 - 95) * GIB


def test_of_gpus_only_the_arguments_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(monkeypatch, FITS)
    answer = assess(ask("llama3-8b", "h100:64"), 15e12)
    assert (answer.fits, answer.method) == (True, "estimate")
    assert answer.bytes_per_chip == total(answer)
    without = assess(ask("llama3-8b", "h100:64"), 15e12, compiling=False)
    assert without.method == "arithmetic"
    assert answer.bytes_per_chip - without.bytes_per_chip == 2 * GIB - without.params - without.optimizer


def test_more_gpus_than_the_host_can_show_are_stood_for_by_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = compiler(monkeypatch, FITS)
    reported: list[str] = []
    request = dataclasses.replace(ask("llama3-70b", "h100:4096"), batch_tokens=32e6, fsdp=1024, tensor=1)
    answer = assess(request, 15e12, report=reported.append)
    assert answer.plan.parallelism == Parallelism(data=4, fsdp=1024)
    assert plans[0].parallelism == Parallelism(fsdp=512)
    assert answer.compiled is not None
    assert answer.compiled.arguments == FITS.arguments // 2
    assert "512 stand for them" in reported[0]


def test_what_cannot_fit_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    plans = compiler(monkeypatch)
    answer = assess(ask("llama3-70b", "v5e:4x4"), 15e12)
    assert not answer.fits
    assert plans == []
    assert answer.bytes_per_chip > answer.memory
    assert answer.enough is not None
    assert answer.enough.topology.chips > 64


@pytest.mark.parametrize("tokens", [1, 1e300])
def test_tokens_are_a_step_at_least_and_not_absurd(tokens: float) -> None:
    with pytest.raises(InputError, match=r"not between a step's 4M and 1e\+18"):
        assess(ask("llama3-8b", "v5p:4x4x4"), tokens, compiling=False)


def test_days_and_mfu_follow_from_the_lower_bound() -> None:
    answer = assess(ask("llama3-8b", "v5p:4x4x4"), 15e12, compiling=False)
    assert answer.days(15e12) == pytest.approx(15e12 / answer.tokens_per_step * answer.roofline.step / 86400)
    # What is computed again costs a quarter more.
    assert 0.75 < answer.mfu < 0.8


def test_long_sequences_do_not_take_the_utilisation_beyond_the_peak() -> None:
    config = dataclasses.replace(find("llama3-8b").config, seq_len=131_072)
    answer = assess(Request(config, find_topology("v5p:4x4x4"), 16e6), 15e12, compiling=False)
    assert answer.roofline.bound == "compute"
    assert 0.7 < answer.mfu < 0.8

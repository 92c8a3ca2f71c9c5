"""Published shapes, checked by the parameter count that each implies."""

import statistics

import pytest

from scaling.costing import default_utilization, published_mfus
from scaling.errors import InputError
from scaling.hardware import DEVICES
from scaling.llama.zoo import ZOO, find

# Exact sizes of the released weights.
TOTALS = {
    "llama1-7b": 6_738_415_616,
    "llama1-13b": 13_015_864_320,
    "llama1-33b": 32_528_943_616,
    "llama1-65b": 65_285_660_672,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "llama2-34b": 33_743_970_304,
    "llama2-70b": 68_976_648_192,
    "llama3-8b": 8_030_261_248,
    "llama3-70b": 70_553_706_496,
    "llama3-405b": 405_853_388_800,
    "llama3.2-1b": 1_235_814_400,
    "llama3.2-3b": 3_212_749_824,
}


def test_every_model_has_its_published_number_of_parameters() -> None:
    assert {entry.name: entry.params for entry in ZOO.values()} == TOTALS
    assert list(ZOO) == [entry.name for entry in ZOO.values()]


def test_405b_training_flops_as_published() -> None:
    # 2407.21783, section 3.2: 3.8e25, which is 6ND; attention and the head add 8 %, less the embedding.
    entry = ZOO["llama3-405b"]
    assert entry.flops_6nd == 6 * entry.params * entry.tokens == pytest.approx(3.8e25, rel=0.005)
    assert entry.flops == pytest.approx(1.075 * 3.8e25, rel=0.01)


@pytest.mark.parametrize(
    ("device", "names"),
    [("a100", [n for n in TOTALS if n[:6] in ("llama1", "llama2")]), ("h100", [n for n in TOTALS if "llama3-" in n])],
)
def test_default_utilisation_is_that_of_the_published_runs(device: str, names: list[str]) -> None:
    for counting in ("exact", "6nd"):
        attained = [published_mfus(ZOO[name], counting) for name in names]
        main = [mfus[name] for name, mfus in zip(names, attained, strict=True)]
        default = default_utilization(DEVICES[device], counting)
        assert default.counting == counting
        assert default.mfu == pytest.approx(statistics.median(main), abs=0.015)
        every = [mfu for mfus in attained for mfu in mfus.values()]
        assert default.span == (min(every), max(every))
        assert f"{min(every):.0%} to {max(every):.0%}" in default.source
        assert default.of == "hours"


def test_hours_of_llama_3_add_up_to_their_cards_totals() -> None:
    # 7.7M in April 2024's card; 39.3M in Llama 3.1's; 830k in 3.2's.
    small, large, largest = (ZOO[f"llama3-{size}"] for size in ("8b", "70b", "405b"))
    assert small.gpu_hours + large.gpu_hours == pytest.approx(7.7e6)
    assert small.gpu_hours_31 is not None
    assert large.gpu_hours_31 is not None
    assert small.gpu_hours_31 + large.gpu_hours_31 + largest.gpu_hours == pytest.approx(39.3e6)
    assert ZOO["llama3.2-1b"].gpu_hours + ZOO["llama3.2-3b"].gpu_hours == pytest.approx(830e3)


def test_only_the_models_of_3_2_are_distilled() -> None:
    assert [name for name, entry in ZOO.items() if entry.distilled] == ["llama3.2-1b", "llama3.2-3b"]


def test_names_are_found_in_any_case_and_near_misses_named() -> None:
    assert find("Llama3-8B") is ZOO["llama3-8b"]
    with pytest.raises(InputError, match="did you mean llama3-8b"):
        find("llama-3-8b")
    with pytest.raises(InputError, match="known: llama1-7b"):
        find("gpt2")

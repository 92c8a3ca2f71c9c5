"""Figures of the accelerators, and the arithmetic of cost."""

import pytest

from scaling.cost import FLEETS, estimate_cost
from scaling.errors import InputError
from scaling.hardware import DEVICES, find_device
from scaling.llama.zoo import ZOO


def test_the_contract_names_nine_devices() -> None:
    assert list(DEVICES) == ["a100", "h100", "h200", "b200", "v4", "v5e", "v5p", "v6e", "v7"]
    assert list(DEVICES) == [device.name for device in DEVICES.values()]


@pytest.mark.parametrize("name", list(DEVICES))
def test_figures_are_in_the_units_they_claim(name: str) -> None:
    device = DEVICES[name]
    assert 1e14 < device.peak_flops < 1e16
    assert 16 <= device.memory_bytes / 2**30 <= 192
    # Every accelerator so far does between 100 and 700 bf16 operations per byte of HBM traffic.
    assert 100 < device.peak_flops / device.bandwidth < 700
    assert 0.3 <= device.mfu <= 0.6
    assert device.watts is None or 150 <= device.watts <= 1200
    assert all((device.spec_source, device.price_source, device.mfu_source))
    assert (device.usd_per_hour is None) == (device.price_source == "not published")


def test_hours_are_flops_over_what_the_device_delivers() -> None:
    cost = estimate_cost(3.6e24, DEVICES["h100"], mfu=0.4, goodput=0.95, usd_per_hour=2.0)
    assert cost.device_hours == pytest.approx(3.6e24 / (989e12 * 0.4 * 0.95 * 3600))
    assert cost.price_usd == pytest.approx(2 * cost.device_hours)
    assert cost.days_on == {fleet: pytest.approx(cost.device_hours / fleet / 24) for fleet in FLEETS}


@pytest.mark.parametrize(
    ("name", "mwh"), [("llama1-7b", 36), ("llama1-13b", 59), ("llama1-33b", 233), ("llama1-65b", 449)]
)
def test_energy_of_the_published_hours_is_the_published_energy(name: str, mwh: float) -> None:
    # 2302.13971, table 15.
    entry = ZOO[name]
    cost = estimate_cost(entry.flops, DEVICES["a100"])
    assert entry.gpu_hours is not None
    assert cost.energy_mwh is not None
    assert cost.energy_mwh * entry.gpu_hours / cost.device_hours == pytest.approx(mwh, abs=1)


def test_unknown_power_and_price_stay_unknown() -> None:
    cost = estimate_cost(1e24, DEVICES["v7"])
    assert cost.price_usd is None
    assert cost.energy_mwh is None
    assert estimate_cost(1e24, DEVICES["v7"], usd_per_hour=10.0).price_usd == pytest.approx(10 * cost.device_hours)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        estimate_cost(-1.0, DEVICES["a100"], mfu=1.2, goodput=0.0, usd_per_hour=float("inf"))
    assert [fault.split()[0] for fault in caught.value.faults] == ["mfu", "goodput", "flops", "price"]


def test_near_misses_of_a_device_are_named() -> None:
    assert find_device("H100") is DEVICES["h100"]
    with pytest.raises(InputError, match="did you mean h100"):
        find_device("h10")
    with pytest.raises(InputError, match="known: a100"):
        find_device("abacus")

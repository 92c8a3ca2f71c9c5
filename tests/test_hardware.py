"""Figures of the accelerators, and the arithmetic of cost."""

import math
from dataclasses import replace

import pytest

from scaling.costing import (
    FLEETS,
    Counting,
    compare_published,
    default_utilization,
    estimate_cost,
    measured_utilization,
    published_utilization,
)
from scaling.errors import InputError
from scaling.hardware import DEVICES, Utilization, device_of_kind, find_device, mfu
from scaling.llama.counts import flops_per_token
from scaling.llama.zoo import ZOO


def test_the_contract_names_nine_devices() -> None:
    assert list(DEVICES) == ["a100", "h100", "h200", "b200", "v4", "v5e", "v5p", "v6e", "v7"]
    assert list(DEVICES) == [device.name for device in DEVICES.values()]


@pytest.mark.parametrize("name", list(DEVICES))
def test_figures_are_in_the_units_they_claim(name: str) -> None:
    device, default = DEVICES[name], default_utilization(DEVICES[name])
    assert 1e14 < device.peak_flops < 1e16
    assert 16 <= device.memory_bytes / 2**30 <= 192
    # Every accelerator so far does between 100 and 700 bf16 operations per byte of HBM traffic.
    assert 100 < device.peak_flops / device.bandwidth < 700
    assert default.span is not None
    assert 0.15 < default.span[0] <= default.mfu <= default.span[1] < 0.75
    assert device.watts is None or 150 <= device.watts <= 1200
    assert all((device.spec_source, device.price_source, default.source))
    assert (device.usd_per_hour is None) == (device.price_source == "not published")


@pytest.mark.parametrize(
    ("device", "model", "tokens_per_s", "end"),
    [
        ("v6e", "llama3-405b", 149.482, 0),
        ("v6e", "llama3-70b", 960.248, 1),
        ("v7", "llama3-70b", 2670.55, 0),
        ("v7", "llama3-405b", 499.77, 1),
    ],
)
def test_shares_of_tpus_are_those_of_published_recipes(device: str, model: str, tokens_per_s: float, end: int) -> None:
    # Google's training recipes for Trillium and Ironwood print tokens per second and chip at a context of 8192.
    attained = tokens_per_s * flops_per_token(ZOO[model].config, 8192) / DEVICES[device].peak_flops
    span = DEVICES[device].utilization.span
    assert span is not None
    assert span[end] == pytest.approx(attained, abs=0.005)


def test_share_of_v4_is_that_of_palms_hours() -> None:
    # 2204.02311: 6 * 540B * 780B FLOPs in 1200 hours of 6144 chips and 336 hours of 3072.
    by_6nd = 6 * 540e9 * 780e9 / ((1200 * 6144 + 336 * 3072) * 3600 * DEVICES["v4"].peak_flops)
    assert DEVICES["v4"].mfu_6nd == pytest.approx(by_6nd, abs=0.001)
    # Its table 3: 46.2 % of step time with attention, 45.7 % without.
    assert DEVICES["v4"].utilization.mfu == pytest.approx(by_6nd * 46.2 / 45.7, abs=0.001)


def share(of_peak: float) -> Utilization:
    return Utilization(of_peak, "unsaid", "test")


def test_hours_are_flops_over_what_the_device_delivers() -> None:
    cost = estimate_cost(3.6e24, DEVICES["h100"], share(0.4), goodput=0.95, usd_per_hour=2.0, devices=24_576)
    assert cost.device_hours == pytest.approx(3.6e24 / (989e12 * 0.4 * 0.95 * 3600))
    assert cost.price_usd == pytest.approx(2 * cost.device_hours)
    fleets = [*FLEETS, 24_576]
    assert cost.days_on == {fleet: pytest.approx(cost.device_hours / fleet / 24) for fleet in fleets}
    assert cost.device_hours_range is None
    assert cost.price_usd_range is None


def test_lost_time_is_counted_once() -> None:
    hours = Utilization(0.4, "hours", "test", (0.2, 0.5))
    of_hours = estimate_cost(1e24, DEVICES["h100"], hours)
    of_steps = estimate_cost(1e24, DEVICES["h100"], replace(hours, of="steps"))
    assert (of_hours.goodput, of_steps.goodput) == (1.0, 0.9)
    assert of_steps.device_hours == pytest.approx(of_hours.device_hours / 0.9)


def test_range_is_that_of_utilisation_and_goodput() -> None:
    steps = Utilization(0.4, "steps", "test", (0.2, 0.5))
    cost = estimate_cost(1e24, DEVICES["h100"], steps, usd_per_hour=2.0)
    full = 1e24 / 989e12 / 3600
    assert cost.device_hours_range == pytest.approx((full / 0.5, full / (0.2 * 0.66)))
    assert cost.price_usd_range == pytest.approx((2 * full / 0.5, 2 * full / (0.2 * 0.66)))
    given = estimate_cost(1e24, DEVICES["h100"], steps, goodput=0.8)
    assert given.device_hours_range == pytest.approx((full / (0.5 * 0.8), full / (0.2 * 0.8)))
    # Without a spread of the share, that of lost time remains.
    alone = estimate_cost(1e24, DEVICES["h100"], replace(steps, span=None))
    assert alone.device_hours_range == pytest.approx((full / 0.4, full / (0.4 * 0.66)))


@pytest.mark.parametrize(
    ("name", "mwh"), [("llama1-7b", 36), ("llama1-13b", 59), ("llama1-33b", 233), ("llama1-65b", 449)]
)
def test_energy_of_the_published_hours_is_the_published_energy(name: str, mwh: float) -> None:
    # 2302.13971, table 15.
    entry = ZOO[name]
    cost = estimate_cost(entry.flops, DEVICES["a100"], published_utilization(entry))
    assert cost.device_hours == pytest.approx(entry.gpu_hours)
    assert cost.energy_mwh == pytest.approx(mwh, abs=1)


def test_unknown_power_and_price_stay_unknown() -> None:
    cost = estimate_cost(1e24, DEVICES["v7"])
    assert cost.price_usd is None
    assert cost.price_usd_range is None
    assert cost.energy_mwh is None
    assert estimate_cost(1e24, DEVICES["v7"], usd_per_hour=10.0).price_usd == pytest.approx(10 * cost.device_hours)


def test_every_violation_is_reported_at_once() -> None:
    with pytest.raises(InputError) as caught:
        estimate_cost(-1.0, DEVICES["a100"], share(1.2), goodput=0.0, usd_per_hour=float("inf"), devices=0)
    assert [line.split()[0] for line in caught.value.errors] == ["mfu", "goodput", "flops", "price", "devices"]


def test_more_than_the_world_computes_is_refused() -> None:
    with pytest.raises(InputError, match="every computer on Earth"):
        estimate_cost(1e40, DEVICES["h100"])
    with pytest.raises(InputError) as caught:
        estimate_cost(1e24, DEVICES["h100"], share(1e-300), usd_per_hour=1e308, devices=10**400)
    assert [line.split()[0] for line in caught.value.errors] == ["mfu", "price", "devices"]
    with pytest.raises(InputError, match="mfu is 1e-300 in 1 of 2 runs"):
        measured_utilization([1e18] * 2, [0.3, 1e-300], "runs")


@pytest.mark.parametrize("counting", ["exact", "6nd"])
def test_every_published_hour_lies_in_its_estimates_range(counting: Counting) -> None:
    for entry in ZOO.values():
        if entry.distilled:
            continue
        flops = entry.flops if counting == "exact" else entry.flops_6nd
        device = DEVICES[entry.device]
        cost = estimate_cost(flops, device, default_utilization(device, counting))
        assert cost.device_hours_range is not None
        low, high = cost.device_hours_range
        for hours in entry.hours.values():
            assert low * (1 - 1e-12) <= hours <= high * (1 + 1e-12)


def test_only_what_is_published_by_6nd_is_lent_to_it() -> None:
    known = {name for name, device in DEVICES.items() if default_utilization(device, "6nd").counting == "6nd"}
    assert known == {"a100", "h100", "h200", "b200", "v4"}
    assert default_utilization(DEVICES["v5p"], "6nd") == default_utilization(DEVICES["v5p"])


def test_estimates_beside_the_published_hours() -> None:
    rows = {row.run: row for row in compare_published()}
    assert len(rows) == len(ZOO) + 2
    for run in ("llama1-65b", "llama2-70b", "llama3-405b"):
        assert rows[run].ratio == pytest.approx(1, abs=0.25)
    # The hours of Llama 3 8B and 70B, by both model cards, every matmul and 6ND.
    implied = {run: (row.mfu, row.mfu_6nd) for run, row in rows.items()}
    assert implied["llama3-8b"] == pytest.approx((0.188, 0.156), abs=0.001)
    assert implied["llama3-70b"] == pytest.approx((0.317, 0.279), abs=0.001)
    assert implied["llama3.1-8b"] == pytest.approx((0.167, 0.139), abs=0.001)
    assert implied["llama3.1-70b"] == pytest.approx((0.290, 0.255), abs=0.001)
    assert rows["llama3-8b"].ratio == pytest.approx(rows["llama3-8b"].mfu / DEVICES["h100"].utilization.mfu)


def test_measured_share_is_the_median_of_the_largest_runs() -> None:
    measured = measured_utilization([1e18, 9e17, 4e17, 1e17], [0.30, 0.20, 0.28, 0.01], "runs")
    assert (measured.mfu, measured.span, measured.of) == (0.28, (0.20, 0.30), "steps")
    assert "3 largest of 4 runs" in measured.source
    one = measured_utilization([1e18, 1e17], [0.3, 0.1], "runs")
    assert (one.mfu, one.span) == (0.3, None)
    assert one.source == "runs: the largest of 2 runs, 1e+18 FLOPs"


@pytest.mark.parametrize(
    ("mfus", "message"), [([], "no finished run with a measured mfu"), ([0.3, 38.5], "mfu is 38.5 in 1 of 2 runs")]
)
def test_measured_shares_are_checked(mfus: list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        measured_utilization([1e18] * len(mfus), mfus, "runs")


def test_near_misses_of_a_device_are_named() -> None:
    assert find_device("H100") is DEVICES["h100"]
    with pytest.raises(InputError, match="did you mean h100"):
        find_device("h10")
    with pytest.raises(InputError, match="known: a100"):
        find_device("abacus")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("TPU v4", "v4"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
        ("TPU7x", "v7"),
        # Whatever else contains such a name is another device.
        ("NVIDIA RTX A1000", None),
        ("NVIDIA A100-SXM4-40GB", None),
        ("NVIDIA A100 80GB PCIe", None),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GH200 480GB", None),
        ("NVIDIA H200 NVL", None),
        ("NVIDIA GB200", None),
        ("TPU v4 lite", None),
        ("cpu", None),
    ],
)
def test_kinds_are_matched_whole(kind: str, name: str | None) -> None:
    assert device_of_kind(kind) == (None if name is None else DEVICES[name])
    assert math.isnan(mfu(1e14, kind)) == (name is None)


@pytest.mark.parametrize("name", list(DEVICES))
def test_a_table_may_name_a_device_as_the_command_line_does(name: str) -> None:
    assert device_of_kind(name.upper()) is DEVICES[name]

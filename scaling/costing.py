"""What a training run costs: device hours, days, price and energy; and what the published Llamas' hours imply."""

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scaling.errors import InputError
from scaling.hardware import DEVICES, Device, Utilization
from scaling.llama.zoo import ZOO, ZooEntry

Counting = Literal["exact", "6nd"]

# Power of the data centre over that of its devices, as in Llama 1's table of energy (2302.13971, table 15).
PUE = 1.1
# Numbers of devices for which the days are given.
FLEETS = (1, 8, 64, 512, 4096, 16384)
# Share of the hours spent on steps that count, by what the utilisation is a share of: default, and least and most.
GOODPUT = {"hours": 1.0, "steps": 0.9, "unsaid": 1.0}
GOODPUT_SPAN = {"hours": (1.0, 1.0), "steps": (0.66, 1.0), "unsaid": (1.0, 1.0)}
GOODPUT_SOURCE = {
    "hours": "lost time is inside the MFU, which is of all hours",
    "steps": "the MFU is of step time; Llama 3 405B reports over 90 % (2407.21783, section 3.3.4), PaLM 540B implies "
    "66 % (2204.02311)",
    "unsaid": "none given; Llama 3 405B reports over 90 %",
}
# Every computer on Earth, about 1e22 FLOP/s together, does no more in a millennium.
_ABSURD_FLOPS = 3e32
# Above it, a device would be bought for an hour's price; and there are fewer devices.
_ABSURD = {"price": (1e6, "US dollars an hour"), "devices": (1e9, "devices")}
# Even a tiny model attains more: of an H100 this is 1 GFLOP/s.
_LEAST_SHARE = 1e-6
# Runs of less than this share of the largest run's FLOPs do not show how busy a large run keeps its device.
_LARGE = 1 / 3


@dataclass(frozen=True)
class Cost:
    """An estimate of what a training run costs.

    Attributes:
        flops: training FLOPs of the run.
        device: the accelerator, with its peak, power and list price.
        utilization: the share of the peak, and where it is from.
        goodput: share of the hours spent on steps that count, 0 to 1.
        goodput_span: least and most goodput; both are ``goodput`` where it was given.
        usd_per_hour: price of a device hour, or None if neither the device nor the caller names one.
        device_hours: flops / (peak * mfu * goodput) / 3600.
        device_hours_range: device hours at the largest and at the smallest utilisation and goodput, or None where
            neither has a span.
        price_usd: price of the device hours, US dollars, or None without a price.
        price_usd_range: price of the range of device hours, or None without a price or a range.
        energy_mwh: energy at the device's power limit and a PUE of 1.1, or None where that power is not published.
        days_on: days by the number of devices.
    """

    flops: float
    device: Device
    utilization: Utilization
    goodput: float
    goodput_span: tuple[float, float]
    usd_per_hour: float | None
    device_hours: float
    device_hours_range: tuple[float, float] | None
    price_usd: float | None
    price_usd_range: tuple[float, float] | None
    energy_mwh: float | None
    days_on: dict[int, float]


def _violations(flops: float, mfu: float, goodput: float, price: float | None, devices: int | None) -> list[str]:
    """One line per share, size or price that cannot be."""
    found = [
        f"{name} is {value:g}; it is a share, 0.0001 to 100 %, written 40% or 0.4"
        for name, value in (("mfu", mfu), ("goodput", goodput))
        if not _LEAST_SHARE <= value <= 1
    ]
    sizes = {"flops": flops, "price": price, "devices": devices}
    found += [
        f"{name} is {value:g}; it must be positive and finite"
        for name, value in sizes.items()
        if value is not None and not 0 < value < math.inf
    ]
    found += [
        f"{name} is more than {most:,.0f} {unit}"
        for name, (most, unit) in _ABSURD.items()
        if (value := sizes[name]) is not None and most < value < math.inf
    ]
    if _ABSURD_FLOPS < flops < math.inf:
        found.append(f"flops is {flops:.3g}; every computer on Earth together does less in a thousand years")
    return found


def estimate_cost(
    flops: float,
    device: Device,
    utilization: Utilization | None = None,
    goodput: float | None = None,
    usd_per_hour: float | None = None,
    devices: int | None = None,
) -> Cost:
    """Estimates a run's device hours, price and energy.

    Args:
        flops: training FLOPs of the whole run, counted as the utilisation was.
        device: the accelerator.
        utilization: share of the peak; by default the device's own, from published runs, of every matmul with full
            attention.
        goodput: share of the hours spent on steps that count, 0 to 1; by default ``GOODPUT``, 1 where the utilisation
            is of all hours and .9 where it is of step time.
        usd_per_hour: price of a device hour; by default the device's list price.
        devices: a further number of devices to give the days for.

    Raises:
        InputError: one line per share that is not between a millionth and 1, and per FLOPs, price or number of devices
            that is not positive, finite and possible on Earth.
    """
    utilization = default_utilization(device) if utilization is None else utilization
    goodput_span = GOODPUT_SPAN[utilization.of] if goodput is None else (goodput, goodput)
    goodput = GOODPUT[utilization.of] if goodput is None else goodput
    price = device.usd_per_hour if usd_per_hour is None else usd_per_hour
    if violations := _violations(flops, utilization.mfu, goodput, price, devices):
        raise InputError(violations)

    def hours(share: float) -> float:
        return flops / (device.peak_flops * share) / 3600

    central = hours(utilization.mfu * goodput)
    least, most = utilization.span or (utilization.mfu, utilization.mfu)
    span = (hours(most * goodput_span[1]), hours(least * goodput_span[0]))
    known = span if span[0] < span[1] else None
    return Cost(
        flops=flops,
        device=device,
        utilization=utilization,
        goodput=goodput,
        goodput_span=goodput_span,
        usd_per_hour=price,
        device_hours=central,
        device_hours_range=known,
        price_usd=None if price is None else central * price,
        price_usd_range=None if price is None or known is None else (known[0] * price, known[1] * price),
        energy_mwh=None if device.watts is None else central * device.watts * PUE / 1e6,
        days_on={fleet: central / fleet / 24 for fleet in sorted({*FLEETS, devices or FLEETS[0]})},
    )


def implied_mfu(flops: float, hours: float, device: str) -> float:
    """Model FLOPs utilisation, 0 to 1: FLOPs of a run over those of its device hours at the peak."""
    return flops / (hours * 3600 * DEVICES[device].peak_flops)


def published_mfu(entry: ZooEntry) -> float:
    """Utilisation that a published run's device hours imply, every matmul counted with full attention."""
    return implied_mfu(entry.flops, entry.gpu_hours, entry.device)


def published_mfus(entry: ZooEntry, counting: Counting = "exact") -> dict[str, float]:
    """Utilisation that the device hours of each of ``entry.hours`` imply, by the name of the run."""
    flops = entry.flops if counting == "exact" else entry.flops_6nd
    return {run: implied_mfu(flops, hours, entry.device) for run, hours in entry.hours.items()}


def published_utilization(entry: ZooEntry, counting: Counting = "exact") -> Utilization:
    """The utilisation that a published run's device hours imply."""
    mfus = published_mfus(entry, counting)
    source = f"published hours of {entry.name}: {entry.gpu_hours:,.0f} on {entry.device}"
    return Utilization(mfus[entry.name], "hours", source, _span(mfus.values()), counting)


def default_utilization(device: Device, counting: Counting = "exact") -> Utilization:
    """The utilisation that published runs attained on the device, or on the one whose figure stands in for it.

    Args:
        device: the accelerator.
        counting: how the FLOPs that it is for are counted. The result keeps its own counting where 6ND is requested
            and only a figure of every matmul is published.

    Returns:
        The device's own utilisation. Where that is from the published Llamas' hours, the span is theirs, Llama 3.1
        included and the distilled models left out.
    """
    default = device.utilization
    if counting == "6nd" and device.mfu_6nd is not None:
        default = replace(default, mfu=device.mfu_6nd, counting=counting)
    if device.llamas_on is None:
        return default
    plain = [entry for entry in ZOO.values() if entry.device == device.llamas_on and not entry.distilled]
    mfus = [mfu for entry in plain for mfu in published_mfus(entry, counting).values()]
    return replace(default, span=_span(mfus), source=f"{default.source}, {min(mfus):.0%} to {max(mfus):.0%}")


def _span(shares: Collection[float]) -> tuple[float, float] | None:
    return (min(shares), max(shares)) if len(shares) > 1 else None


def measured_utilization(flops: Sequence[float], mfus: Sequence[float], source: str) -> Utilization:
    """The median utilisation of the largest of some measured runs: those within a factor 3 of the largest's FLOPs.

    Args:
        flops: training FLOPs of each run.
        mfus: utilisation of each run, a share of step time.
        source: what to call the runs in messages.

    Raises:
        InputError: if there is no run, or a share is not between a millionth and 1.
    """
    if not mfus:
        raise InputError(f"{source}: no finished run with a measured mfu (on a CPU none is measured)")
    if wrong := [mfu for mfu in mfus if not _LEAST_SHARE <= mfu <= 1]:
        raise InputError(f"{source}: mfu is {wrong[0]:g} in {len(wrong)} of {len(mfus)} runs; it is a share, 1e-6 to 1")
    largest = max(flops)
    chosen = [mfu for run, mfu in zip(flops, mfus, strict=True) if run >= _LARGE * largest]
    if len(chosen) > 1:
        words = f"median of the {len(chosen)} largest of {len(mfus)} runs, up to"
    else:
        words = f"the largest of {len(mfus)} runs," if len(mfus) > 1 else "its one run,"
    return Utilization(statistics.median(chosen), "steps", f"{source}: {words} {largest:.2g} FLOPs", _span(chosen))


@dataclass(frozen=True)
class Comparison:
    """A published run's device hours beside the estimate at its device's default utilisation.

    Attributes:
        run: the published model, or Llama 3.1's of the same shape.
        entry: its shape, tokens and device.
        hours: published device hours.
        estimate: device hours at the default utilisation.
        mfu: utilisation that the published hours imply, every matmul counted.
        mfu_6nd: the same with FLOPs counted as 6 N D.
    """

    run: str
    entry: ZooEntry
    hours: float
    estimate: float
    mfu: float
    mfu_6nd: float

    @property
    def ratio(self) -> float:
        """Estimate over published."""
        return self.estimate / self.hours


def compare_published() -> list[Comparison]:
    """Every published Llama's hours, and those of Llama 3.1's of the same shapes, beside the estimate."""
    rows = []
    for entry in ZOO.values():
        estimate = estimate_cost(entry.flops, DEVICES[entry.device]).device_hours
        mfus, mfus_6nd = published_mfus(entry), published_mfus(entry, "6nd")
        rows += [
            Comparison(run, entry, hours, estimate, mfus[run], mfus_6nd[run]) for run, hours in entry.hours.items()
        ]
    return rows

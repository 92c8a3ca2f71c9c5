"""What a training run costs: device hours, days, price and energy."""

import math
from dataclasses import dataclass

from scaling.errors import InputError
from scaling.hardware import DEVICES, Device
from scaling.llama.zoo import ZooEntry

# Power of the data centre over that of its devices, as in Llama 1's table of energy (2302.13971, table 15).
PUE = 1.1
# Numbers of devices for which the days are given.
FLEETS = (1, 8, 64, 512, 4096, 16384)


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        flops: of the run.
        device: whose figures were used.
        mfu: share of the peak while training, 0 to 1.
        goodput: share of the hours spent on steps that count, 0 to 1.
        device_hours: flops / (peak * mfu * goodput) / 3600.
        price_usd: or None if neither the device nor the caller names a price per hour.
        energy_mwh: at the device's power limit and a PUE of 1.1, or None where that power is not published.
        days_on: number of devices -> days.
    """

    flops: float
    device: Device
    mfu: float
    goodput: float
    device_hours: float
    price_usd: float | None
    energy_mwh: float | None
    days_on: dict[int, float]


def estimate_cost(
    flops: float,
    device: Device,
    mfu: float | None = None,
    goodput: float = 1.0,
    usd_per_hour: float | None = None,
) -> Cost:
    """Estimates a run's device hours, price and energy.

    Args:
        flops: of the whole run, counted as the utilisation was: every matmul, full attention.
        device: the accelerator.
        mfu: model FLOPs utilisation, 0 to 1; by default the device's own, which for GPUs is a share of all
            device hours and so has lost time in it already.
        goodput: share of the hours spent on steps that count, 0 to 1.
        usd_per_hour: price of a device hour; by default the device's list price.

    Raises:
        InputError: if a share is not within (0, 1], or the FLOPs or the price are not positive and finite.
    """
    mfu = device.mfu if mfu is None else mfu
    usd_per_hour = device.usd_per_hour if usd_per_hour is None else usd_per_hour
    faults = [
        f"{name} is {value:g}; it is a share between 0 and 100 %"
        for name, value in (("mfu", mfu), ("goodput", goodput))
        if not 0 < value <= 1
    ]
    faults += [
        f"{name} is {value:g}; it must be positive and finite"
        for name, value in (("flops", flops), ("price", usd_per_hour))
        if value is not None and not 0 < value < math.inf
    ]
    if faults:
        raise InputError(faults)
    hours = flops / (device.peak_flops * mfu * goodput) / 3600
    return Cost(
        flops=flops,
        device=device,
        mfu=mfu,
        goodput=goodput,
        device_hours=hours,
        price_usd=None if usd_per_hour is None else hours * usd_per_hour,
        energy_mwh=None if device.watts is None else hours * device.watts * PUE / 1e6,
        days_on={fleet: hours / fleet / 24 for fleet in FLEETS},
    )


def published_mfu(entry: ZooEntry) -> float | None:
    """FLOPs of a published run over what its published device hours could have done at the peak, or None."""
    if entry.gpu_hours is None:
        return None
    return entry.flops / (entry.gpu_hours * 3600 * DEVICES[entry.device].peak_flops)

"""Accelerators: peak speed, memory, power, price and attained utilisation, each with its source in hardware.toml."""

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict

from analysis.package_data import read_toml
from scaling.errors import InputError

_WHOLE = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Utilization:
    """Model FLOPs utilisation, the share of the peak that training attained (2204.02311, section 4.1).

    Attributes:
        mfu: model FLOPs over the FLOPs that the peak allows, 0 to 1.
        of: what it is a share of: all device hours, restarts and failures included; the time of the steps alone; or
            unsaid.
        source: where it was published or measured.
        span: least and largest of the runs that it stands for, or None where there is only one.
        counting: how the model FLOPs are counted: exact, every matmul with full attention; 6nd, the textbook; or
            unsaid.
    """

    mfu: float
    of: Literal["hours", "steps", "unsaid"]
    source: str
    span: tuple[float, float] | None = None
    counting: Literal["exact", "6nd", "unsaid"] = "exact"
    __pydantic_config__ = _WHOLE


@dataclass(frozen=True)
class Device:
    """One accelerator: a GPU, or a TPU chip.

    Attributes:
        name: name on the command line.
        kinds: regular expression for JAX's names of it, in lower case.
        peak_flops: dense bfloat16 FLOP/s, without sparsity.
        memory_gib: size of its HBM, GiB.
        bandwidth: bandwidth of its HBM, bytes/s.
        utilization: default for the cost of a training run; ``scaling.costing.default_utilization`` fills in its span
            where it is from the published Llamas.
        spec_source: source of speed, memory, bandwidth and power.
        price_source: source of the price.
        watts: board power limit, or the largest measured, or None where neither is published.
        usd_per_hour: list price without commitment, or None where none is published.
        mfu_6nd: default utilisation where FLOPs are counted as 6 N D, or None where its origin is not published.
        llamas_on: device of the published Llamas whose hours the default is from, or None if it is not from them.
    """

    name: str
    kinds: str
    peak_flops: float
    memory_gib: int
    bandwidth: float
    utilization: Utilization
    spec_source: str
    price_source: str
    watts: float | None = None
    usd_per_hour: float | None = None
    mfu_6nd: float | None = None
    llamas_on: str | None = None
    __pydantic_config__ = _WHOLE

    @property
    def memory_bytes(self) -> int:
        """Size of its HBM, bytes."""
        return self.memory_gib * 2**30


@dataclass(frozen=True)
class _Devices:
    """The content of ``hardware.toml``."""

    device: tuple[Device, ...]
    __pydantic_config__ = _WHOLE


DEVICES: dict[str, Device] = {device.name: device for device in read_toml("scaling", "hardware.toml", _Devices).device}


def find_device(name: str) -> Device:
    """The accelerator of that name, in any case.

    Raises:
        InputError: with the closest names, if there is none.
    """
    device = DEVICES.get(name.lower())
    if device is None:
        close = difflib.get_close_matches(name.lower(), DEVICES, n=2, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(DEVICES)}"
        raise InputError(f"no device is named {name!r}; {hint}")
    return device


def device_of_kind(kind: str) -> Device | None:
    """The device that JAX calls ``kind``, or None where it is not known here."""
    name = kind.strip().lower()
    return next((device for device in DEVICES.values() if re.fullmatch(device.kinds, name)), None)


def mfu(flops_per_s: float, kind: str) -> float:
    """Model FLOP/s as a share of the peak of the device that JAX calls ``kind``; NaN where the peak is not known."""
    device = device_of_kind(kind)
    return float("nan") if device is None else flops_per_s / device.peak_flops

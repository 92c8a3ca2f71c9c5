"""Peak speed, memory, power, price and attained utilisation of each accelerator, each with its source."""

import difflib
import re
from dataclasses import dataclass, replace
from typing import Literal

from scaling.errors import InputError

_GIB = 2**30


@dataclass(frozen=True)
class Utilization:
    """A share of the peak that training attained: model FLOPs utilisation (2204.02311, section 4.1).

    Attributes:
        mfu: model FLOPs over what the peak could have done, 0 to 1.
        span: the least and the largest of what it stands for, or None where there is only one.
        of: what it is a share of: all device hours, with what restarts and failures cost inside; the time of the
            steps alone; or unsaid.
        source: where it is from.
        counting: of the model FLOPs: exact, every matmul with full attention; 6nd, the textbook; or unsaid.
    """

    mfu: float
    span: tuple[float, float] | None
    of: Literal["hours", "steps", "unsaid"]
    source: str
    counting: Literal["exact", "6nd", "unsaid"] = "exact"


@dataclass(frozen=True)
class Device:
    """One accelerator: a GPU, or a TPU chip.

    Attributes:
        name: as the command line knows it.
        peak_flops: dense bfloat16 FLOP/s, without sparsity.
        memory_bytes: of HBM.
        bandwidth: of HBM, bytes/s.
        watts: board power limit, or the largest measured, or None where neither is published.
        usd_per_hour: list price without commitment, or None where none is published.
        utilization: default for the cost of a training run; where it is of the published Llamas, their spread is
            filled in by ``scaling.costing.default_utilization``.
        spec_source: of speed, memory, bandwidth and power.
        price_source: of the price.
        mfu_6nd: the default where FLOPs are counted by 6 N D, or None if nobody published what it is from.
        llamas_on: the device of the published Llamas whose hours the default is from, or None if it is not from them.
    """

    name: str
    peak_flops: float
    memory_bytes: int
    bandwidth: float
    watts: float | None
    usd_per_hour: float | None
    utilization: Utilization
    spec_source: str
    price_source: str
    mfu_6nd: float | None = None
    llamas_on: str | None = None


_LAMBDA = "Lambda, 8 GPUs on demand, 2026"
_GOOGLE = "Google Cloud, on demand, us-central1, 2026"
_TPU_DOCS = "Cloud TPU documentation; power is not published"
_HOURS_A100 = Utilization(
    0.45, None, "hours", "about the median of the published hours of Llama 1 and 2 (2302.13971, 2307.09288)"
)
_HOURS_H100 = Utilization(
    0.32, None, "hours", "about the median of the published hours of Llama 3 (model cards; the range has 3.1's too)"
)

_DEVICES = (
    Device(
        name="a100",
        peak_flops=312e12,
        memory_bytes=80 * _GIB,
        bandwidth=2.039e12,
        watts=400,
        usd_per_hour=2.79,
        utilization=_HOURS_A100,
        spec_source="NVIDIA A100 80GB SXM datasheet",
        price_source=_LAMBDA,
        mfu_6nd=0.43,
        llamas_on="a100",
    ),
    Device(
        name="h100",
        peak_flops=989e12,
        memory_bytes=80 * _GIB,
        bandwidth=3.35e12,
        watts=700,
        usd_per_hour=3.99,
        utilization=_HOURS_H100,
        spec_source="NVIDIA H100 SXM datasheet, half of the figure with sparsity",
        price_source=_LAMBDA,
        mfu_6nd=0.28,
        llamas_on="h100",
    ),
    Device(
        name="h200",
        peak_flops=989e12,
        memory_bytes=141 * _GIB,
        bandwidth=4.8e12,
        watts=700,
        usd_per_hour=3.50,
        utilization=replace(_HOURS_H100, source="the H100's, whose compute it shares: " + _HOURS_H100.source),
        spec_source="NVIDIA H200 SXM datasheet, half of the figure with sparsity",
        price_source="Nebius, 8 GPUs on demand, 2026",
        mfu_6nd=0.28,
        llamas_on="h100",
    ),
    Device(
        name="b200",
        peak_flops=2250e12,
        memory_bytes=180 * _GIB,
        bandwidth=8.0e12,
        watts=1000,
        usd_per_hour=6.69,
        utilization=replace(_HOURS_H100, source="no hours published, so the H100's: " + _HOURS_H100.source),
        spec_source="NVIDIA DGX B200 datasheet: an eighth; FLOP/s half of the figure with sparsity",
        price_source=_LAMBDA,
        mfu_6nd=0.28,
        llamas_on="h100",
    ),
    Device(
        name="v4",
        peak_flops=275e12,
        memory_bytes=32 * _GIB,
        bandwidth=1.2e12,
        watts=192,
        usd_per_hour=3.22,
        # 2.53e24 FLOPs by 6ND in 6144 chips * 1200 h + 3072 chips * 336 h. Attention adds 1 %; the range has both.
        utilization=Utilization(
            0.307,
            (0.304, 0.462),
            "hours",
            "PaLM 540B (2204.02311): 30.7 % of 8.4M chip hours (with 6ND 30.4 %), 46.2 % of step time",
        ),
        spec_source="Cloud TPU documentation; power is the largest measured, of 90-192 W",
        price_source="Google Cloud, on demand, us-central2, 2026",
        mfu_6nd=0.304,
    ),
    Device(
        name="v5e",
        peak_flops=197e12,
        memory_bytes=16 * _GIB,
        bandwidth=0.819e12,
        watts=None,
        usd_per_hour=1.20,
        utilization=Utilization(
            0.46, (0.46, 0.67), "steps", "MaxText's benchmarks of 16B-128B on 256-8192 chips: 46-67 % of step time"
        ),
        spec_source=_TPU_DOCS,
        price_source=_GOOGLE,
    ),
    Device(
        name="v5p",
        peak_flops=459e12,
        memory_bytes=95 * _GIB,
        bandwidth=2.765e12,
        watts=None,
        usd_per_hour=4.20,
        utilization=Utilization(
            0.52, (0.52, 0.71), "steps", "MaxText's benchmarks of 32B-1024B on 64-4096 chips: 52-71 % of step time"
        ),
        spec_source=_TPU_DOCS,
        price_source=_GOOGLE,
    ),
    Device(
        name="v6e",
        peak_flops=918e12,
        memory_bytes=32 * _GIB,
        bandwidth=1.638e12,
        watts=None,
        usd_per_hour=2.70,
        utilization=Utilization(
            0.43, (0.43, 0.50), "steps", "Google's recipes for Llama 3.1 405B and 70B: 43 and 50 % of step time"
        ),
        spec_source=_TPU_DOCS,
        price_source=_GOOGLE,
    ),
    Device(
        name="v7",
        peak_flops=2307e12,
        memory_bytes=192 * _GIB,
        bandwidth=7.38e12,
        watts=None,
        usd_per_hour=None,
        utilization=Utilization(
            0.56, (0.56, 0.57), "steps", "Google's recipes for Llama 3.1 70B and 405B in bf16: 56-57 % of step time"
        ),
        spec_source="Cloud TPU documentation (TPU7x); power is not published",
        price_source="not published",
    ),
)
DEVICES: dict[str, Device] = {device.name: device for device in _DEVICES}


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


# What JAX calls these devices, or people in a table, in lower case. Other makes of the same chip (PCIe, NVL, 40 GB, a
# slice of one, a superchip) have another peak, power or price.
_KINDS = {
    "a100": r"(nvidia )?a100(-sxm4?-80gb)?",
    "h100": r"(nvidia )?h100( 80gb hbm3)?",
    "h200": r"(nvidia )?h200",
    "b200": r"(nvidia )?b200",
    "v4": r"(tpu )?v4",
    "v5e": r"(tpu )?v5( lite|e)",
    "v5p": r"tpu v5|(tpu )?v5p",
    "v6e": r"(tpu )?v6( lite|e)",
    "v7": r"tpu7x?|(tpu )?v7",
}


def device_of_kind(kind: str) -> Device | None:
    """The device that JAX calls ``kind``, or None where it is not known here."""
    return next((DEVICES[name] for name, names in _KINDS.items() if re.fullmatch(names, kind.strip().lower())), None)


def mfu(flops_per_s: float, kind: str) -> float:
    """Model FLOP/s as a share of the peak of the device that JAX calls ``kind``; NaN where the peak is not known."""
    device = device_of_kind(kind)
    return float("nan") if device is None else flops_per_s / device.peak_flops

"""Peak speed, memory, power, price and attained utilisation of each accelerator, each with its source."""

import difflib
from dataclasses import dataclass

from scaling.errors import InputError

_GIB = 2**30


@dataclass(frozen=True)
class Device:
    """One accelerator: a GPU, or a TPU chip.

    Attributes:
        name: as the command line knows it.
        peak_flops: dense bfloat16 FLOP/s, without sparsity.
        memory_bytes: of HBM.
        bandwidth: of HBM, bytes/s.
        watts: board power limit, or None where the maker publishes none.
        usd_per_hour: list price without commitment, or None where none is published.
        mfu: default share of the peak that a training run attains over all of its device hours, 0 to 1.
        spec_source: of speed, memory, bandwidth and power.
        price_source: of the price.
        mfu_source: of the utilisation.
    """

    name: str
    peak_flops: float
    memory_bytes: int
    bandwidth: float
    watts: float | None
    usd_per_hour: float | None
    mfu: float
    spec_source: str
    price_source: str
    mfu_source: str


_LAMBDA = "Lambda, 8 GPUs on demand, September 2026"
_GOOGLE = "Google Cloud, on demand, US region"
_LLAMA12 = "published hours of Llama 1 and 2 (2302.13971, 2307.09288): 38-54 %, median 46 %"
_LLAMA3 = "published hours of Llama 3 (model cards): 19, 32, 37 %, median 32 %"
_NONE = "no hours published; the lowest of the others, the H100's"

_DEVICES = (
    Device(
        name="a100",
        peak_flops=312e12,
        memory_bytes=80 * _GIB,
        bandwidth=2.039e12,
        watts=400,
        usd_per_hour=2.79,
        mfu=0.45,
        spec_source="NVIDIA A100 80GB SXM datasheet",
        price_source=_LAMBDA,
        mfu_source=_LLAMA12,
    ),
    Device(
        name="h100",
        peak_flops=989e12,
        memory_bytes=80 * _GIB,
        bandwidth=3.35e12,
        watts=700,
        usd_per_hour=3.99,
        mfu=0.32,
        spec_source="NVIDIA H100 SXM datasheet, half of the figure with sparsity",
        price_source=_LAMBDA,
        mfu_source=_LLAMA3,
    ),
    Device(
        name="h200",
        peak_flops=989e12,
        memory_bytes=141 * _GIB,
        bandwidth=4.8e12,
        watts=700,
        usd_per_hour=4.45,
        mfu=0.32,
        spec_source="NVIDIA H200 SXM datasheet, half of the figure with sparsity",
        price_source="Akash, on demand, September 2026",
        mfu_source="as the H100, whose compute it shares: " + _LLAMA3,
    ),
    Device(
        name="b200",
        peak_flops=2250e12,
        memory_bytes=180 * _GIB,
        bandwidth=8.0e12,
        watts=1000,
        usd_per_hour=6.69,
        mfu=0.32,
        spec_source="NVIDIA DGX B200 datasheet: an eighth; FLOP/s half of the figure with sparsity",
        price_source=_LAMBDA,
        mfu_source=_NONE,
    ),
    Device(
        name="v4",
        peak_flops=275e12,
        memory_bytes=32 * _GIB,
        bandwidth=1.2e12,
        watts=192,
        usd_per_hour=3.22,
        mfu=0.46,
        spec_source="Google Cloud TPU documentation; power: the largest measured (2304.01433, table 4)",
        price_source=_GOOGLE,
        mfu_source="PaLM 540B, 46.2 % of step time (2204.02311)",
    ),
    Device(
        name="v5e",
        peak_flops=197e12,
        memory_bytes=16 * _GIB,
        bandwidth=0.819e12,
        watts=None,
        usd_per_hour=1.20,
        mfu=0.46,
        spec_source="Google Cloud TPU documentation; power is not published",
        price_source=_GOOGLE,
        mfu_source="MaxText, the lowest of 46-67 % of step time (128B on 32 x v5e-256)",
    ),
    Device(
        name="v5p",
        peak_flops=459e12,
        memory_bytes=95 * _GIB,
        bandwidth=2.765e12,
        watts=None,
        usd_per_hour=4.20,
        mfu=0.52,
        spec_source="Google Cloud TPU documentation; power is not published",
        price_source=_GOOGLE,
        mfu_source="MaxText, the lowest of 52-71 % of step time (1024B on 2 x v5p-2048)",
    ),
    Device(
        name="v6e",
        peak_flops=918e12,
        memory_bytes=32 * _GIB,
        bandwidth=1.638e12,
        watts=None,
        usd_per_hour=2.70,
        mfu=0.32,
        spec_source="Google Cloud TPU documentation; power is not published",
        price_source=_GOOGLE,
        mfu_source=_NONE,
    ),
    Device(
        name="v7",
        peak_flops=2307e12,
        memory_bytes=192 * _GIB,
        bandwidth=7.38e12,
        watts=None,
        usd_per_hour=None,
        mfu=0.32,
        spec_source="Google Cloud TPU documentation (TPU7x); power is not published",
        price_source="not published",
        mfu_source=_NONE,
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


# What JAX calls these devices, in lower case; "tpu v5" alone is the v5p.
_KINDS = {
    "a100": "a100",
    "h100": "h100",
    "h200": "h200",
    "b200": "b200",
    "tpu v4": "v4",
    "tpu v5 lite": "v5e",
    "tpu v5": "v5p",
    "tpu v6": "v6e",
    "tpu7": "v7",
}


def device_of_kind(kind: str) -> Device | None:
    """The device that JAX calls ``kind``, or None where it is not known here."""
    return next((find_device(name) for part, name in _KINDS.items() if part in kind.lower()), None)


def mfu(flops_per_s: float, kind: str) -> float:
    """Model FLOP/s as a share of the peak of the device that JAX calls ``kind``; NaN where the peak is not known."""
    device = device_of_kind(kind)
    return float("nan") if device is None else flops_per_s / device.peak_flops

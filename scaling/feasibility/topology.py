"""Clusters of accelerators: which slices of a TPU exist, and how their chips are connected, each with its source.

Bandwidths are of one direction: what a chip can receive while it sends as much.
"""

import math
from dataclasses import dataclass

from scaling.errors import InputError
from scaling.hardware import Device, find_device

_CUBE = 4  # chips on a side of the block that optical switches connect


@dataclass(frozen=True)
class Tpu:
    """A generation of TPU.

    Attributes:
        compiler_name: libtpu's name for it.
        accelerator_type: of one host, which libtpu asks for.
        listed: the slices that the documentation lists, smallest first.
        most_chips: of the largest slice, where cubes may be put together at will; None where only those listed exist.
        wraps_at: a side that is a multiple of this is a ring, otherwise a line; where there are cubes, only if every
            side is, as it is the switches between cubes that close the rings.
        link_bandwidth: of one link to a neighbour, bytes/s one way: the published bandwidth of a chip over all links
            and both ways.
        megacore: whether libtpu needs the flag that shows a chip's two cores as one device.
        devices_per_chip: as libtpu shows it.
        source: of the slices and the bandwidth.
    """

    compiler_name: str
    accelerator_type: str
    listed: tuple[str, ...]
    most_chips: int | None
    wraps_at: int
    link_bandwidth: float
    source: str
    megacore: bool = False
    devices_per_chip: int = 1


_CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8", "8x8x16", "8x16x16")
_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_DOCS = "Google Cloud TPU documentation"

TPUS: dict[str, Tpu] = {
    "v4": Tpu("v4", "v4-8", (*_CUBES, "16x16x16"), 4096, _CUBE, 50e9, f"{_DOCS}; links: 2304.01433", megacore=True),
    "v5e": Tpu("v5e", "v5litepod-4", _FLAT, None, 16, 400e9 / 8, _DOCS),
    "v5p": Tpu("v5p", "v5p-8", (*_CUBES, "16x16x16", "16x16x24"), 6144, _CUBE, 1200e9 / 12, _DOCS),
    "v6e": Tpu("v6e", "v6e-4", _FLAT, None, 16, 800e9 / 8, _DOCS),
    "v7": Tpu(
        "tpu7x", "tpu7x-8", (*_CUBES, "16x16x16", "16x24x24"), 9216, _CUBE, 1200e9 / 12, _DOCS, devices_per_chip=2
    ),
}


@dataclass(frozen=True)
class Gpu:
    """A node of eight GPUs, and the network between nodes.

    Attributes:
        nvlink: bytes/s one way of a GPU to those of its node.
        network: bytes/s one way of a GPU to other nodes.
        source: of both.
    """

    nvlink: float
    network: float
    source: str


NODE = 8
_LISTED_GPUS = (1, 2, 4, *(NODE * 2**i for i in range(12)))

GPUS: dict[str, Gpu] = {
    "a100": Gpu(300e9, 25e9, "NVIDIA DGX A100 datasheet: NVLink 600 GB/s both ways, 200 Gb/s of network a GPU"),
    "h100": Gpu(450e9, 50e9, "NVIDIA DGX H100 datasheet: NVLink 900 GB/s both ways, 400 Gb/s of network a GPU"),
    "h200": Gpu(450e9, 50e9, "NVIDIA DGX H200 datasheet: NVLink 900 GB/s both ways, 400 Gb/s of network a GPU"),
    "b200": Gpu(900e9, 50e9, "NVIDIA DGX B200 datasheet: NVLink 1.8 TB/s both ways, 400 Gb/s of network a GPU"),
}


@dataclass(frozen=True)
class Topology:
    """A slice of TPU chips, or a number of GPUs, and their connections.

    Attributes:
        device: the chip.
        sides: of the slice, in chips; of GPUs the one number.
        tpu, gpu: of its kind; the other is None.
    """

    device: Device
    sides: tuple[int, ...]
    tpu: Tpu | None
    gpu: Gpu | None

    @property
    def name(self) -> str:
        """The name on the command line, for example ``v5p:8x8x8`` or ``h100:64``."""
        return f"{self.device.name}:{'x'.join(map(str, self.sides))}"

    @property
    def chips(self) -> int:
        """Number of chips, or of GPUs."""
        return math.prod(self.sides)

    @property
    def devices_per_chip(self) -> int:
        """Number of devices that the compiler sees in a chip."""
        return 1 if self.tpu is None else self.tpu.devices_per_chip

    @property
    def devices(self) -> int:
        """Number of devices as the compiler counts them."""
        return self.chips * self.devices_per_chip

    @property
    def links(self) -> int:
        """Links of the chip of a TPU slice that has fewest: two along a ring, one at the end of a line."""
        assert self.tpu is not None
        rings = [side % self.tpu.wraps_at == 0 for side in self.sides]
        if self.tpu.most_chips is not None and not all(rings):
            rings = [False] * len(rings)
        return sum(2 if ring else side > 1 for side, ring in zip(self.sides, rings, strict=True))


def find_topology(text: str) -> Topology:
    """A topology by its name, in any case.

    Raises:
        InputError: one line: the device is not known, or there is no such slice; the valid ones are listed.
    """
    kind, colon, size = text.strip().lower().partition(":")
    device = find_device(kind)
    tpu, gpu = TPUS.get(device.name), GPUS.get(device.name)
    if tpu is None and gpu is None:
        raise InputError(
            f"{text!r}: the connections of {device.name} are not known here; known: {', '.join((*TPUS, *GPUS))}"
        )
    sides = tuple(int(side) for side in size.split("x")) if colon and _is_shape(size) else ()
    if gpu is not None:
        if len(sides) == 1 and (sides[0] in _LISTED_GPUS or sides[0] % NODE == 0) and 0 < sides[0] <= _LISTED_GPUS[-1]:
            return Topology(device, sides, None, gpu)
        raise InputError(
            f"{text!r} is no number of {device.name}: 1, 2, 4, or a multiple of {NODE} up to {_LISTED_GPUS[-1]}, "
            f"such as {device.name}:64"
        )
    assert tpu is not None
    if "x".join(map(str, sides)) in tpu.listed or _of_cubes(sides, tpu):
        return Topology(device, sides, tpu, None)
    more = f", and larger multiples of {_CUBE} in rising order up to {tpu.most_chips} chips" if tpu.most_chips else ""
    raise InputError(f"{text!r} is no slice of a {device.name}; there are {', '.join(tpu.listed)}{more}")


def listed(kind: str) -> list[Topology]:
    """The listed topologies of a kind of device, smallest first."""
    sizes = TPUS[kind].listed if kind in TPUS else map(str, _LISTED_GPUS)
    return [find_topology(f"{kind}:{size}") for size in sizes]


def _is_shape(text: str) -> bool:
    sides = text.split("x")
    return all(side.isascii() and side.isdigit() and len(side) < 7 for side in sides)


def _of_cubes(sides: tuple[int, ...], tpu: Tpu) -> bool:
    return (
        tpu.most_chips is not None
        and len(sides) == 3
        and 0 < math.prod(sides) <= tpu.most_chips
        and all(side % _CUBE == 0 for side in sides)
        and list(sides) == sorted(sides)
    )

"""Topologies: what exists, what does not, and how chips are connected."""

import re

import pytest

from scaling.errors import InputError
from scaling.feasibility.topology import GPUS, TPUS, find_topology, listed
from scaling.hardware import DEVICES


@pytest.mark.parametrize(
    ("name", "chips", "devices", "links"),
    [
        ("v5p:8x8x8", 512, 512, 6),
        ("v5p:2x2x1", 4, 4, 2),
        ("v5p:2x4x4", 32, 32, 3),
        ("V4:4x4x12", 192, 192, 6),
        ("v5e:16x16", 256, 256, 4),
        ("v4:2x2x4", 16, 16, 3),
        ("v5e:8x16", 128, 128, 3),
        ("v6e:1x1", 1, 1, 0),
        ("v7:4x4x4", 64, 128, 6),
    ],
)
def test_a_slice(name: str, chips: int, devices: int, links: int) -> None:
    topology = find_topology(name)
    assert (topology.name, topology.chips, topology.devices, topology.links) == (name.lower(), chips, devices, links)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("v5p:5x5x5", "no slice of a v5p; there are 2x2x1, 2x2x2,"),
        ("v5p:8x8x4", "in rising order"),
        ("v5p:64", "no slice of a v5p"),
        ("v5p", "no slice of a v5p"),
        ("v5p:0x4x4", "no slice"),
        ("v5p:32x32x32", "up to 6144 chips"),
        ("v5e:4x12", "there are 1x1, 2x2, 2x4, 4x4, 4x8, 8x8, 8x16, 16x16"),
        ("v5e:4x-4", "no slice"),
        ("h100:12", "a multiple of 8"),
        ("h100:8x8", "no number of h100"),
        ("h100:", "no number of h100"),
        ("h100:0", "no number of h100"),
        ("h100:99999999999999", "no number of h100"),
        ("h10:64", "did you mean h100"),
        ("", "no device is named"),
    ],
)
def test_what_does_not_exist(name: str, says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)) as caught:
        find_topology(name)
    assert len(caught.value.errors) == 1
    assert "\n" not in caught.value.errors[0]


def test_every_device_has_topologies_that_exist_smallest_first() -> None:
    assert TPUS.keys() | GPUS.keys() == DEVICES.keys()
    for kind in DEVICES:
        chips = [topology.chips for topology in listed(kind)]
        assert chips == sorted(set(chips))
        assert len(chips) > 5


def test_links_add_up_to_the_published_bandwidth_of_a_chip() -> None:
    # Cloud TPU documentation: bytes/s both ways over all links.
    for name, published in (("v5p:8x8x8", 1200e9), ("v5e:16x16", 400e9), ("v6e:16x16", 800e9), ("v7:4x4x4", 1200e9)):
        topology = find_topology(name)
        assert topology.tpu is not None
        assert 2 * topology.links * topology.tpu.link_bandwidth == published

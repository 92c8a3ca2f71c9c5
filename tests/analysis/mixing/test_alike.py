"""Sources of which only the sum counts are told as such, whatever else the law is."""

from dataclasses import replace

import numpy as np
import pytest
from mixing.planted import Planted

from analysis.mixing.contrast.alike import alike_sources
from analysis.mixing.points import MixturePoints
from analysis.mixing.reading import read_mixtures

FIVE = ("a", "b", "c", "d", "e")


def points(alike: bool, seed: int, sources: tuple[str, ...] = FIVE) -> MixturePoints:
    return read_mixtures(Planted(sources, alike, seed).table(22, 0.005, seed)).fit


@pytest.mark.parametrize("seed", range(6))
def test_sources_that_stand_for_each_other_are_found(seed: int) -> None:
    assert alike_sources(points(True, seed), range(5), range(5)) == ((0, 1),)


@pytest.mark.parametrize("seed", range(6))
def test_others_are_not(seed: int) -> None:
    assert alike_sources(points(False, seed), range(5), range(5)) == ()


def test_only_domains_that_count_tell() -> None:
    """Sources that differ on their own domains alone stand for each other on the others."""
    made = points(True, 0)
    losses = made.losses.copy()
    losses[:, 0] *= np.exp(0.3 * made.shares[:, 1])
    apart = replace(made, losses=losses)
    assert alike_sources(apart, range(5), range(5)) == ()
    assert alike_sources(apart, [2, 3, 4], range(5)) == ((0, 1),)
    assert alike_sources(apart, [2, 3, 4], [0, 2, 3]) == ()


def test_two_sources_alone_have_no_sum_to_tell() -> None:
    assert alike_sources(points(False, 0, ("a", "b")), range(2), range(2)) == ()

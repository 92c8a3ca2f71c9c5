"""What a choice rests on that may not hold: each warning where it is due, and nowhere else."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from jaxtyping import Float
from mixing.planted import SMALL, Planted

from analysis.mixing.doubts import doubts
from analysis.mixing.points import MixturePoints
from analysis.mixing.ranges import Ranges
from analysis.mixing.reading import read_mixtures

LAW = Planted()
RUNS = read_mixtures(LAW.table(), unique={"code": 1e9, "docs": 1e9, "web": 1e9}).fit
ONE_SCALE = read_mixtures(pd.concat([LAW.runs(LAW.shares(9), SMALL, seed) for seed in (0, 1)])).fit
MIDDLE = RUNS.reference
EDGE = np.array([0.999, 0.001, 0.0])


def codes(
    points: MixturePoints, other: Float[np.ndarray, " sources"] = MIDDLE, flat: tuple[bool, ...] = (False,) * 3
) -> list[str]:
    told = Ranges(np.full(3, 0.1), np.full(3, 0.9), np.array(flat), ())
    return [warning.code for warning in doubts(points, told, {"chosen": EDGE, "uniform": other}, 0.0)]


def test_nothing_is_doubted_without_a_reason() -> None:
    assert codes(RUNS) == []


def test_mixtures_at_one_scale_are_told() -> None:
    assert "one-scale" in codes(ONE_SCALE)
    few = RUNS.take((RUNS.cells == 0) | (RUNS.mixtures < 2))
    assert codes(few) == ["one-scale"]  # two mixtures at a second size show no contrast


def test_a_mixture_outside_of_those_tried_is_told() -> None:
    assert codes(RUNS, EDGE) == ["outside-swarm"]
    assert codes(RUNS, RUNS.tried[3]) == []


def test_sources_of_unknown_size_are_told() -> None:
    assert codes(replace(RUNS, unique=np.array([1e9, np.nan, 1e9]))) == ["sizes-unknown"]


def test_flat_shares_are_named() -> None:
    told = Ranges(np.zeros(3), np.ones(3), np.array([True, False, True]), ((0, 2),))
    [warning] = doubts(RUNS, told, {"chosen": MIDDLE}, 0.0)
    assert warning.code == "flat"
    assert "code, web" in warning.message
    assert "of code and web only the sum counts" in warning.message


def test_a_far_target_is_told() -> None:
    told = Ranges(np.zeros(3), np.ones(3), np.zeros(3, bool), ())
    near, far = (
        [warning.code for warning in doubts(RUNS, told, {"chosen": MIDDLE}, np.log(factor))] for factor in (9.0, 30.0)
    )
    assert (near, far) == ([], ["far-extrapolation"])


@pytest.mark.parametrize(("epochs", "found"), [(3.9, []), (4.2, ["repeated-source"])])
def test_repeated_sources_are_told(epochs: float, found: list[str]) -> None:
    most = float((RUNS.shares[:, 0] * RUNS.tokens).max())
    assert codes(replace(RUNS, unique=np.array([most / epochs, 1e9, 1e9]))) == found

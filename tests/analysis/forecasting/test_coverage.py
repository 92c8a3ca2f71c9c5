"""Intervals hold what they claim to hold, on simulated sweeps whose truth is known.

A share p of k sweeps has the standard deviation sqrt(p (1 - p) / k). Shares are held to within 3.3 of them, which one
in a thousand oversteps by chance. The sweeps are always the same, so that a pass stays one.
"""

import numpy as np
import pytest

from analysis.laws import LAWS
from benchmarks.coverage import LEVELS, PARAMETERS, of_forecasts, of_parameters, sampling_error

BOUND = 3.3


def check_parameters(law: str, design: str, noise: float, sweeps: int) -> None:
    shares = of_parameters(law, design, noise, sweeps, bootstrap=100)
    assert shares.shape == (3, len(LAWS[law].names))
    for level, share in zip((*LEVELS, 0.683), shares, strict=True):
        assert share == pytest.approx(level, abs=BOUND * sampling_error(level, sweeps)), (level, share)


@pytest.mark.parametrize(
    ("law", "design", "noise"),
    [("chinchilla", "isoflop", 0.004), ("chinchilla-tied", "overtrain", 0.001), ("compute", "isoflop", 0.01)],
)
def test_intervals_of_parameters(law: str, design: str, noise: float) -> None:
    check_parameters(law, design, noise, sweeps=60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("law", "design", "noise"),
    # A sandwich of so few clusters falls short, as is known of it: the benchmark measures by how much.
    [reported for reported in PARAMETERS if reported[1] != "few_trunks"],
)
def test_intervals_of_parameters_in_200_sweeps(law: str, design: str, noise: float) -> None:
    check_parameters(law, design, noise, sweeps=200)


def check_forecasts(truth: str, law: str, design: str, noise: float, sweeps: int, least: float) -> None:
    found = of_forecasts(truth, law, design, noise, sweeps, bootstrap=100)
    shares = found.covered.mean(axis=0)
    assert (shares >= least - BOUND * sampling_error(least, sweeps)).all(), shares
    # Nor by being useless: 90 % of Gaussian errors lie within 2.1 times their mean, and twice that is too much.
    width, error = np.median(found.half_width, axis=0), np.abs(found.error).mean(axis=0)
    assert (width < 4.2 * error).all(), (width, error)


@pytest.mark.parametrize(("truth", "design", "least"), [("chinchilla", "isoflop", 0.9), ("crossed", "overtrain", 0.8)])
def test_forecasts_of_a_law(truth: str, design: str, least: float) -> None:
    check_forecasts(truth, "chinchilla", design, 0.004, sweeps=20, least=least)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "law", "design", "sweeps", "least"),
    [
        ("compute", "compute", "isoflop", 80, 0.9),
        ("chinchilla", "chinchilla", "few_trunks", 80, 0.9),
        ("chinchilla", "chinchilla-tied", "isoflop", 80, 0.8),
    ],
)
def test_forecasts_of_many_sweeps(truth: str, law: str, design: str, sweeps: int, least: float) -> None:
    check_forecasts(truth, law, design, 0.004, sweeps, least)

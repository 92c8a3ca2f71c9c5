"""Choices where the best mixture is known: the optimum, a direction that does not matter, and stated probabilities."""

from functools import cache

import numpy as np
import pytest
from mixing.planted import Planted

from analysis.mixing.choice import Choice
from analysis.mixing.choose import choose
from analysis.mixing.optimum import Allowed, least
from analysis.mixing.reading import read_mixtures
from analysis.mixing.request import ChoiceRequest

NAMES = ("a", "b", "c", "d", "e")
TARGET = (1e7, 2e8)
NOISE, MIXTURES = 0.005, 22


@cache
def chosen(sources: int, alike: bool, seed: int) -> tuple[Planted, Choice]:
    law = Planted(NAMES[:sources], alike, seed)
    table = read_mixtures(law.table(MIXTURES, NOISE, seed))
    return law, choose(table, ChoiceRequest(*TARGET, kl=0.0, draws=100))


def objective(law: Planted, shares: np.ndarray) -> np.ndarray:
    return np.asarray(law.losses(shares, *TARGET).mean(axis=1))


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_the_optimum_of_five_sources_is_found(seed: int) -> None:
    """Acceptance 17: within a total variation of .05 of the best mixture in the convex hull."""
    law, choice = chosen(5, False, seed)
    tried = law.shares(MIXTURES, seed)
    best = least(lambda shares: objective(law, shares), Allowed(tried, np.ones(5)), tried.mean(axis=0))
    mixture = np.array(list(choice.shares.values()))
    assert 0.5 * np.abs(mixture - best).sum() <= 0.05
    assert 0.5 * np.abs(tried[objective(law, tried).argmin()] - best).sum() > 0.05  # no mixture that was tried does
    low, high = (np.array([choice.ranges[name][end] for name in law.sources]) for end in (0, 1))
    assert (low <= best + 0.02).all()
    assert (best - 0.02 <= high).all()


def test_the_gain_is_what_it_is_in_truth() -> None:
    law, choice = chosen(5, False, 0)
    for name in ("uniform", "best_run"):
        pair = np.array([list(choice.candidates[each].shares.values()) for each in ("chosen", name)])
        own, other = objective(law, pair)
        assert choice.gain[name].low <= other / own - 1 <= choice.gain[name].high
        assert (choice.p_better[name] > 0.5) == (own < other)


def test_two_sources_that_stand_for_each_other_are_flat() -> None:
    _, choice = chosen(3, True, 0)
    assert choice.flat == ("a", "b")
    assert [warning.code for warning in choice.warnings].count("flat") == 1


def test_sources_that_matter_are_not() -> None:
    for sources in (3, 5):
        _, choice = chosen(sources, False, 0)
        assert choice.flat == ()


def test_the_same_runs_choose_the_same() -> None:
    first = chosen(3, False, 0)[1].to_dict()
    again = chosen.__wrapped__(3, False, 0)[1].to_dict()
    assert {**first, "created": ""} == {**again, "created": ""}

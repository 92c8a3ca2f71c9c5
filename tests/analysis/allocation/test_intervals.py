"""Intervals of an allocation from published constants: their draws, and what they leave open."""

from dataclasses import replace

import numpy as np
import pytest
from surfaces import quick

from analysis.allocation.allocate import allocate
from analysis.allocation.estimate import SurfaceEstimate, published_surface
from analysis.allocation.results import Request
from analysis.allocation.surface import ExponentScaling
from analysis.fitting.published import PUBLISHED

EPOCH, SARDANA = quick("chinchilla-epoch"), quick("chinchilla-sardana")


def test_published_exponents_vary_about_the_centre_of_their_runs() -> None:
    """The level and the slopes there are held, and E follows: by as much as the paper's own standard error of it."""
    runs = PUBLISHED["chinchilla-epoch"].runs
    at = (float(np.log(runs.params)), float(np.log(runs.tokens)))
    surface = EPOCH.surface
    other = replace(surface, exponent_scaling=ExponentScaling(at, (1.05, 0.95)))

    def loss(where: object, n: float, d: float) -> float:
        return float(where.loss(np.array([n]), np.array([d]))[0])  # type: ignore[attr-defined]

    assert loss(other, *at) == pytest.approx(loss(surface, *at))
    for step in ((1e-4, 0.0), (0.0, 1e-4)):
        moved = (at[0] + step[0], at[1] + step[1])
        slope = loss(surface, *moved) - loss(surface, *at)
        assert loss(other, *moved) - loss(other, *at) == pytest.approx(slope, rel=1e-3)
    # Far off only E is left; nearer, the excess loss falls with the exponents.
    p = PUBLISHED["chinchilla-epoch"].params
    excess = [loss(other, n, 300.0) - loss(other, 300.0, 300.0) for n in (20.0, 30.0)]
    assert np.log(excess[0] / excess[1]) / 10 == pytest.approx(1.05 * p["alpha"], rel=1e-6)
    floors = [loss(draw, 300.0, 300.0) for draw in published_surface("chinchilla-epoch").draws]
    assert np.std(floors) == pytest.approx(PUBLISHED["chinchilla-epoch"].stderr["E"], rel=0.2)


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_every_paper_has_an_interval_and_says_of_what(name: str) -> None:
    known = published_surface(name)
    made = allocate(known, Request(flops=100 * known.largest))
    assert made.interval is not None
    for key in ("params", "tokens", "loss"):
        low, high = made.interval[key]
        assert high is not None
        assert low < getattr(made, key) < high
    assert ("assumed" in made.covers) == (not PUBLISHED[name].stderr)


def test_a_loss_that_some_draws_never_reach() -> None:
    known = replace(SARDANA, draws=(*7 * SARDANA.draws[:1], *3 * (EPOCH.surface,)))
    made = allocate(known, Request(loss=1.8))  # below E of the second
    assert made.interval is not None
    low, high = made.interval["flops"]
    assert low is not None
    assert high is None


def endless(known: SurfaceEstimate, share: float) -> SurfaceEstimate:
    """With 20 draws, of which a share give tokens almost no value, so that the largest size is always best."""
    member = known.surface.members[0]
    useless = {**PUBLISHED["chinchilla-epoch"].params, "B": 1e-9}
    surface = replace(known.surface, members=(replace(member, theta=member.law.internal(useless)),))
    count = round(20 * share)
    return replace(known, draws=(*(20 - count) * known.draws[:1], *count * (surface,)))


def test_a_draw_without_a_best_split_has_no_limit() -> None:
    some = allocate(endless(EPOCH, 0.2), Request(flops=1e23))
    assert some.interval is not None
    low, high = some.interval["params"]
    assert low is not None
    assert low <= some.params
    assert high is None
    assert some.interval["tokens"][0] is None
    assert "excess_loss" not in some.interval
    assert "20% of the resampled fits have no best split" in some.warnings[0].message
    most = allocate(endless(EPOCH, 0.6), Request(flops=1e23))
    assert (most.interval, most.covers) == (None, "nothing, as 60% of the resampled fits have no best split")
    assert [w.code for w in most.warnings] == ["not-bracketed"]
    beside = allocate(endless(EPOCH, 0.2), Request(params=1e9, tokens=1e12))
    assert beside.interval is not None
    assert beside.interval["optimum_params"][1] is None
    assert beside.interval["training_ratio"][1] is None


def test_a_draw_that_a_size_does_not_suffice_for() -> None:
    known = published_surface("chinchilla-epoch")
    made = allocate(replace(known, draws=known.draws[:20]), Request(params=8.03e9, loss=2.0, inference_tokens=1e12))
    assert made.interval is not None
    assert not {"params", "loss"} & set(made.interval)
    assert made.interval["tokens"][1] is None
    low, high = made.interval["optimum_params"]
    assert low is not None
    assert high is not None
    assert 2e10 < low < high < 2e11
    low, high = made.interval["total_saving"]
    assert low is None
    assert high is not None
    assert high < 0


def test_an_interval_holds_its_estimate() -> None:
    known = replace(EPOCH, draws=(quick("chinchilla-hoffmann").surface,))
    made = allocate(known, Request(flops=5.76e23))
    assert made.interval is not None
    assert made.interval["params"] == pytest.approx((32e9, made.params), rel=0.01)

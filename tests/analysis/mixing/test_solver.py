"""The solver: planted parameters, runs of no weight, and members that do not see each other."""

from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import Float
from mixing.planted import Planted

from analysis.mixing.contrast.fitting import fit_shape
from analysis.mixing.contrast.shapes import SHAPES
from analysis.mixing.points import MixturePoints
from analysis.mixing.reading import read_mixtures

LAW = Planted()
POINTS = read_mixtures(LAW.table(12, noise=0.001)).fit
ONES = np.ones((1, len(POINTS)))
NEW = LAW.shares(8, seed=5)


def contrast(points: MixturePoints, weights: Float[np.ndarray, "batch runs"]) -> Float[np.ndarray, "batch mixtures"]:
    """What new mixtures add to the log loss on the first domain, less their mean."""
    fitted = fit_shape(SHAPES["inverse"], points, 0, 0, weights)
    found = fitted.at(NEW, np.log(1e6), np.log(2e7), np.log(1.2e14))
    return found - found.mean(axis=1, keepdims=True)


def test_a_planted_contrast_is_found() -> None:
    losses = np.log(LAW.losses(NEW, 1e6, 2e7)[:, 0])
    found = contrast(POINTS, ONES)[0]
    assert np.abs(found - (losses - losses.mean())).max() < 0.01
    shuffled = replace(POINTS, losses=POINTS.losses[::-1])
    assert np.abs(contrast(shuffled, ONES)[0] - (losses - losses.mean())).max() > 0.03


def test_a_run_of_no_weight_is_as_if_it_were_left_out() -> None:
    keep = POINTS.mixtures != 2
    without = contrast(POINTS.take(keep), np.ones((1, int(keep.sum()))))
    # Where the middle of the runs lies is no matter for a shape of one size and length, once it is the same.
    wild = replace(POINTS, losses=np.where(keep[:, None], POINTS.losses, 50.0))
    np.testing.assert_allclose(contrast(wild, keep[None].astype(float)), without, atol=2e-4)


def test_members_of_a_batch_do_not_see_each_other() -> None:
    random = np.random.default_rng(3)
    weights = np.concatenate([ONES, random.exponential(size=(6, len(POINTS)))])
    batch = contrast(POINTS, weights)
    np.testing.assert_allclose(contrast(POINTS, weights[:1])[0], batch[0], atol=1e-10)
    for member in (1, 4):
        alone = contrast(POINTS, weights[[0, member]])
        np.testing.assert_allclose(alone[1], batch[member], atol=1e-10)


@pytest.mark.parametrize("domain", [0, 1, 2])
def test_the_order_of_the_runs_is_no_matter(domain: int) -> None:
    order = np.random.default_rng(4).permutation(len(POINTS))
    one = fit_shape(SHAPES["inverse"], POINTS, domain, domain, ONES)
    other = fit_shape(SHAPES["inverse"], POINTS.take(order), domain, domain, ONES)
    np.testing.assert_allclose(other.theta, one.theta, atol=1e-6)


def test_one_wild_run_does_not_carry_the_fit() -> None:
    losses = POINTS.losses.copy()
    losses[3] *= 1.5
    moved = contrast(replace(POINTS, losses=losses), ONES) - contrast(POINTS, ONES)
    assert np.abs(moved).max() < 0.02

"""Whether what is stated of mixtures comes true as often as stated, on laws of forms that are not fitted."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from jaxtyping import Float

from analysis.mixing.contrast.pool import fit_contrast
from analysis.mixing.judging.judged import Judged, judge
from analysis.mixing.levels.law import believed_level
from analysis.mixing.levels.level import levels
from analysis.mixing.points import MixturePoints
from analysis.mixing.surface import Surface, weights_of

K, LEVEL = 4, 0.9
TARGET = (1.2e7, 2.4e8)


def losses(random: np.random.Generator, shares: Float[np.ndarray, "runs k"], at: tuple[float, float]) -> np.ndarray:
    """A law quadratic in the shares, that grows with compute, times a level; the same for the same state of random."""
    slope, level = random.uniform(0.1, 0.5, K), random.uniform(0.8, 2.0, K)
    pairs, growth = random.normal(0, 0.05, (K, K, K)), random.uniform(0, 0.05)
    contrast = slope * shares**2 / 2 - slope * shares + np.einsum("ni,nj,kij->nk", shares, shares, pairs)
    fall = 0.5 * (at[0] / 1e6) ** -0.3 + 0.5 * (at[1] / 2e7) ** -0.3
    return (level + fall) * np.exp(contrast * (at[0] * at[1] / 2e13) ** growth)


def points(seed: int, shares: Float[np.ndarray, "runs k"], at: tuple[float, float], noise: float) -> MixturePoints:
    measured = losses(np.random.default_rng(seed), shares, at)
    n, random = len(shares), np.random.default_rng([seed, len(shares), int(at[0] + at[1])])
    names = tuple("abcd")
    return MixturePoints(
        sources=names,
        domains=names,
        shares=shares,
        losses=measured * np.exp(noise * random.normal(size=measured.shape) + 0.002 * random.normal()),
        params=np.full(n, at[0]),
        tokens=np.full(n, at[1]),
        flops=np.full(n, 6 * at[0] * at[1]),
        unique=np.full(K, np.nan),
        run_ids=tuple(map(str, range(n))),
        seeds=np.zeros(n, int),
    )


def joined(parts: list[MixturePoints]) -> MixturePoints:
    names = ("shares", "losses", "params", "tokens", "flops", "seeds")
    made = {name: np.concatenate([getattr(each, name) for each in parts]) for name in names}
    runs = tuple(f"{at}-{run}" for at, each in enumerate(parts) for run in each.run_ids)
    return MixturePoints(parts[0].sources, parts[0].domains, unique=parts[0].unique, run_ids=runs, **made)


@cache
def judged(seed: int) -> Judged:
    random = np.random.default_rng([seed, 3])
    shares, noise = random.dirichlet(np.ones(K), 18), (0.003, 0.01)[seed % 2]
    middle = np.full((1, K), 1 / K)
    parts = [points(seed, shares, (1e6, 2e7), noise), points(seed, shares[:8], (3e6, 6e7), noise)]
    parts += [points(seed, middle, at, noise) for at in ((1e6, 6e6), (3e6, 2e7), (1.7e6, 3.5e7), (5e6, 1e8))]
    contrast = fit_contrast(joined(parts), "auto", 50)
    flops = 6 * TARGET[0] * TARGET[1]
    made = levels(contrast, *TARGET, flops, forecaster=False)
    n, d, c = (float(np.log(value)) for value in (*TARGET, flops))
    surface = Surface(contrast, made, n, d, c, weights_of(None, tuple("abcd")), 1)
    return judge(surface, points(seed, random.dirichlet(np.ones(K), 12), TARGET, noise), LEVEL)


def pooled(seeds: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    every = [judged(seed) for seed in range(seeds)]
    return pd.concat([each.losses for each in every]), pd.concat([each.pairs for each in every])


def held(frame: pd.DataFrame, low: str, actual: str, high: str) -> float:
    return float(((frame[low] <= frame[actual]) & (frame[actual] <= frame[high])).mean())


@pytest.mark.slow
def test_intervals_hold_as_often_as_stated() -> None:
    frame, pairs = pooled(6)
    assert 0.8 <= held(frame, "contrast_low", "actual_contrast", "contrast_high") <= 0.99
    assert 0.8 <= held(frame, "low", "actual", "high") <= 1.0
    stated = np.maximum(pairs["better"], 1 - pairs["better"])
    right = (pairs["better"] > 0.5) == (pairs["difference"] < 0)
    for low, high in ((0.6, 0.8), (0.8, 0.95), (0.95, 1.01)):
        inside = (stated >= low) & (stated < high)
        assert right[inside].mean() >= stated[inside].mean() - 0.1
    assert (frame["contrast"] - frame["actual_contrast"]).abs().mean() < 0.01


def test_intervals_of_half_their_width_do_not() -> None:
    """That the check can fail: intervals that leave out half of the error hold too rarely."""
    frame, _ = pooled(2)
    width = frame["contrast_high"] - frame["contrast_low"]
    narrow = frame.assign(
        contrast_low=frame["contrast"] - width / 8,
        contrast_high=frame["contrast"] + width / 8,
    )
    assert held(frame, "contrast_low", "actual_contrast", "contrast_high") >= 0.8
    assert held(narrow, "contrast_low", "actual_contrast", "contrast_high") < 0.8


@pytest.mark.parametrize("distance", [2.0, 10.0])
def test_a_level_is_less_certain_the_further_it_lies(distance: float) -> None:
    cells = np.log([[1e6, 2e7], [3e6, 2e7], [3e6, 6e7], [1e6, 6e7]])
    fall = np.log(
        1.5 + 0.5 * np.exp(-0.3 * (cells[:, 0] - cells[0, 0])) + 0.5 * np.exp(-0.3 * (cells[:, 1] - cells[0, 1]))
    )
    near = believed_level(cells, fall, cells[2], 0.0)
    far = believed_level(cells, fall, cells[2] + np.log(distance), 2 * np.log(distance))
    assert near.log_loss == pytest.approx(fall[2], abs=0.005)
    truth = np.log(1.5 + 0.5 * (3 * distance) ** -0.3 + 0.5 * (3 * distance) ** -0.3)
    assert abs(far.log_loss - truth) < 1.645 * far.sd
    assert far.sd > near.sd

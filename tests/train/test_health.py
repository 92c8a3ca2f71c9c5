"""When a run is given up, and what counts as a spike."""

import dataclasses
import math

import numpy as np
import pytest
from tiny import make_run

from scaling.train.health import has_diverged, loss_spikes

CURVE = (2.0 + 3.0 * np.exp(-np.arange(300) / 60) + np.random.default_rng(0).normal(0, 0.02, 300)).tolist()


def with_jumps(*steps: int, height: float = 1.5) -> list[float]:
    return [loss + height * (step in steps) for step, loss in enumerate(CURVE)]


def test_a_curve_that_only_falls_has_no_spike() -> None:
    assert loss_spikes(CURVE) == 0
    assert loss_spikes([1.0] * 50) == 0


def test_jumps_are_counted_and_one_of_several_rows_once() -> None:
    assert loss_spikes(with_jumps(150)) == 1
    assert loss_spikes(with_jumps(100, 200, 201, 202, 250)) == 3
    assert loss_spikes([*CURVE, math.nan, math.nan]) == 1


@pytest.mark.parametrize("losses", [[], [1.0], [math.nan], [1.0, math.nan]])
def test_short_curves(losses: list[float]) -> None:
    assert loss_spikes(losses) == sum(math.isnan(loss) for loss in losses)


def test_what_no_run_comes_back_from() -> None:
    run = make_run()
    schedule = dataclasses.replace(run.recipe.schedule, warmup=0.1)
    run = dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, schedule=schedule))
    chance = math.log(run.model.vocab)
    assert has_diverged(run, 1, math.inf)
    assert has_diverged(run, 1, math.nan)
    assert not has_diverged(run, 1, 3 * chance), "before the rate has risen, weights may be bad"
    assert has_diverged(run, run.steps, 3 * chance)
    assert not has_diverged(run, run.steps, 1.5 * chance)

"""The further course of one run from its first quarter."""

import numpy as np
import pandas as pd
import pytest

from analysis.errors import InputError
from analysis.rewards.curves import RewardCurve
from analysis.rewards.forecasting.within_run import first_part, forecast_run, score_run
from analysis.rewards.laws import REINFORCEMENT
from analysis.rewards.reading import rewards_of


def run(alpha: float, beta: float, noise: float, seed: int = 0, rows: int = 120) -> RewardCurve:
    """A run whose sqrt(KL) grows as the step, from 0 to 3, its gold below 0 at the start."""
    step = np.arange(rows)
    d = 3 * step / (rows - 1)
    gold = -3.5 + REINFORCEMENT.gain(alpha, beta, d) + np.random.default_rng(seed).normal(0, noise, rows) * (step > 0)
    return rewards_of(pd.DataFrame({"step": step, "kl": d**2, "gold": gold})).curves[0]


KL = np.linspace(0.1, 3.0, 40) ** 2


def test_the_first_quarter_tells_the_rest_of_a_run_that_follows_the_law() -> None:
    curve = run(0.6, 0.5, 0.002)
    found = forecast_run(first_part(curve), KL)
    assert found.refused is None
    assert found.upto == pytest.approx((3 * 29 / 119) ** 2)
    score = score_run(found, curve)
    assert score.rows == 90
    assert score.rms < 0.1
    assert score.rms < score.naive_rms / 3
    assert score.inside > 0.8


def test_a_noisy_first_quarter_is_refused_and_the_naive_way_given() -> None:
    refused = [forecast_run(first_part(run(0.1, 0.05, 0.3, seed)), KL) for seed in range(10)]
    assert sum(made.refused is not None for made in refused) >= 3
    made = next(made for made in refused if made.refused is not None)
    assert "the naive way" in str(made.refused)
    assert made.way in {"last rows", "straight line"}


def test_too_few_rows() -> None:
    with pytest.raises(InputError, match=r"3 rows at KL of 0\.04 nats or more are too few to forecast its course: 9"):
        forecast_run(first_part(run(0.6, 0.5, 0.0, rows=20)), KL)


def test_no_later_row_to_score_by() -> None:
    curve = run(0.6, 0.5, 0.01)
    found = forecast_run(first_part(curve), KL)
    with pytest.raises(InputError, match="has no row beyond KL"):
        score_run(found, first_part(curve))

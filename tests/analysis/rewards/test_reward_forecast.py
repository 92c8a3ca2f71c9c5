"""Forecasts of reward curves: right where the law holds, refused where a naive one is better, frozen and scored."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from posttraining.reward_tables import best_of_n_rows, measured_rows

from analysis.errors import InputError
from analysis.rewards.curves import RewardTable
from analysis.rewards.forecasting import RewardForecast, forecast_rewards, read_reward_forecast, score_rewards
from analysis.rewards.forecasting.backtest import Profile
from analysis.rewards.forecasting.methods import BEST_RUN, FORMS, NAIVE
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT, RewardLaw
from analysis.rewards.reading import rewards_of

FITTED, TARGET = (128, 256, 512, 1024, 2048), 8192
D = tuple(np.linspace(0.25, 2.0, 15))


def rows(law: RewardLaw = BEST_OF_N, seed: int = 0, start: float = 0.0, noise: float = 0.01) -> pd.DataFrame:
    """Two seeds each of proxies whose alpha grows with log pairs; the last are the target's."""
    generator = np.random.default_rng(100 + seed)
    runs = {
        (pairs, each): (-0.35 + 0.12 * np.log(pairs) + generator.normal(0, 0.015), 0.25 if law is BEST_OF_N else 0.6)
        for pairs in (*FITTED, TARGET)
        for each in (0, 1)
    }
    facts = {
        run: {"pairs": run[0], "loss": 0.9 - 0.05 * np.log(run[0]), "role": "target" if run[0] == TARGET else "fit"}
        for run in runs
    }
    return best_of_n_rows(runs, facts, noise, seed, start, law, D)


def table(**options: Any) -> RewardTable:
    return rewards_of(rows(**options))


KINDS = pytest.mark.parametrize("law", [BEST_OF_N, REINFORCEMENT], ids=lambda law: law.name)


@KINDS
@pytest.mark.parametrize("start", [0.0, -3.48], ids=["from 0", "negative"])
def test_forecasts_a_proxy_of_more_pairs(law: RewardLaw, start: float) -> None:
    """Rewards may be negative: what is forecast is the gain over the start."""
    made = table(law=law, start=start)
    found = forecast_rewards(made, TARGET).accepted()
    score = score_rewards(found, made)
    assert abs(score.peak_error) < 0.06
    assert score.peak_covered
    assert score.at_covered
    assert score.regret < 0.03
    assert found.axis == ("n" if law is BEST_OF_N else "kl")
    assert sum(found.ways[name].weight for name in FORMS) == pytest.approx(1.0)
    assert set(NAIVE) < set(found.ways)
    assert score.ways[BEST_RUN].rms > 3 * score.rms


@KINDS
def test_intervals_hold_about_as_often_as_they_say(law: RewardLaw) -> None:
    peaks, places, points = [], [], []
    for seed in range(12):
        made = table(law=law, seed=seed)
        score = score_rewards(forecast_rewards(made, TARGET), made)
        peaks.append(score.peak_covered)
        places.append(score.at_covered)
        points.append(score.inside)
    assert np.mean(peaks) >= 0.75
    assert np.mean(places) >= 0.75
    assert np.mean(points) >= 0.75


def test_errors_are_those_of_held_out_rows_nearby_and_grow_beyond_them() -> None:
    profile = Profile(np.array([0.5, 0.5, 2.0]), np.array([0.01, 0.03, 0.25]), np.ones(3))
    np.testing.assert_allclose(profile.error(np.array([0.5, 2.0, 4.0])), [np.sqrt(0.02), 0.5, 1.0], rtol=1e-6)


def test_the_measured_proxies_do_not_forecast_the_one_of_8k_pairs_and_it_is_refused() -> None:
    """The study's one seed each: peaks of .56, .61 and .56 say nothing of 1.14."""
    fitted = forecast_rewards(rewards_of(measured_rows([128, 512, 2048])), 8192)
    assert fitted.refused is not None
    assert "the naive one" in fitted.refused
    assert fitted.ways["pairs"].weight == 0.0
    with pytest.raises(InputError, match="the forecast is refused: on fitted runs of more pairs"):
        fitted.accepted()
    score = score_rewards(fitted, rewards_of(measured_rows([8192])))
    assert score.peak_error < -0.3
    assert score.refused == fitted.refused


def test_a_law_that_holds_is_not_refused_and_one_that_breaks_is() -> None:
    made = rows()
    assert forecast_rewards(rewards_of(made), TARGET).refused is None
    # What alpha gains with pairs is turned round at the last fitted ones.
    broken = made["pairs"].isin([1024, 2048])
    order = made.loc[broken, "gold"].to_numpy()
    made.loc[broken, "gold"] = 0.3 * order + np.where(made.loc[broken, "pairs"] == 2048, 0.0, 0.05) * (order != 0)
    assert forecast_rewards(rewards_of(made), TARGET).refused is not None


def test_two_numbers_of_pairs_leave_nothing_to_test_it_on() -> None:
    made = rows()
    made = made[made["pairs"].isin([512, 2048, TARGET])].reset_index(drop=True)
    found = forecast_rewards(rewards_of(made), TARGET)
    assert found.refused is not None
    assert "2 numbers of pairs leave nothing to test it on" in found.refused
    assert found.ways[BEST_RUN].weight == 1.0
    assert found.peak_interval is None
    assert found.gain == found.ways[BEST_RUN].gain
    score = score_rewards(found, rewards_of(made))
    assert score.peak_covered is None
    assert json.dumps(score.to_dict(), allow_nan=False)


def test_a_target_of_far_fewer_pairs_is_far_too() -> None:
    near, far = (forecast_rewards(rewards_of(rows()), pairs) for pairs in (100, 1))
    assert "far-extrapolation" not in [warning.code for warning in near.warnings]
    assert (
        "times fewer pairs than any fitted run"
        in {each.code: each.message for each in far.warnings}["far-extrapolation"]
    )


def test_the_gain_at_a_requested_n() -> None:
    made = table()
    found = forecast_rewards(made, TARGET, at=48)
    assert 48.0 in found.points
    assert found.gain_at(48) == pytest.approx(found.gain[found.points.index(48.0)])
    assert found.gain_at(1) == 0.0
    beyond = forecast_rewards(made, TARGET, at=1024)
    assert beyond.points[-1] == 1024.0


def test_the_forecast_does_not_depend_on_the_target_or_the_order_of_rows() -> None:
    made = rows()
    other = made.assign(gold=np.where(made["role"] == "target", 99.0, made["gold"]))
    shuffled = other.sample(frac=1.0, random_state=1).reset_index(drop=True)
    first, second = (forecast_rewards(rewards_of(each), TARGET) for each in (made, shuffled))
    assert first.table_hash == second.table_hash
    assert first.gain == pytest.approx(second.gain)


def test_frozen_once_and_read_back(tmp_path: Path) -> None:
    made, path = forecast_rewards(table(), TARGET), tmp_path / "deep" / "forecast.json"
    made.freeze(path)
    assert read_reward_forecast(path) == made
    later = replace(made, created="2099-01-01T00:00:00+00:00")
    assert later.freeze(path).created == made.created
    with pytest.raises(InputError, match="holds another frozen forecast"):
        replace(made, peak_gain=2.0).freeze(path)


def test_a_changed_forecast_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "forecast.json"
    forecast_rewards(table(), TARGET).freeze(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "peak_gain": 3.0}))
    with pytest.raises(InputError, match="was changed after it was frozen"):
        read_reward_forecast(path)
    path.write_text("{}")
    with pytest.raises(InputError, match="not a forecast of rewards"):
        read_reward_forecast(path)


def test_a_score_refuses_other_runs_and_a_target_that_has_not_been_run() -> None:
    made = rows()
    found = forecast_rewards(rewards_of(made), TARGET)
    changed = made.assign(gold=made["gold"] + np.where(made["pairs"] == 128, 0.1, 0.0))
    with pytest.raises(InputError, match="not the table that the forecast was made from"):
        score_rewards(found, rewards_of(changed))
    with pytest.raises(InputError, match="no run of the forecast's 8192 pairs"):
        score_rewards(found, rewards_of(made[made["role"] == "fit"]))
    alone = rewards_of(made[made["role"] == "target"].reset_index(drop=True))
    assert score_rewards(found, alone).n_runs == 2


def test_the_regret_is_what_stopping_at_the_forecast_loses() -> None:
    made = rows()
    found = replace(forecast_rewards(rewards_of(made), TARGET), peak_at=2.0)
    score = score_rewards(found, rewards_of(made))
    target = [curve for curve in rewards_of(made).curves if curve.pairs == TARGET]
    at_two = float(np.mean([curve.gain[1] for curve in target]))
    assert score.regret == pytest.approx(score.actual_peak - at_two)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 2048}, "has the target's 2048 pairs and is fitted"),
        ({"pairs": -1}, "`pairs` must be positive"),
        ({"pairs": TARGET, "at": 0.5}, "`n` must be 1 or more"),
        ({"pairs": TARGET, "law": "overoptimization-rl"}, "needs rows with 'kl'"),
    ],
    ids=["known", "negative", "n", "law"],
)
def test_impossible_requests(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        forecast_rewards(table(), **options)


def test_a_table_without_pairs() -> None:
    with pytest.raises(InputError, match="has no 'pairs', which forecasts follow"):
        forecast_rewards(rewards_of(rows().drop(columns="pairs")), TARGET)


def test_it_prints_and_is_json() -> None:
    made = table()
    found: RewardForecast = forecast_rewards(made, TARGET, at=64)
    assert json.loads(found.to_json())["axis"] == "n"
    assert str(found).splitlines()[0].startswith("peak           +")
    assert "regressional" in str(found)
    assert list(found.to_frame().columns) == ["n", "gain", "low", "high"]
    score = score_rewards(found, made)
    assert "regret" in str(score)
    assert set(score.to_frame().index) == set(found.ways)

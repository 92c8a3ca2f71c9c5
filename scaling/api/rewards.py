"""Reward curves: laws of over-optimisation fitted to them, forecasts of a proxy that is not trained yet, scores."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.rewards import forecasting
from analysis.rewards.curves import RewardTable
from analysis.rewards.fitting import reward_fit
from analysis.rewards.fitting.reward_fit import EITHER, RewardFit
from analysis.rewards.forecasting import RewardForecast, RewardScore, read_reward_forecast
from analysis.rewards.forecasting.tested import RewardBacktest, backtest_table
from analysis.rewards.laws import BEST_OF_N, REINFORCEMENT
from analysis.rewards.reading import read_rewards, rewards_of
from scaling.errors import InputError

Rewards = RewardTable | pd.DataFrame | str | Path
OVEROPTIMIZATION = (EITHER, BEST_OF_N.name, REINFORCEMENT.name)


def fit_rewards(
    rewards: Rewards,
    *,
    law: str = EITHER,
    bootstrap: int = 1000,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> RewardFit:
    """Fits a law of over-optimisation (2210.10760) to reward curves by weighted least squares.

    Args:
        rewards: a stage's folder, or a table of ``run_id``, ``n`` or ``kl``, and ``gold`` or ``proxy``; or of samples,
            with ``prompt``, ``proxy`` and ``gold`` of each answer.
        law: ``overoptimization-bon`` or ``overoptimization-rl``; ``overoptimization`` takes the one that suits.
        bootstrap: resamples of runs, and of prompts where samples are given; 0 for none.
        where, columns: as for :func:`read_runs`.

    Raises:
        InputError: one line per error, with row and column; or for too few rows.
    """
    return reward_fit.fit_rewards(_table(rewards, where, columns), law, bootstrap)


def forecast_rewards(
    rewards: Rewards,
    *,
    pairs: float,
    reward_params: float | None = None,
    loss: float | None = None,
    n: int | None = None,
    kl: float | None = None,
    interval: float = 0.9,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> RewardForecast:
    """Forecasts what a policy gains by a reward model that is not trained yet: best-of-n, or along a run of PPO or DPO.

    Args:
        rewards: as for :func:`fit_rewards`, with ``pairs``.
        pairs: preference pairs of the target's reward model.
        reward_params: its parameters.
        loss: its held-out loss, nats per pair, as forecast; by default a straight line in log pairs.
        n: a further n at which the gain is requested; or
        kl: a further KL from the start, nats.
        interval: the probability that each interval holds.
        where, columns: as for :func:`read_runs`.

    Returns:
        The forecast. Its ``refused`` says why, where a naive one missed less on fitted reward models of more pairs.

    Raises:
        InputError: one line per error; or for too few rows, or a target among them.
    """
    if n is not None and kl is not None:
        raise InputError("`n` and `kl`: give one of them: best-of-n has an n, a trained policy a KL")
    law = EITHER if n is None and kl is None else BEST_OF_N.name if kl is None else REINFORCEMENT.name
    table = _table(rewards, where, columns)
    return forecasting.forecast_rewards(table, pairs, reward_params, loss, kl if n is None else float(n), law, interval)


def score_rewards(forecast: RewardForecast | str | Path, rewards: Rewards) -> RewardScore:
    """Compares a frozen forecast with the target's own curve.

    Args:
        forecast: the forecast, or the file that it is frozen in.
        rewards: a table with the target's runs, read with the forecast's own ``where`` and ``columns``.

    Raises:
        InputError: if the forecast was made from other rows than the table's, or the target has not been run.
    """
    frozen = forecast if isinstance(forecast, RewardForecast) else read_reward_forecast(forecast)
    if isinstance(rewards, str | Path):
        rewards = read_rewards(rewards, frozen.columns, frozen.where, frozen.pairs)
    elif isinstance(rewards, pd.DataFrame):
        rewards = rewards_of(rewards, "table", frozen.columns, frozen.where, target=frozen.pairs)
    return forecasting.score_rewards(frozen, rewards)


def backtest_rewards(
    rewards: Rewards,
    *,
    law: str = EITHER,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> RewardBacktest:
    """Measures how far forecasts from proxies of few pairs miss those of more, and a run's first quarter its rest.

    Args:
        rewards: as for :func:`fit_rewards`.
        law: as for :func:`fit_rewards`.
        where, columns: as for :func:`read_runs`.

    Raises:
        InputError: for a table that gives no test.
    """
    return backtest_table(_table(rewards, where, columns), law)


def frozen_rewards(path: str | Path) -> RewardForecast | None:
    """The forecast of rewards in a file; None where the file holds something else, or is not there."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError):
        return None
    return read_reward_forecast(path) if isinstance(content, dict) and "axis" in content else None


def _table(rewards: Rewards, where: str | None, columns: Mapping[str, str] | None) -> RewardTable:
    if isinstance(rewards, RewardTable):
        if where is not None or columns:
            raise InputError("`where` and `columns` apply where a table is read, and this one is read already")
        return rewards
    if isinstance(rewards, pd.DataFrame):
        return rewards_of(rewards, "table", columns, where)
    return read_rewards(rewards, columns, where)

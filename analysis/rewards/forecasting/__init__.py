"""Forecasts of a proxy's reward curve before it is trained: from cheaper proxies, backtested, frozen and scored."""

from analysis.rewards.forecasting.forecast import RewardForecast, read_reward_forecast
from analysis.rewards.forecasting.predicting import forecast_rewards
from analysis.rewards.forecasting.score import RewardScore, score_rewards

__all__ = ["RewardForecast", "RewardScore", "forecast_rewards", "read_reward_forecast", "score_rewards"]

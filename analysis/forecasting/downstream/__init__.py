"""Downstream: forecasts of a task's accuracy at a run that has not been trained.

Two steps, (N, D) -> loss by the laws and loss -> accuracy by a link; or one, from compute to accuracy. Rolling-origin
folds within the fitted runs judge them: law and links are fitted to the low-compute runs and forecast the high-compute
ones. Forecasts are combined with weights inverse to their mean square error (Bates & Granger 1969), because the form
with the least error nearby may be the one that runs away.

Many tasks do not scale predictably: they stay at chance, or move by more than they rise. The same folds show it: a task
is forecast only if the mean square error is less than half of the naive forecast's, which is the mean accuracy of the
highest-compute runs; that is, if most of the variation left to predict was predicted.
"""

from analysis.forecasting.downstream.task_forecast import TaskForecast, forecast_task

__all__ = ["TaskForecast", "forecast_task"]

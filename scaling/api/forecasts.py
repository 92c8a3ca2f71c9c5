"""Forecasts of runs that have not been made, their backtests and their scores."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.fitting.published import PublishedLoss, constants, predict_published
from analysis.forecasting import backtest as backtests
from analysis.forecasting import downstream
from analysis.forecasting import forecast as forecasts
from analysis.forecasting import score as scores
from analysis.forecasting.backtest import Backtest
from analysis.forecasting.downstream import TaskForecast
from analysis.forecasting.ensemble import AUTO
from analysis.forecasting.forecast import Forecast, read_forecast
from analysis.forecasting.score import Score
from analysis.result import Result
from analysis.runs.table import RunTable
from scaling.api.tables import Runs, read_runs
from scaling.api.targets import leaves_out_embeddings, target_of, vocabulary_of
from scaling.errors import InputError


def forecast(
    runs: Runs,
    *,
    tokens: float | None = None,
    params: float | None = None,
    model: str | None = None,
    flops: float | None = None,
    law: str = AUTO,
    interval: float = 0.9,
    seeds: int = 1,
    bootstrap: int = 1000,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
    unseen: bool = False,
) -> Forecast:
    """Forecasts the mean loss of runs that have not been made, in nats per token.

    Args:
        runs: the runs to learn from; see :func:`read_runs`, also for ``where``, ``columns`` and ``best``.
        tokens: the target's training tokens.
        params: the target's parameters, counted as in the table; or
        model: a published Llama, such as ``llama3-8b``.
        flops: the target's training FLOPs; by default what the table's runs nearest in size need per parameter and
            token.
        law: a name in ``laws.LAWS``, or ``auto`` to weigh them all by rolling-origin folds.
        interval: the probability that the interval holds the loss.
        seeds: how many runs at the target the mean is over.
        bootstrap: resamples of whole trunks.
        unseen: whether to refuse a target that is among the runs, as a forecast to be frozen must.

    Raises:
        InputError: for impossible values, an unknown law, too few runs, or a target absurdly far away.
    """
    table = read_runs(runs, where=where, columns=columns, best=best)
    size, length = target_of(params, model, tokens, leaves_out_embeddings(table))
    if unseen:
        forecasts.refuse_known(table, size, length)
    return forecasts.forecast(table, size, length, flops, law, interval, bootstrap, seeds, vocab=vocabulary_of(model))


def forecast_task(
    runs: Runs,
    *,
    task: str,
    tokens: float | None = None,
    params: float | None = None,
    model: str | None = None,
    flops: float | None = None,
    task_loss: str = "loss",
    interval: float = 0.9,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> TaskForecast:
    """Forecasts a task's accuracy at a run that has not been made.

    Args:
        runs: as for :func:`forecast`; a table that is read already must hold both columns (``extra``).
        task: the column of accuracies, between 0 and 1.
        task_loss: the column of the loss that the accuracy follows.
        tokens, params, model, flops, interval, where, columns, best: as for :func:`forecast`.

    Raises:
        InputError: as for :func:`forecast`, and for a task that does not scale predictably.
    """
    extra = (task, task_loss) if task_loss != "loss" else (task,)
    table = read_runs(runs, where=where, columns=columns, best=best, extra=extra)
    size, length = target_of(params, model, tokens, leaves_out_embeddings(table))
    return downstream.forecast_task(table, task, size, length, flops, task_loss, interval)


def backtest(
    runs: Runs,
    *,
    train_below: float | None = None,
    law: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> Backtest:
    """Measures how far forecasts from a table's low-compute runs miss its high-compute ones.

    Args:
        runs: as for :func:`forecast`, like ``where``, ``columns`` and ``best``.
        train_below: train on runs of at most this many FLOPs and test on the rest; by default thresholds 3, 10, 30 and
            100 times below the largest run.
        law: one law, or ``auto``; by default every law and ``auto``.

    Raises:
        InputError: for an unknown law, or a table too small to split.
    """
    table = read_runs(runs, where=where, columns=columns, best=best)
    return backtests.backtest(table, None if law is None else [law], train_below)


def score(forecast: Forecast | str | Path, runs: Runs) -> Score:
    """Compares a frozen forecast with the runs made after it.

    Args:
        forecast: the forecast, or the file that it is frozen in.
        runs: the table that the forecast was made from, with the target's runs beside it, read with the forecast's
            own ``where``, ``columns`` and ``best`` unless it is read already: rows with role ``target``
            or, in a table without roles, those at the target's parameters and tokens.

    Raises:
        InputError: if the forecast was made from other runs, or the target has not been run.
    """
    frozen = forecast if isinstance(forecast, Forecast) else read_forecast(forecast)
    if not isinstance(runs, RunTable):
        runs = read_runs(runs, columns=frozen.columns, where=frozen.where, best=frozen.best)
    return scores.score(frozen, runs)


@dataclass(frozen=True)
class Frozen(Result):
    """A forecast, and the file that it is frozen in."""

    forecast: Forecast
    path: str
    warnings: tuple[Diagnostic, ...]

    @classmethod
    def at(cls, forecast: Forecast, path: str) -> "Frozen":
        """Freezes a forecast in a file, which must not hold another.

        Raises:
            InputError: if it does, or cannot be written.
        """
        frozen = forecast.freeze(path)
        return cls(frozen, path, frozen.warnings)

    def __str__(self) -> str:
        return f"{self.forecast}\nfrozen in      {self.path}, sha256 {self.forecast.sha256}"

    def to_dict(self) -> dict[str, Any]:
        return self.forecast.to_dict()

    def to_frame(self) -> pd.DataFrame:
        return self.forecast.to_frame()


def frozen_forecast(path: str, params: float | None, model: str | None, tokens: float | None) -> Forecast:
    """A frozen forecast, read back.

    Args:
        path: its file.
        params, model, tokens: if any is given, all of a target, which must be the forecast's own.

    Raises:
        InputError: if the file is none or was changed, or is of another target.
    """
    made = read_forecast(path)
    if model or params or tokens:
        requested = [target_of(params, model, tokens, bare) for bare in (False, True)]
        if (made.params, made.tokens) not in requested:
            raise InputError(
                f"{path}: is frozen for {made.params:.6g} parameters and {made.tokens:.6g} tokens; "
                "forecast another target from its table"
            )
    return made


def forecast_published(name: str, params: float | None, model: str | None, tokens: float | None) -> PublishedLoss:
    """The loss at a target by a paper's constants.

    Args:
        name: such as ``published:chinchilla-epoch``.
        params, model, tokens: as for :func:`forecast`.

    Raises:
        InputError: with the closest name, if there is none.
    """
    return predict_published(name, *target_of(params, model, tokens, constants(name).nonembedding))

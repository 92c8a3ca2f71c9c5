"""Forecasts, backtests and scores as text."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from analysis.formatting import format_quantity
from analysis.table_text import table_text

if TYPE_CHECKING:
    from analysis.forecasting.backtest import Backtest
    from analysis.forecasting.downstream import TaskForecast
    from analysis.forecasting.forecast import Forecast
    from analysis.forecasting.score import Score


def forecast_text(made: "Forecast") -> str:
    """Text of a forecast: loss with interval, target, laws, and the source of the interval's width."""
    low, high = made.interval
    return "\n".join(
        [
            f"loss           {made.loss:.4f} {made.unit}, {100 * made.level:.4g}% interval {low:.4f} to {high:.4f} "
            f"({low / made.loss - 1:+.1%} {high / made.loss - 1:+.1%})",
            target_line(made),
            "laws           " + shares(made.weights),
            _width(made.calibration),
            *(f"naive          {loss:.4f} by {name}" for name, loss in made.baselines.items()),
            f"noise          {made.noise['run']:.2%} of one run's loss, from "
            + ("replicates" if made.noise["replicates"] else "residuals"),
            fitted_line(made),
        ]
    )


def task_text(made: "TaskForecast") -> str:
    """Text of a task's forecast: accuracy with interval, target, links and their backtest."""
    low, high = made.interval
    return "\n".join(
        [
            f"accuracy       {made.accuracy:.3f} on {made.task}, {100 * made.level:.4g}% interval {low:.3f} to "
            f"{high:.3f}",
            target_line(made),
            f"loss           {made.loss:.4f} expected of {made.task_loss}",
            "methods        " + shares(made.weights),
            f"backtest       misses by {made.backtest_error:.3f} of accuracy on high-compute fitted runs; the mean of "
            f"the largest runs misses by {made.naive_error:.3f}",
            fitted_line(made),
        ]
    )


def target_line(made: "Forecast | TaskForecast") -> str:
    """Line on a target: its parameters, tokens and FLOPs, and its extrapolation factor."""
    return (
        f"target         {format_quantity(made.params)} parameters, {format_quantity(made.tokens)} tokens, "
        f"{made.flops:.3g} FLOPs: {made.extrapolation:.3g} times the largest fitted run"
    )


def fitted_line(made: "Forecast | TaskForecast") -> str:
    """Line on the number of fitted runs and their table."""
    return f"fitted         {made.n_runs} runs of {made.source}, table {made.table_hash[:12]}"


def shares(weights: Mapping[str, float]) -> str:
    """Text of weights: ``chinchilla 60%, skaling 40%``."""
    return ", ".join(f"{name} {weight:.0%}" for name, weight in weights.items())


def _width(calibration: Mapping[str, float]) -> str:
    """Line on the source of the interval's width."""
    if not calibration["splits"]:
        return "interval       by prior belief alone: too few runs to forecast high-compute ones from low-compute ones"
    return (
        f"interval       {calibration['scale']:.2f} times the spread of laws and resamples, {calibration['form']:.2%} "
        f"more per factor e of compute: by {calibration['splits']:.0f} forecasts among fitted runs, up to "
        f"{calibration['tested']:.3g} times the FLOPs"
    )


def backtest_text(result: "Backtest") -> str:
    """Text of a backtest: a table of every split and law, then one of each law over all splits."""
    head = ("train below", "reach", "train", "test", "law", "error", "signed", "covered", "half-width")
    rows = (
        (
            f"{split.train_below:.3g}",
            f"{split.extrapolation:.3g}",
            str(split.n_train),
            str(split.n_test),
            name,
            f"{s.are:.2%}",
            f"{s.signed:+.2%}",
            f"{s.covered:.0%}",
            f"{s.half_width:.2%}",
        )
        for split in result.splits
        for name, s in split.laws.items()
    )
    summary = (
        (name, f"{s['mean_are']:.2%}", f"{s['worst_are']:.2%}", f"{s['coverage']:.0%}", f"{s['median_half_width']:.2%}")
        for name, s in result.summary.items()
    )
    titles = ("law", "mean error", "worst", "coverage", "median half-width")
    return "\n".join([table_text("rrrrlrrrr", head, rows), "", table_text("lrrrr", titles, summary)])


def score_text(result: "Score") -> str:
    """Text of a score: forecast and actual loss, the error, and whether the interval holds."""
    low, high = result.interval
    seeds = "" if result.seed_std is None else f" (seed standard deviation {result.seed_std:.2%})"
    return "\n".join(
        [
            f"predicted      {result.predicted:.4f} {result.unit}",
            f"actual         {result.actual:.4f}: " + ", ".join(f"{run.loss:.4f}" for run in result.actuals) + seeds,
            f"error          {result.error:+.2%}, {result.extrapolation:.3g} times the largest fit",
            f"interval       {low:.4f} to {high:.4f} ({100 * result.level:.4g}%): the actual lies "
            + ("inside" if result.covered else "outside"),
            *(
                f"naive          {baseline.predicted:.4f} by {name}: {baseline.error:+.2%}"
                for name, baseline in result.baselines.items()
            ),
            f"forecast       sha256 {result.forecast_sha256}",
        ]
    )

"""The forecast of a stage in sentences, and beside what came of it as a table."""

from collections.abc import Mapping
from typing import Any

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.pages.table import Table
from analysis.report.stages.findings import StageFindings
from analysis.report.words import change
from analysis.rewards.forecasting import RewardForecast

_AXIS = {"n": "n", "kl": "KL"}


def verdict(found: StageFindings) -> str:
    """What was forecast, and what came of it."""
    forecast, score = found.forecast, found.score
    if forecast is None:
        why = found.reason.rstrip(".")
        return f"There is no forecast of the target: {why}." if why else "There is no forecast here."
    if isinstance(forecast, RewardForecast):
        text = _of_rewards(forecast)
        return (
            f"{text} {_scored(score)}" if isinstance(score, Mapping) else f"{text} The target has not been scored yet."
        )
    low, high = forecast.interval
    level = f"{100 * forecast.level:.4g}% interval"
    text = f"Expected loss of the target {forecast.loss:.4f}, {level} {low:.4f} to {high:.4f}."
    if not isinstance(score, Score):
        return f"{text} The target has not been scored yet."
    inside = "inside" if score.covered else "outside"
    return f"{text} It came to {score.actual:.4f}, {inside} the interval; the forecast missed by {change(score.error)}."


def _of_rewards(forecast: RewardForecast) -> str:
    axis, by = _AXIS[forecast.axis], "" if forecast.refused is None else " by the naive way"
    interval = ""
    if forecast.peak_interval is not None:
        low, high = forecast.peak_interval
        interval = f", {100 * forecast.level:.4g}% interval {low:.3g} to {high:.3g},"
    text = (
        f"Expected{by} of a proxy of {forecast.pairs:g} pairs: {forecast.reward} is highest, {forecast.peak_gain:+.3g} "
        f"over the start's{interval} at {axis} {forecast.peak_at:.3g}."
    )
    return text if forecast.refused is None else f"{text} The law's own forecast is refused: {forecast.refused}."


def _scored(score: Mapping[str, Any]) -> str:
    axis = _AXIS.get(str(score["axis"]), str(score["axis"]))
    held = {True: "inside its interval", False: "outside its interval", None: ""}[score["peak_covered"]]
    return (
        f"It came to {score['actual_peak']:+.3g} at {axis} {score['actual_at']:.3g}"
        + (f", {held}" if held else "")
        + f"; stopping at the forecast {axis} would have lost {score['regret']:.3g}."
    )


def against_actual(found: StageFindings) -> Table | None:
    """Every way's forecast against the actual, once the target is scored; None before."""
    score = found.score
    if isinstance(score, Score):
        rows = [("fitted laws", f"{score.predicted:.4f}", change(score.error))]
        forecast = found.forecast
        if isinstance(forecast, Forecast):
            rows += [
                (name, f"{loss:.4f}", change(loss / score.actual - 1)) for name, loss in forecast.baselines.items()
            ]
        rows += [(f"actual, {run.run_id}", f"{run.loss:.4f}", "") for run in score.actuals]
        return Table("forecasts", "The forecast against the actual", ("", "loss", "error"), tuple(rows))
    if not isinstance(score, Mapping):
        return None
    head = ("", "peak over the start's", "error", "error along the curve", "lost by stopping there")
    ways = [
        (name, f"{way['peak_gain']:+.3g}", *(f"{way[key]:+.3g}" for key in ("peak_error", "rms", "regret")))
        for name, way in score["ways"].items()
    ]
    given = (
        "the forecast",
        f"{score['peak_gain']:+.3g}",
        *(f"{score[k]:+.3g}" for k in ("peak_error", "rms", "regret")),
    )
    actual = ("actual", f"{score['actual_peak']:+.3g}", "", "", "")
    return Table("forecasts", "The forecast against the actual", head, (given, *ways, actual))


def warnings(found: StageFindings) -> tuple[Diagnostic, ...]:
    """The warnings of the forecast and of its score, each once."""
    given = () if found.forecast is None else found.forecast.warnings
    scored: tuple[Diagnostic, ...] = ()
    if isinstance(found.score, Score):
        scored = found.score.warnings
    elif isinstance(found.score, Mapping):
        scored = tuple(Diagnostic(**each) for each in found.score["warnings"])
    return tuple(dict.fromkeys([*given, *scored]))

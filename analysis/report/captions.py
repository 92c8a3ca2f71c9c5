"""Captions: the sentence under each figure, made from its data."""

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.allocation.envelope import Envelope
from analysis.allocation.frontier import FrontierLaw
from analysis.allocation.isoflop import IsoFlop
from analysis.diagnostics.collapse import Collapse
from analysis.errors import InputError
from analysis.forecasting.backtest import Backtest
from analysis.forecasting.ensemble import AUTO
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.formatting import format_quantity
from analysis.runs.arrays import inputs_at
from analysis.runs.seed_noise import seed_noise
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable
from analysis.tuning.grid import tuned_cells
from analysis.tuning.recipe_check import RecipeCheck

_CLEAR = 2.0  # standard errors


def of_compute(table: RunTable, forecast: Forecast | None, score: Score | None) -> str:
    """Caption of loss over FLOPs: the fall of the lowest loss, the forecast, and the target's loss."""
    points = table.arrays
    span = float(np.exp(np.ptp(points.inputs.c)))
    first, last = (float(np.exp(points.log_loss[points.budget == b].min())) for b in (0, points.budget.max()))
    text = (
        f"Over {span:.3g} times the compute the lowest loss went from {first:.4g} to {last:.4g}"
        if points.budget.max()
        else f"All runs cost about the same; the lowest loss is {first:.4g}"
    )
    if forecast is not None:
        text += f"; the laws expect {forecast.loss:.4g} at {forecast.extrapolation:.3g} times the largest fitted FLOPs"
    if score is not None:
        text += f", and it came to {score.actual:.4g}"
    return text + "."


def of_tokens(table: RunTable, forecast: Forecast | None) -> str:
    """Caption of loss over tokens: the gain that longer training would bring."""
    rows = table.fit
    sizes = rows["params"].nunique()
    text = f"{_count(len(rows), 'finished run')} of {_count(sizes, 'size')}"
    if forecast is None:
        return f"{text}, with losses from {rows['loss'].max():.4g} down to {rows['loss'].min():.4g}."
    gains = [
        f"{_gain(forecast, rows[rows['params'] == size]):.1%} at {format_quantity(size)}"
        for size in sorted({float(rows["params"].min()), float(rows["params"].max())})
    ]
    return f"{text}: twice the tokens of its longest run would lower the loss by {' and by '.join(gains)} parameters."


def _gain(forecast: Forecast, rows: pd.DataFrame) -> float:
    """The share by which twice the tokens of a size's longest run would lower the loss, 0 to 1."""
    longest = rows.sort_values("tokens").iloc[-1]
    times = np.array([1.0, 2.0])
    once, twice = forecast.curve(
        inputs_at(np.full(2, longest["params"]), times * longest["tokens"], times * longest["flops"])
    ).tolist()
    return 1 - twice / once


def of_parabolas(found: IsoFlop) -> str:
    """Caption of the isoFLOP parabolas: the budgets that bracket their best size, and how that size grows."""
    good = [p for p in found.parabolas if p.reason is None]
    text = f"{len(good)} of {_count(len(found.parabolas), 'budget')} bracket{'s' * (len(good) == 1)} the best size"
    if not good:
        return f"{text}."
    low, high = good[0], good[-1]
    if len(good) == 1:
        return f"{text}: {format_quantity(low.params)} parameters at {low.flops:.3g} FLOPs."
    return (
        f"{text}, which goes from {format_quantity(low.params)} parameters at {low.flops:.3g} FLOPs to "
        f"{format_quantity(high.params)} at {high.flops:.3g}."
    )


def of_envelope(found: Envelope) -> str:
    """Caption of the envelope: the FLOPs at which the best size lies between two sizes."""
    used = found.used
    text = f"The lowest of {len(found.curves)} sizes' curves"
    if not used:
        return f"{text}: at no compute is the best size one between others."
    return f"{text}: from {used[0]:.3g} to {used[1]:.3g} FLOPs the best size lies between others."


def of_optimum(params: FrontierLaw, tokens: FrontierLaw, forecast: Forecast | None) -> str:
    """Caption of the frontier: its exponents, and the target beside the best size of its budget."""
    text = (
        f"The best size grows as FLOPs to the power {params.exponent:.2f}{_range(params)}, its tokens to "
        f"{tokens.exponent:.2f}"
    )
    if forecast is None:
        return text + "."
    best = params.at(forecast.flops)
    return (
        f"{text}; for the target's FLOPs that would be {format_quantity(best)} parameters, and it has "
        f"{format_quantity(forecast.params)}."
    )


def _range(law: FrontierLaw) -> str:
    interval = law.exponent_interval
    return "" if interval is None else f" (90 %: {interval[0]:.2f} to {interval[1]:.2f})"


def of_overtraining(table: RunTable, forecast: Forecast | None) -> str:
    """Caption of over-training: the gain of the largest size with several lengths from its shortest to its longest."""
    rows = table.fit
    several = rows[rows.groupby("params")["tokens"].transform("nunique") > 1]
    size = float(several["params"].max())
    means = several[several["params"] == size].groupby("tokens")["loss"].mean()
    (short_d, first), (long_d, last) = ((float(means.index[i]), float(means.iloc[i])) for i in (0, -1))
    text = (
        f"At {format_quantity(size)} parameters, {format_quantity(long_d / size)} instead of "
        f"{format_quantity(short_d / size)} tokens per parameter changed the loss by {last / first - 1:+.1%}"
    )
    if forecast is None:
        return text + "."
    return f"{text}; the target has {format_quantity(forecast.tokens / forecast.params)}."


def of_backtest(result: Backtest, law: str, score: Score | None) -> str:
    """Caption of the backtest: errors of forecasts of high-compute runs from low-compute ones."""
    missed = " and ".join(f"{split.laws[law].are:.2%} up to {split.extrapolation:.3g} times" for split in result.splits)
    inside = np.concatenate([split.held_out[law].covered for split in result.splits]).mean()
    by = "" if law == AUTO else f" by {law}"
    text = (
        f"Forecasts{by} of the high-compute runs from the low-compute ones missed by {missed} beyond, "
        f"{inside:.0%} inside the interval"
    )
    if score is not None:
        text += f", and the frozen forecast missed by {score.error:+.2%}"
    return text + "."


def of_residuals(table: RunTable, miss: Float[np.ndarray, " rows"]) -> str:
    """Caption of the residuals: their size, and their trend over FLOPs against its standard error."""
    furthest = int(np.argmax(np.abs(miss)))
    run = representative(table.fit)["run_id"].iloc[furthest]
    text = (
        f"Half of the runs lie within {float(np.median(np.abs(miss))):.2%} of the laws, the furthest "
        f"{miss[furthest]:+.1%} ({run})"
    )
    decades = table.arrays.inputs.c / np.log(10)
    x = decades - decades.mean()
    freedom = len(x) - 2
    if freedom < 1 or float(x @ x) < 1e-6:
        return text + "."
    slope = float(x @ miss) / float(x @ x)
    rest = miss - miss.mean() - slope * x
    error = float(np.sqrt(rest @ rest / freedom / (x @ x)))
    verdict = "they drift from them" if abs(slope) > _CLEAR * error else "no trend beyond noise"
    return f"{text}; {verdict}: {slope:+.2%} ± {error:.2%} per tenfold FLOPs."


def of_rates(table: RunTable, check: RecipeCheck | None) -> str:
    """Caption of the learning rates: the recipe's loss against the best rate's; without a check, the best rates.

    Raises:
        InputError: if no size and length was trained at three rates.
    """
    cells = [cell for cell in tuned_cells(table) if cell.grid("lr") is not None]
    if not cells:
        raise InputError(f"{table.source}: no size and length was trained at three values of lr")
    if check is not None:
        lost = [
            f"{'' if cell.bracketed else 'at least '}{cell.loss:.2%} at {format_quantity(cell.params)} parameters"
            for cell in check.cells
            if cell.loss is not None
        ]
        if lost:
            verdict = "holds" if not check.warnings else "is not ready"
            return f"The sweep's recipe {verdict}: against the best learning rate it loses {' and '.join(lost)}."
    best = [(cell, found[0]) for cell in cells if (found := cell.best("lr")) is not None]
    text = f"The best learning rate is known at {len(best)} of {len(cells)} pairs of size and length"
    if not best:
        return text + "."
    places = [
        f"{rate:.3g} at {format_quantity(cell.params)} parameters" for cell, rate in (best[0], best[-1])[: len(best)]
    ]
    return f"{text}: {', '.join(places)}."


def of_collapse(result: Collapse, table: RunTable, forecast: Forecast | None) -> str:
    """Caption of the collapsed curves: whether they coincide, and whether a problem is the recipe's or the fit's."""
    text = f"The loss curves of {_count(len(result.runs), 'run')} coincide to {result.spread:.1%} of the loss"
    if result.departures:
        gone = len(result.departures)
        return f"{text} but for {_count(gone, 'run')}: {'those have' if gone > 1 else 'that has'} a recipe problem."
    if forecast is None:
        return f"{text}, so no run's recipe stands out."
    noise = seed_noise(table.arrays).pooled
    missed = float(np.sqrt(np.mean((np.exp(table.arrays.log_loss) / forecast.curve(table.arrays.inputs) - 1) ** 2)))
    if noise is None or missed < _CLEAR * noise:
        return f"{text}, and their ends miss the laws by {missed:.1%}: neither the recipe nor the fit stands out."
    return (
        f"{text}, yet their ends miss the laws by {missed:.1%}, {missed / noise:.2g} times the seed noise: a problem "
        "of the fit, not of the recipe."
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"

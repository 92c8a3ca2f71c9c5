"""Captions: the sentence under each figure, made from its data.

A sentence states what holds of the data, whatever they are: a fall is said where the loss falls, a difference is
written with as many digits as it needs, and what is a guess from the data is called one.
"""

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
from analysis.report.words import at_most, change, count, told_apart
from analysis.runs.arrays import inputs_at
from analysis.runs.groups import budgets_of
from analysis.runs.seed_noise import seed_noise
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable
from analysis.stats import clusters
from analysis.tuning.grid import tuned_cells
from analysis.tuning.recipe_check import RecipeCheck

_CLEAR = 2.0  # standard errors
_FLAT = 5e-5  # of the loss per tenfold FLOPs: no digit of a smaller trend is shown
# Lengths nearer than this are one: whole steps of another batch size make slightly different numbers of tokens.
_SAME_LENGTH = 1.05


def of_compute(table: RunTable, forecast: Forecast | None, score: Score | None) -> str:
    """Caption of loss over FLOPs: the lowest losses, the forecast, and the target's loss."""
    text = _lowest(table.fit)
    if forecast is not None:
        text += f"; the laws expect {forecast.loss:.4g} at {forecast.extrapolation:.3g} times the largest fitted FLOPs"
        if score is not None:
            text += f", and it came to {score.actual:.4g}"
    return text + "."


def _lowest(rows: pd.DataFrame) -> str:
    """The lowest loss over FLOPs; that of the largest budget apart from it where a smaller one has the lowest."""
    flops, loss = rows["flops"].to_numpy(), rows["loss"].to_numpy()
    if len(rows) == 1:
        return f"The only run has a loss of {loss[0]:.4g}"
    budget = budgets_of(np.log(flops))
    least, first, last = (float(loss[here].min()) for here in (budget >= 0, budget == 0, budget == budget.max()))
    if not budget.max():
        return f"All runs cost about the same; the lowest loss is {least:.4g}"
    over = f"Over {flops.max() / flops.min():.3g} times the compute"
    if least == first:
        return f"{over} no run has a lower loss than the best of the smallest budget, {first:.4g}"
    if least == last:
        return f"{over} the lowest loss fell from {' to '.join(told_apart(first, last))}"
    low, high = told_apart(least, last)
    at = flops[np.argmin(loss)]
    return f"The lowest loss, {low}, is at {at:.3g} FLOPs; that of the largest budget, {flops.max():.3g}, is {high}"


def of_tokens(table: RunTable, forecast: Forecast | None) -> str:
    """Caption of loss over tokens: the range of the losses, or what longer training would change."""
    rows = table.fit
    number = rows["run_id"].nunique()
    text = "" if number == len(rows) else f"{count(len(rows), 'point')} of "
    text += f"{count(number, 'run')} of {count(rows['params'].nunique(), 'size')}"
    if forecast is None:
        low, high = float(rows["loss"].min()), float(rows["loss"].max())
        if low == high:
            return f"{text}, {'all ' * (len(rows) > 1)}with a loss of {low:.4g}."
        return f"{text}, with losses from {' to '.join(told_apart(low, high))}."
    changes = [
        f"by {change(_doubled(forecast, rows[rows['params'] == size]))} at {format_quantity(size)}"
        for size in sorted({float(rows["params"].min()), float(rows["params"].max())})
    ]
    return (
        f"{text}: the laws expect twice the tokens of a size's longest run to change its loss "
        f"{' and '.join(changes)} parameters."
    )


def _doubled(forecast: Forecast, rows: pd.DataFrame) -> float:
    """The share by which twice the tokens of a size's longest run would change the loss; negative is lower."""
    longest = rows.sort_values("tokens").iloc[-1]
    times = np.array([1.0, 2.0])
    once, twice = forecast.curve(
        inputs_at(np.full(2, longest["params"]), times * longest["tokens"], times * longest["flops"])
    ).tolist()
    return twice / once - 1


def of_parabolas(found: IsoFlop) -> str:
    """Caption of the isoFLOP parabolas: the budgets that bracket their best size, and the first and last of these."""
    good = [p for p in found.parabolas if p.reason is None]
    text = (
        f"{len(good)} of {count(len(found.parabolas), 'budget')} with three sizes or more "
        f"bracket{'s' * (len(good) == 1)} the best size"
    )
    if not good:
        return f"{text}."
    ends = (f"{format_quantity(p.params)} parameters at {p.flops:.3g} FLOPs" for p in (good[0], good[-1])[: len(good)])
    return f"{text}: {' and '.join(ends)}."


def of_envelope(found: Envelope) -> str:
    """Caption of the envelope: the FLOPs at which the best size lies between two sizes."""
    text = f"The lowest of {count(len(found.curves), 'size')}' curves"
    if not found.used:
        return f"{text}: at no compute is the best size one between others."
    low, high = found.used
    if low == high:
        return f"{text}: at {low:.3g} FLOPs the best size lies between others."
    gaps = any(low < left.flops[0] < high for left in found.left_out)
    but = ", but for gaps," * gaps
    return f"{text}: from {low:.3g} to {high:.3g} FLOPs{but} the best size lies between others."


def of_optimum(params: FrontierLaw, tokens: FrontierLaw, forecast: Forecast | None) -> str:
    """Caption of the frontier: its exponents, and the target beside the best size of its budget."""
    text = (
        f"The best size goes as FLOPs to the power {params.exponent:.2f}{_range(params)}, its tokens to "
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
    """Caption of over-training: the largest size with several lengths, at its shortest and its longest.

    Raises:
        InputError: if no size has two lengths.
    """
    rows = table.fit
    lengths = rows.groupby("params")["tokens"].agg(["min", "max"])
    several = lengths.index[lengths["max"] > _SAME_LENGTH * lengths["min"]]
    if several.empty:
        raise InputError("no size was trained to two lengths, so nothing is seen of over-training")
    size = float(several.max())
    runs = rows[rows["params"] == size]
    length = clusters(np.log(runs["tokens"].to_numpy()), float(np.log(_SAME_LENGTH)))
    means = runs.groupby(length)[["tokens", "loss"]].mean()
    (short_d, first), (long_d, last) = (means.iloc[i].tolist() for i in (0, -1))
    before, after = told_apart(first, last)
    text = (
        f"At {format_quantity(size)} parameters the mean loss is {after} with {format_quantity(long_d / size)} tokens "
        f"per parameter and {before} with {format_quantity(short_d / size)} ({change(last / first - 1)})"
    )
    if forecast is None:
        return text + "."
    return f"{text}; the target has {format_quantity(forecast.tokens / forecast.params)}."


def of_backtest(result: Backtest, law: str, score: Score | None) -> str:
    """Caption of the backtest: errors of forecasts of high-compute runs from low-compute ones."""
    missed = " and ".join(f"{split.laws[law].are:.2%} up to {split.extrapolation:.3g} times" for split in result.splits)
    covered = np.concatenate([split.held_out[law].covered for split in result.splits])
    by = "" if law == AUTO else f" by {law}"
    text = (
        f"Forecasts{by} of the high-compute runs from the low-compute ones missed on average by {missed} beyond; "
        f"{covered.sum()} of {len(covered)} intervals held the loss"
    )
    if score is not None:
        text += f", and the frozen forecast missed by {score.error:+.2%}"
    return text + "."


def of_residuals(table: RunTable, miss: Float[np.ndarray, " rows"]) -> str:
    """Caption of the residuals: their size, and their trend over FLOPs against its standard error."""
    furthest = int(np.argmax(np.abs(miss)))
    run = representative(table.fit)["run_id"].iloc[furthest]
    if len(miss) == 1:
        return f"The only run lies {change(miss[0])} from the laws ({run})."
    text = (
        f"Half of the runs lie within {at_most(float(np.median(np.abs(miss))))} of the laws, the furthest "
        f"{change(miss[furthest])} ({run})"
    )
    decades = table.arrays.inputs.c / np.log(10)
    x = decades - decades.mean()
    freedom = len(x) - 2
    if freedom < 1 or float(x @ x) < 1e-6:
        return text + "."
    slope = float(x @ miss) / float(x @ x)
    rest = miss - miss.mean() - slope * x
    error = float(np.sqrt(rest @ rest / freedom / (x @ x)))
    if max(abs(slope), error) < _FLAT:
        return f"{text}; their trend is less than 0.01% per tenfold FLOPs."
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
            f"{'' if cell.bracketed else 'at least '}{max(cell.loss, 0.0):.2%} at "
            f"{format_quantity(cell.params)} parameters"
            for cell in check.cells
            if cell.loss is not None
        ]
        if lost:
            verdict = "holds" if not check.warnings else "is not ready"
            return f"The sweep's recipe {verdict}: against the best learning rate it loses {' and '.join(lost)}."
    best = [(cell, found[0]) for cell in cells if (found := cell.best("lr")) is not None]
    text = (
        f"The best learning rate is known at {len(best)} of {count(len(cells), 'pair')} of size and length with three "
        "rates or more"
    )
    if not best:
        return text + "."
    places = [
        f"{rate:.3g} at {format_quantity(cell.params)} parameters" for cell, rate in (best[0], best[-1])[: len(best)]
    ]
    return f"{text}: {', '.join(places)}."


def of_collapse(result: Collapse, table: RunTable, forecast: Forecast | None) -> str:
    """Caption of the collapsed curves: how near they lie to one, and whether their ends point to the laws' fit."""
    gone, number = len({each.run_id for each in result.departures}), result.runs["run_id"].nunique()
    if gone == number:
        return f"Each of the {number} runs' loss curves leaves that of the others."
    text = f"The loss curves of {count(number, 'run')} lie {change(result.spread).lstrip('+')} from a common one"
    if gone:
        return f"{text}, in root mean square, but for {count(gone, 'run')} that leave{'s' * (gone == 1)} it."
    text += ", in root mean square, and none leaves it"
    if forecast is None:
        return f"{text}."
    missed = float(np.sqrt(np.mean((np.exp(table.arrays.log_loss) / forecast.curve(table.arrays.inputs) - 1) ** 2)))
    text += f"; the fitted runs miss the laws by {change(missed).lstrip('+')}"
    noise = seed_noise(table.arrays).pooled
    if not noise:
        return f"{text}, and without replicates the seed noise is not known."
    times = missed / noise
    verdict = ", which points to the fit, not to a recipe" if times > _CLEAR else ""
    return f"{text}, {times:.2g} times the seed noise{verdict}."

"""The kinds of figures: title, drawing and caption of each, made from a table's findings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from analysis import plots
from analysis.allocation.frontier import FrontierLaw
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.plots.rates import loss_vs_rate
from analysis.report import captions
from analysis.report.findings import Findings

_BROAD = 7.0  # inches


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn.

    Attributes:
        draw: draws it on given axes.
        reading: its caption, one sentence made from the data.
        warnings: what limits it.
        size: width and height in inches.
    """

    draw: Callable[[Axes], Axes]
    reading: str
    warnings: tuple[Diagnostic, ...] = ()
    size: tuple[float, float] = (plots.WIDTH, plots.HEIGHT)

    @property
    def broad(self) -> bool:
        """Whether it needs the width of a page."""
        return self.size[0] > _BROAD


@dataclass(frozen=True)
class Kind:
    """A kind of figure: its title in the report, and how it is made; InputError says why a table cannot give it."""

    title: str
    make: Callable[[Findings], Drawing]


def _flops(found: Findings) -> Drawing:
    table, forecast, score = found.table, found.forecast, found.score
    return Drawing(
        lambda axes: plots.loss_vs_flops(table, forecast, score, axes, found.lowest),
        captions.of_compute(table, forecast, score),
    )


def _tokens(found: Findings) -> Drawing:
    table, forecast, curves = found.table, found.forecast, found.curves
    return Drawing(
        lambda axes: plots.loss_vs_tokens(table, forecast, curves, axes), captions.of_tokens(table, forecast)
    )


def _isoflop(found: Findings) -> Drawing:
    parabolas = found.parabolas
    if not parabolas.parabolas:
        raise InputError(parabolas.warnings[0].message)
    return Drawing(
        lambda axes: plots.isoflop_parabolas(parabolas, axes, found.table),
        captions.of_parabolas(parabolas),
        parabolas.warnings,
    )


def _envelope(found: Findings) -> Drawing:
    lowest = found.lowest
    if len(lowest.curves) < 3:
        raise InputError("fewer than three sizes have a loss that falls between two computes, so there is no envelope")
    return Drawing(lambda axes: plots.envelope_of_sizes(lowest, axes), captions.of_envelope(lowest), lowest.warnings)


def _optimum(found: Findings) -> Drawing:
    table, parabolas, lowest, forecast = found.table, found.parabolas, found.lowest, found.forecast
    laws = [(each.params, each.tokens) for each in (parabolas, lowest)]
    known: list[tuple[FrontierLaw, FrontierLaw]] = [(n, d) for n, d in laws if n is not None and d is not None]
    if not known:
        raise InputError("fewer than two budgets bracket their best size, so how it changes is not known")
    return Drawing(
        lambda axes: plots.optimum(table, parabolas, lowest, forecast, axes),
        captions.of_optimum(*known[0], forecast),
        parabolas.warnings if parabolas.params is not None else lowest.warnings,
    )


def _overtraining(found: Findings) -> Drawing:
    table, forecast = found.table, found.forecast
    return Drawing(
        lambda axes: plots.overtraining(table, forecast, found.score, axes), captions.of_overtraining(table, forecast)
    )


def _backtest(found: Findings) -> Drawing:
    law, score = found.law, found.score
    try:
        result = found.backtest
    except InputError as error:
        raise InputError(line.replace("`train_below`", "`scaling backtest`") for line in error.errors) from None
    return Drawing(
        lambda axes: plots.backtest_errors(result, law, score, axes),
        captions.of_backtest(result, law, score),
        result.warnings,
    )


def _residuals(found: Findings) -> Drawing:
    table, forecast = found.table, found.forecast
    if forecast is None:
        raise InputError("no forecast.json was read with the table, so there is nothing to be off from")
    miss = plots.misses(table, forecast)
    return Drawing(lambda axes: plots.residuals(table, forecast, axes), captions.of_residuals(table, miss))


def _rates(found: Findings) -> Drawing:
    table = found.check or found.table
    try:
        reading = captions.of_rates(table, found.recipe)
    except InputError:
        raise InputError(
            "no size and length has three learning rates that vary on their own; `scaling recipe check SWEEP.yaml` "
            "trains such runs"
        ) from None
    warnings = found.recipe.warnings if found.recipe is not None else ()
    return Drawing(lambda axes: loss_vs_rate(table, axes), reading, warnings)


def _collapse(found: Findings) -> Drawing:
    result = found.collapse
    if isinstance(result, str):
        raise InputError(result)
    if not np.isfinite(result.common).all():
        raise InputError("a run in the middle of the sweep would have a loss below 0, so there is no common curve")
    return Drawing(
        lambda axes: plots.collapsed(result, axes),
        captions.of_collapse(result, found.table, found.forecast),
        result.warnings,
    )


# In the order of the report, which shows the envelope in the figure of loss over FLOPs.
KINDS = {
    "flops": Kind("Loss and compute", _flops),
    "tokens": Kind("Loss and tokens", _tokens),
    "isoflop": Kind("The best size of each budget", _isoflop),
    "optimum": Kind("How the best size changes with compute", _optimum),
    "overtraining": Kind("Over-training", _overtraining),
    "backtest": Kind("Forecasts of runs that are known", _backtest),
    "residuals": Kind("What the laws leave unexplained", _residuals),
    "collapse": Kind("Recipe or fit: loss curves on one another", _collapse),
    "rates": Kind("Hyperparameters checked", _rates),
    "envelope": Kind("The lowest loss of any size", _envelope),
}
REPORTED = tuple(name for name in KINDS if name != "envelope")


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Attributes:
        name: key in ``KINDS``.
        title: title in the report.
        text: the sentence that reads the figure, or the reason why there is none.
        svg: the figure as an SVG element, or None.
        warnings: what limits it.
        broad: whether it takes the width of the page.
    """

    name: str
    title: str
    text: str
    svg: str | None
    warnings: tuple[Diagnostic, ...] = ()
    broad: bool = False


def report_figures(found: Findings) -> Iterator[ReportFigure]:
    """The figures of ``REPORTED``, drawn one after the other."""
    for name in REPORTED:
        kind = KINDS[name]
        try:
            drawing = kind.make(found)
            picture = plots.svg(plots.figure(drawing.draw), name)
        except InputError as error:
            reason = "; ".join(line.removeprefix(f"{found.table.source}: ") for line in error.errors)
            yield ReportFigure(name, kind.title, reason, None)
            continue
        yield ReportFigure(name, kind.title, drawing.reading, picture, drawing.warnings)

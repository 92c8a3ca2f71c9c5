"""Figures: each function draws one result on given Axes and returns them, in one style."""

from analysis.plots.curves import collapsed
from analysis.plots.losses import loss_vs_flops, loss_vs_tokens, overtraining
from analysis.plots.optima import envelope_of_sizes, isoflop_parabolas, optimum
from analysis.plots.residuals import backtest_errors, misses, residuals
from analysis.plots.style import (
    ACTUAL,
    FORECAST,
    HEIGHT,
    SIZES,
    WIDTH,
    colour_bar,
    figure,
    legend,
    log_axis,
    log_norm,
    png,
    power,
    save,
    si,
    svg,
)

__all__ = [
    "ACTUAL",
    "FORECAST",
    "HEIGHT",
    "SIZES",
    "WIDTH",
    "backtest_errors",
    "collapsed",
    "colour_bar",
    "envelope_of_sizes",
    "figure",
    "isoflop_parabolas",
    "legend",
    "log_axis",
    "log_norm",
    "loss_vs_flops",
    "loss_vs_tokens",
    "misses",
    "optimum",
    "overtraining",
    "png",
    "power",
    "residuals",
    "save",
    "si",
    "svg",
]

"""Figures: each function draws one result on given Axes and returns them."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.envelope import Envelope
from analysis.forecast import Forecast
from analysis.isoflop import IsoFlop
from analysis.laws import Inputs
from analysis.points import Points, inputs_at, training_cost
from analysis.score import Score
from analysis.table import RunTable

# Viridis without its ends, which vanish on a dark or a white page; Okabe-Ito colours for the target.
SIZES = LinearSegmentedColormap.from_list("sizes", ["#414487", "#2a788e", "#22a884", "#7ad151"])
FORECAST, ACTUAL = "#d55e00", "#cc79a7"
_INK = "#5f6368"  # replaced by the page's own text colour in SVG
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def figure(draw: Callable[[Axes], Axes], width: float = 6.4, height: float = 4.0) -> Figure:
    """A figure in the house style; width and height in inches."""
    with rc_context(_STYLE):
        made = Figure(figsize=(width, height))
        draw(made.add_subplot())
        made.draw_without_rendering()
    return made


def svg(made: Figure, name: str) -> str:
    """The figure as an SVG element: text as text, ink in the page's colour; ``name`` keeps ids apart."""
    buffer = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        made.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace(_INK, "currentColor").replace('id="figure_1"', f'id="{name}"')


def save(made: Figure, path: str) -> None:
    """Writes a file of the kind that its suffix names, on white."""
    with rc_context(_STYLE):
        made.savefig(path, dpi=150, facecolor="white")


def short(value: float) -> str:
    """Three digits and a suffix: ``8.03B``."""
    value = float(f"{value:.2e}")  # rounded first: 999.99k is 1M
    for limit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if limit <= value < limit * 1000:
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def loss_vs_tokens(table: RunTable, forecast: Forecast | None, curves: pd.DataFrame | None, axes: Axes) -> Axes:
    """Loss over training tokens, by size: endpoints (dots), measured curves (thin), fitted curves (dashed).

    Args:
        table: the runs.
        forecast: whose laws draw the fitted curves, or None.
        curves: rows of ``run_id tokens loss``, or None.
        axes: to draw on.
    """
    rows = pd.concat([table.fit, table.targets])
    norm = _norm(rows)
    if curves is not None:
        params = rows.drop_duplicates("run_id").set_index("run_id")["params"]
        for run_id, curve in curves.groupby("run_id"):
            if run_id in params.index:
                smooth = _smoothed(curve.sort_values("tokens"))
                colour = SIZES(norm(params[run_id]))
                axes.plot(smooth["tokens"], smooth["loss"], color=colour, alpha=0.3, lw=0.6, zorder=1)
    for size in np.unique(rows["params"]).tolist():
        runs = rows[rows["params"] == size]
        colour = SIZES(norm(size))
        axes.plot(runs["tokens"], runs["loss"], "o", ms=3.5, color=colour, mec="none", alpha=0.9, zorder=3)
        if forecast is not None:
            reach = (0.5 * runs["tokens"].min(), 1.6 * runs["tokens"].max())
            tokens = np.geomspace(*reach, 60)
            flops = tokens * float((runs["flops"] / runs["tokens"]).mean())
            fitted = forecast.curve(inputs_at(np.full(60, size), tokens, flops))
            axes.plot(tokens, fitted, "--", color=colour, lw=1.1, zorder=2)
    axes.set_xlim(0.4 * rows["tokens"].min(), 2 * rows["tokens"].max())
    log_axis(axes, "training tokens", si)
    _loss_axis(axes, rows["loss"])
    _size_bar(axes, norm, rows)
    return axes


def loss_vs_flops(table: RunTable, forecast: Forecast | None, score: Score | None, axes: Axes) -> Axes:
    """Each run's loss over its FLOPs, the best that the laws expect (line), forecast and actual runs."""
    rows = table.fit
    norm = _norm(rows)
    axes.scatter(rows["flops"], rows["loss"], s=14, c=rows["params"], cmap=SIZES, norm=norm, lw=0, zorder=3)
    shown = [rows["loss"]]
    if forecast is not None:
        axes.plot(*_frontier(rows, forecast), color=_INK, lw=1.0, ls="--", zorder=2, label="fitted laws, best split")
        low, high = forecast.interval
        axes.errorbar(
            [forecast.flops],
            [forecast.loss],
            [[forecast.loss - low], [high - forecast.loss]],
            fmt="D",
            ms=5,
            capsize=4,
            color=FORECAST,
            zorder=5,
            label=f"forecast, {forecast.level:.0%} interval",
        )
        shown.append(pd.Series(forecast.interval))
        for (name, loss), marker in zip(forecast.baselines.items(), "v^", strict=False):
            axes.plot(forecast.flops, loss, marker, ms=5, mfc="none", color=_INK, zorder=4, label=f"naive: {name}")
            shown.append(pd.Series([loss]))
    if score is not None and forecast is not None:
        losses = [run.loss for run in score.actuals]
        # Beside the forecast, not under it.
        place = np.full(len(losses), forecast.flops * 1.25)
        axes.plot(place, losses, "x", ms=5, mew=1.4, color=ACTUAL, zorder=6, label="actual, each seed")
        shown.append(pd.Series(losses))
    log_axis(axes, "training FLOPs", power)
    _loss_axis(axes, pd.concat(shown))
    if forecast is not None:
        axes.legend(loc="best")
    _size_bar(axes, norm, rows)
    return axes


def isoflop_parabolas(result: IsoFlop, axes: Axes) -> Axes:
    """Loss over parameters at each budget, curves and their minima with 90 % intervals; a budget left out is hollow."""
    if not result.parabolas:
        axes.text(0.5, 0.5, "no budget has three sizes", ha="center", transform=axes.transAxes)
        return axes
    budgets = [parabola.flops for parabola in result.parabolas]
    norm = log_norm(np.array(budgets))
    labels = {True: "minimum, 90 % interval", False: "budget left out"}
    for parabola in result.parabolas:
        colour, good = SIZES(norm(parabola.flops)), parabola.fault is None
        dots = {"color": colour} if good else {"color": colour, "mfc": "none", "label": labels.pop(False, None)}
        axes.plot(np.exp(parabola.n), parabola.loss, "o", ms=3.5, zorder=3, **dots)
        if good:
            near = parabola.n[parabola.near]
            n = np.linspace(near.min() - 0.1, near.max() + 0.1, 80)
            axes.plot(np.exp(n), parabola.curve(n), "--", color=colour, zorder=2)
            place, label = (parabola.params, parabola.minimum), labels.pop(True, None)
            axes.plot(*place, "*", ms=9, color=FORECAST, mec="none", zorder=5, label=label)
            if parabola.interval is not None:
                axes.hlines(parabola.minimum, *parabola.interval, color=FORECAST, lw=1.6, zorder=4)
    log_axis(axes, "parameters", si)
    _loss_axis(axes, pd.Series(np.concatenate([p.loss for p in result.parabolas])))
    axes.legend(loc="best")
    colour_bar(axes, norm, "FLOPs", budgets, power)
    return axes


def envelope_of_sizes(found: Envelope, axes: Axes) -> Axes:
    """Loss over FLOPs by size, the lowest of the curves (dashed), and its best loss where the optimum is bracketed."""
    if len(found.curves) < 3:
        axes.text(0.5, 0.5, "fewer than three sizes at two computes", ha="center", transform=axes.transAxes)
        return axes
    sizes = np.exp([curve.n for curve in found.curves])
    norm = log_norm(sizes)
    for curve, size in zip(found.curves, sizes.tolist(), strict=True):
        c = np.linspace(curve.c[0], curve.c[-1], 60)
        colour = SIZES(norm(size))
        axes.plot(np.exp(c), np.exp(curve.at(c)), color=colour, lw=0.8, alpha=0.7, zorder=2)
        axes.plot(np.exp(curve.c), np.exp(curve.log_loss), "o", ms=2.5, color=colour, mec="none", zorder=2)
    axes.plot(np.exp(found.c), found.loss, "--", color=_INK, lw=1.0, zorder=3, label="envelope")
    log_axis(axes, "training FLOPs", power)
    _loss_axis(axes, pd.Series(np.concatenate([np.exp(curve.log_loss) for curve in found.curves])))
    if len(found.minima.c):
        within = (found.minima.c, found.minima.loss)
        axes.plot(np.exp(within[0]), within[1], ".", ms=2, color=FORECAST, zorder=4, label="optimum bracketed")
    axes.legend(loc="best")
    colour_bar(axes, norm, "parameters", sizes.tolist(), si)
    return axes


def residuals(table: RunTable, forecast: Forecast, axes: Axes) -> Axes:
    """How far each fitted run lies from the laws, in percent of its loss."""
    rows = table.fit
    points, norm = Points.of(rows), _norm(rows)
    miss = 100 * (np.exp(points.log_loss) / forecast.curve(points.inputs) - 1)
    axes.axhline(0, color=_INK, lw=0.8)
    axes.scatter(rows["flops"], miss, s=14, c=rows["params"], cmap=SIZES, norm=norm, lw=0, zorder=3)
    axes.set_ylabel("actual / fitted - 1 (%)")
    log_axis(axes, "training FLOPs", power)
    _size_bar(axes, norm, rows)
    return axes


def _frontier(
    rows: pd.DataFrame, forecast: Forecast
) -> tuple[Float[np.ndarray, " budgets"], Float[np.ndarray, " budgets"]]:
    """The least loss that the laws expect at each budget, over the sizes of the runs and the target."""
    budgets = np.geomspace(rows["flops"].min(), max(forecast.flops, rows["flops"].max()), 60)
    sizes = np.geomspace(rows["params"].min() / 2, 2 * max(rows["params"].max(), forecast.params), 200)
    known = pd.concat([rows[["params", "tokens", "flops"]], pd.DataFrame([_target(forecast)])])
    cost = training_cost(inputs_at(*known.to_numpy().T), np.log(sizes))
    n, c = (grid.ravel() for grid in np.meshgrid(np.log(sizes), np.log(budgets)))
    d = c - n - np.log(np.tile(cost, len(budgets)))
    least = forecast.curve(Inputs(n, d, c, d)).reshape(len(budgets), -1).min(axis=1)
    return budgets, least


def _target(forecast: Forecast) -> dict[str, float]:
    return {"params": forecast.params, "tokens": forecast.tokens, "flops": forecast.flops}


def _smoothed(curve: pd.DataFrame) -> pd.DataFrame:
    """Means over windows of equal width in log tokens: a training batch's loss is mostly noise."""
    bins = np.floor(20 * np.log(curve["tokens"]))
    return curve.groupby(bins)[["tokens", "loss"]].mean()


def _norm(rows: pd.DataFrame) -> Normalize:
    return log_norm(rows["params"].to_numpy())


def log_norm(values: Float[np.ndarray, " rows"]) -> Normalize:
    """Colours by the log of positive values."""
    low, high = float(values.min()), float(values.max())
    return LogNorm(low, high if high > low else 2 * low)


def log_axis(axes: Axes, label: str, ticks: Callable[[float, int | None], str]) -> None:
    """A log x axis with a label and few, readable ticks."""
    axes.set_xscale("log")
    axes.set_xlabel(label)
    low, high = axes.get_xlim()
    narrow = high / low < 300
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(ticks))


def _loss_axis(axes: Axes, losses: "pd.Series[float]") -> None:
    """A log axis with plain numbers, just holding the endpoints; early parts of curves are cut off."""
    low, high = 0.97 * float(losses.min()), 1.05 * float(losses.max())
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(list(MaxNLocator(7).tick_values(low, high))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("loss (nats per token)")


def _size_bar(axes: Axes, norm: Normalize, rows: pd.DataFrame) -> None:
    colour_bar(axes, norm, "parameters", list(rows["params"].unique()), si)


def colour_bar(
    axes: Axes,
    norm: Normalize,
    label: str,
    values: list[float],
    ticks: Callable[[float, int | None], str],
) -> None:
    """A colour bar with a tick at each of the values that do not crowd each other."""
    bar = axes.figure.colorbar(ScalarMappable(norm, SIZES), ax=axes, pad=0.02, aspect=30)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_locator(FixedLocator(list(_apart(sorted(values)))))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(ticks))


def _apart(values: list[float]) -> Iterator[float]:
    """Those of the values that do not crowd each other on a log axis."""
    least, last = np.log(values[-1] / values[0]) / 10, -np.inf
    for value in values:
        if np.log(value) - last >= least:
            last = float(np.log(value))
            yield value


def si(value: float, _: int | None) -> str:
    """A tick such as ``8.03B``."""
    return short(value)


def power(value: float, _: int | None) -> str:
    """A tick such as ``3e18``."""
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"

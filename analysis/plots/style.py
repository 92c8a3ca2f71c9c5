"""The style of all figures: colours, axes, legends, and dots that show their run under the pointer in an SVG."""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PathCollection
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from analysis.files import save_bytes
from analysis.formatting import format_power, format_quantity
from analysis.runs.schema import NATS

# Viridis without its ends, which vanish on a dark or a white page, in few steps, so that its bar is drawn as shapes;
# Okabe-Ito colours for all else.
SIZES = LinearSegmentedColormap.from_list("sizes", ["#414487", "#2a788e", "#22a884", "#7ad151"], N=48)
FORECAST, ACTUAL = "#d55e00", "#cc79a7"
PARAMS, TOKENS = "#0072b2", "#009e73"
INK = "#5f6368"  # replaced by the page's own text colour in the report
WIDTH, HEIGHT = 5.4, 3.7  # inches: half a landscape page, or a phone
_NOTEBOOK_DPI = 110
_FEW_TIMES = 5.0  # of an axis whose ends are less apart than this, which 1, 2 and 5 of each decade would leave bare
_RUN = "run:"
_MOST_NAMED = 1000  # runs of a figure that carry a label: each takes 200 bytes
_STYLE: Any = {
    "figure.constrained_layout.use": True,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.2,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def figure(draw: Callable[[Axes], Axes], width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """A figure in the house style; width and height in inches."""
    with rc_context(_STYLE):
        made = Figure(figsize=(width, height))
        draw(made.add_subplot())
        made.draw_without_rendering()
    return made


def svg(made: Figure, name: str) -> str:
    """The figure as an SVG element: text as text, ink in the page's colour; ``name`` keeps ids apart."""
    text = _svg(made, name, "none")
    return text[text.index("<svg") :].replace(INK, "currentColor").replace('id="figure_1"', f'id="{name}"')


def png(made: Figure) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    with rc_context(_STYLE):
        made.savefig(buffer, format="png", dpi=_NOTEBOOK_DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def save(made: Figure, path: Path) -> None:
    """Writes a figure on white, in the format of the file's suffix, whole or not at all.

    Raises:
        InputError: it cannot be written there.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind == "svg":
        save_bytes(path, _svg(made, "figure", "white").encode())
        return
    buffer = io.BytesIO()
    with rc_context(_STYLE):
        made.savefig(buffer, format=kind, dpi=150, facecolor="white")
    save_bytes(path, buffer.getvalue())


def _svg(made: Figure, name: str, paper: str) -> str:
    buffer = io.StringIO()
    with rc_context({**_STYLE, "svg.hashsalt": name}):
        made.savefig(buffer, format="svg", facecolor=paper, metadata={"Date": None, "Creator": None})
    # A dot's link holds its run's label; nothing else in our figures has a link.
    address = rf"""<a xlink:href=(["']){_RUN}(.*?)\1[^>]*>"""
    named = re.sub(address, r'<g class="run"><title>\2</title>', buffer.getvalue())
    return named.replace("</a>", "</g>")


def runs(
    axes: Axes, x: Sequence[float] | pd.Series, y: Sequence[float] | pd.Series, rows: pd.DataFrame, norm: Normalize
) -> None:
    """Draws a dot for each run, coloured by its parameters, that shows its label under the pointer in an SVG.

    Args:
        axes: the axes to draw on.
        x: horizontal place of each run.
        y: vertical place of each run.
        rows: the runs: ``run_id params tokens flops loss``, and ``seed`` where it is known.
        norm: maps parameters to colours.
    """
    label_dots(axes.scatter(x, y, s=15, c=rows["params"], cmap=SIZES, norm=norm, lw=0, zorder=3), run_labels(rows))


def label_dots(dots: PathCollection, labels: Sequence[str]) -> None:
    """Gives each dot the label that an SVG shows under the pointer; none of them where there are too many."""
    if len(labels) <= _MOST_NAMED:
        dots.set_urls([_RUN + text for text in labels])


def run_labels(rows: pd.DataFrame) -> list[str]:
    """The label of each run: size, tokens, FLOPs, loss and seed."""
    seeds = rows["seed"] if "seed" in rows else pd.Series(np.nan, rows.index)
    columns = (rows["run_id"], rows["params"], rows["tokens"], rows["flops"], rows["loss"], seeds)
    return [
        f"{run_id}: {format_quantity(params)} parameters, {format_quantity(tokens)} tokens "
        f"({format_quantity(tokens / params)} each), {flops:.3g} FLOPs, loss {loss:.4f}"
        + (f", seed {seed:.0f}" if isinstance(seed, float) and seed >= 0 else "")
        for run_id, params, tokens, flops, loss, seed in zip(*columns, strict=True)
    ]


def legend(axes: Axes, columns: int = 2) -> None:
    """Puts the legend above the axes, where it covers no data."""
    if axes.get_legend_handles_labels()[1]:
        place: Any = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "borderaxespad": 0.1}
        axes.legend(ncols=columns, columnspacing=1.2, handlelength=1.6, labelspacing=0.25, **place)


def norm_of(rows: pd.DataFrame) -> Normalize:
    """The map from parameters of some runs to colours."""
    return log_norm(rows["params"].to_numpy())


def log_norm(values: Float[np.ndarray, " rows"]) -> Normalize:
    """The map from positive values to colours, by their log."""
    low, high = float(values.min()), float(values.max())
    return LogNorm(low, high if high > low else 2 * low)


def log_axis(axes: Axes, label: str, ticks: Callable[[float, int | None], str]) -> None:
    """Makes the x axis logarithmic, with a label and a few readable ticks."""
    first, last = axes.dataLim.intervalx
    if first == last:  # one place
        axes.set_xlim(first / 2, 2 * last)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(_log_ticks(low, high, 7))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(ticks))


def log_height(axes: Axes, label: str, ticks: Callable[[float, int | None], str]) -> None:
    """Makes the y axis logarithmic, with a label and a few readable ticks: round steps where it spans little."""
    axes.set_yscale("log")
    axes.set_ylabel(label)
    low, high = axes.get_ylim()
    if high < _FEW_TIMES * low:
        steps = [value for value in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= value <= high]
        axes.yaxis.set_major_locator(FixedLocator(steps))
    else:
        axes.yaxis.set_major_locator(_log_ticks(low, high, 9))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(ticks))


def _log_ticks(low: float, high: float, most: int) -> LogLocator:
    """Ticks at 1, 2 and 5 of each decade where there is room; else at 1 and 3; else at 1."""
    decades = np.log10(high / low)
    subs = next((s for s in ((1.0, 2.0, 5.0), (1.0, 3.0)) if decades * len(s) <= most), (1.0,))
    return LogLocator(subs=subs, numticks=most + 2)


def loss_axis(axes: Axes, losses: "pd.Series[float]", unit: str = NATS) -> None:
    """Makes the y axis logarithmic with plain numbers, just holding the endpoints; early parts of curves are cut."""
    low, high = 0.97 * float(losses.min()), 1.05 * float(losses.max())
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(list(MaxNLocator(7).tick_values(low, high))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel(f"loss ({unit})")


def size_bar(axes: Axes, norm: Normalize, rows: pd.DataFrame) -> None:
    """Adds a colour bar of the runs' parameters."""
    colour_bar(axes, norm, "parameters", list(rows["params"].unique()), si)


def colour_bar(
    axes: Axes,
    norm: Normalize,
    label: str,
    values: list[float],
    ticks: Callable[[float, int | None], str],
    beside: Sequence[Axes] | None = None,
) -> None:
    """Adds a colour bar with a tick at each of the values, but for those that would crowd another.

    Args:
        axes: the axes that it belongs to.
        norm: maps values to colours.
        label: of the bar.
        values: where ticks may be.
        ticks: how one is written.
        beside: the panels that it stands beside, where they are several.
    """
    place = axes if beside is None else list(beside)
    bar = axes.figure.colorbar(ScalarMappable(norm, SIZES), ax=place, pad=0.02, aspect=30 if beside is None else 60)
    bar.set_label(label)
    bar.outline.set_visible(False)
    assert bar.solids is not None
    bar.solids.set_edgecolor("face")  # no gaps between the shapes
    bar.ax.yaxis.set_major_locator(FixedLocator(list(_apart(sorted(values)))))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(ticks))


def _apart(values: list[float]) -> Iterator[float]:
    """The values without those that would crowd the one before on a log axis."""
    least, last = np.log(values[-1] / values[0]) / 10, -np.inf
    for value in values:
        if np.log(value) - last >= least:
            last = float(np.log(value))
            yield value


def si(value: float, _: int | None) -> str:
    """A tick such as ``8.03B``."""
    return format_quantity(value)


def power(value: float, _: int | None) -> str:
    """A tick such as ``3e18`` or ``1.7e10``."""
    return format_power(value)

"""The candidates' losses by domain, and the laws behind them."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.mixing.choice import Choice, Span
from analysis.mixing.score import ChoiceScore
from analysis.plots.mixtures.landscape import CANDIDATES
from analysis.plots.panels import common_legend, label_outer, panels
from analysis.plots.style import ACTUAL, INK, PARAMS, TOKENS
from analysis.runs.schema import NATS

OBJECTIVE = "objective"
_BESIDE = 0.22  # actual losses stand beside the forecast, not under it
_ROW = 0.32


def candidate_losses(choice: Choice, score: ChoiceScore | None, axes: Axes) -> Axes:
    """Draws the forecast loss of each candidate on every domain, with intervals, and of their objective.

    Args:
        choice: as frozen.
        score: with the actual losses of the candidates that were trained; None without one.
        axes: the axes to draw on, which are replaced by a panel for each domain.
    """
    domains = list(choice.losses)
    several = len(domains) > 1
    made = panels(axes, [*domains, *([OBJECTIVE] if several else [])])
    for panel, domain in zip(made, domains, strict=False):
        spans = {name: each.losses[domain] for name, each in choice.candidates.items()}
        actual = {} if score is None else {n: each.losses[domain].actual for n, each in score.candidates.items()}
        _draw(spans, actual, panel)
    if several:
        spans = {name: each.objective for name, each in choice.candidates.items()}
        actual = {} if score is None else {n: each.objective.actual for n, each in score.candidates.items()}
        _draw(spans, actual, made[-1])
        made[-1].title.set_fontweight("bold")
    label_outer(made)
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="", ms=5.5, label=title)
        for name, (colour, marker, title) in CANDIDATES.items()
        if name in choice.candidates
    ]
    marks[0].set_label(f"chosen, {100 * choice.level:.4g}% interval")
    if score is not None:
        marks.append(Line2D([], [], color=ACTUAL, marker="x", ls="", ms=5, mew=1.4, label="actual, mean of the runs"))
    common_legend(axes, marks)
    return axes


def _draw(spans: Mapping[str, Span], actual: Mapping[str, float], axes: Axes) -> None:
    names = [name for name in CANDIDATES if name in spans]
    for place, name in enumerate(names):
        colour, marker, _ = CANDIDATES[name]
        span = spans[name]
        reach = [[max(span.value - span.low, 0.0)], [max(span.high - span.value, 0.0)]]
        axes.errorbar([place], [span.value], reach, fmt=marker, ms=5.5, capsize=3, color=colour, zorder=4)
        if name in actual:
            axes.plot(place + _BESIDE, actual[name], "x", ms=5.5, mew=1.4, color=ACTUAL, zorder=5)
    axes.set_xticks(range(len(names)), [CANDIDATES[name][2] for name in names], fontsize=6.5)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel(f"loss ({NATS})")


def law_rows(choice: Choice) -> list[str]:
    """The laws of a choice, from the one with the largest weight."""
    return sorted(choice.weights, key=lambda name: -choice.weights[name])


def laws_size(choice: Choice) -> tuple[float, float]:
    """Width and height in inches of the figure of a choice's laws."""
    return 6.2, 1.1 + _ROW * len(choice.weights)


def law_misses(choice: Choice, axes: Axes) -> Axes:
    """Draws what each law missed of runs that were left out of its fit, beside the weight that it has for that.

    Args:
        choice: with at least one law whose misses are known.
        axes: the axes to draw on, which are replaced by two panels.
    """
    names = law_rows(choice)
    place, figure = axes.get_subplotspec(), axes.figure
    assert place is not None
    grid = place.subgridspec(1, 2)
    axes.axis("off")
    left = figure.add_subplot(grid[0])
    right = figure.add_subplot(grid[1], sharey=left)
    missed = {name: choice.misses[name] for name in names}
    for row, name in enumerate(names):
        value = missed[name]
        if value is not None:
            left.plot([0, 100 * value], [row, row], color=PARAMS, alpha=0.35, lw=1.2)
            left.plot(100 * value, row, "o", ms=6, color=PARAMS)
            left.annotate(
                f"{100 * value:.2f}", (100 * value, row), (6, 0), textcoords="offset points", va="center", fontsize=7.5
            )
        else:
            left.annotate("not tested", (0, row), (4, 0), textcoords="offset points", va="center", fontsize=7.5)
        weight = 100 * choice.weights[name]
        right.barh(row, weight, height=0.55, color=TOKENS, alpha=0.75)
        right.annotate(f"{weight:.0f}", (weight, row), (4, 0), textcoords="offset points", va="center", fontsize=7.5)
    left.set_yticks(range(len(names)), names)
    left.set_ylim(len(names) - 0.5, -0.5)
    right.tick_params(labelleft=False, left=False)
    left.set_xlabel("missed of left-out runs (%)")
    right.set_xlabel("weight in the forecast (%)")
    for panel in (left, right):
        panel.set_xlim(left=0)
        panel.margins(x=0.15)
        panel.grid(visible=False, axis="y")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.spines["left"].set_color(INK)
    return axes

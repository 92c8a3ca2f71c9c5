"""Small multiples: several panels in the place of one, with a common legend."""

from collections.abc import Sequence
from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

PANEL = (2.75, 2.15)  # inches
_BESIDES = (0.4, 0.55)  # inches of a figure beside its panels: of labels, and of the legend
_MOST_COLUMNS, _BY_THREE = 4, (5, 6, 9)
_LETTER, _MARK = 0.062, 0.45  # inches that a legend takes for a letter, and for a mark
_MOST_LETTERS = 28  # of a panel's title


def columns_of(count: int) -> int:
    """Panels side by side: so many that the last row is nearly full."""
    return 3 if count in _BY_THREE else min(count, _MOST_COLUMNS)


def size_of(count: int) -> tuple[float, float]:
    """Width and height in inches of a figure with so many panels."""
    columns = columns_of(count)
    return max(columns, 2) * PANEL[0] + _BESIDES[0], ceil(count / columns) * PANEL[1] + _BESIDES[1]


def panels(axes: Axes, titles: Sequence[str]) -> list[Axes]:
    """Panels with titles, row by row, in the place of some axes, which are left empty.

    Args:
        axes: where.
        titles: one a panel; a long one is cut in its middle.
    """
    place, figure = axes.get_subplotspec(), axes.figure
    assert place is not None
    assert isinstance(figure, Figure)
    columns = columns_of(len(titles))
    grid = place.subgridspec(ceil(len(titles) / columns), columns)
    axes.axis("off")
    made = [figure.add_subplot(grid[number // columns, number % columns]) for number in range(len(titles))]
    for panel, title in zip(made, titles, strict=True):
        panel.set_title(shortened(title), fontsize=9, loc="left", parse_math=False)
        panel.tick_params(labelsize=7.5)
    return made


def label_outer(made: Sequence[Axes]) -> None:
    """Leaves labels of axes at the left and at the lower end of each column of panels alone."""
    columns = columns_of(len(made))
    for number, panel in enumerate(made):
        panel.xaxis.label.set_fontsize(8)
        panel.yaxis.label.set_fontsize(8)
        if number % columns:
            panel.set_ylabel("")
        if number + columns < len(made):
            panel.set_xlabel("")


def shortened(name: str, most: int = _MOST_LETTERS) -> str:
    """A name of at most so many letters, all of them visible: the middle of a longer one is left out."""
    name = "".join(sign if sign.isprintable() else "\ufffd" for sign in name)
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half]}…{name[-half:]}"


def common_legend(axes: Axes, handles: Sequence[Line2D]) -> None:
    """Puts one legend above all panels, in as many columns as have room."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    widths = [_MARK + _LETTER * len(str(handle.get_label())) for handle in handles]
    room = figure.get_figwidth()
    columns = len(widths) if sum(widths) <= room else max(1, int(room // max(widths)))
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=columns,
        columnspacing=1.4,
        handlelength=1.4,
        frameon=False,
        fontsize=8,
    )

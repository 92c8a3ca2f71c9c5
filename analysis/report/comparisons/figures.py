"""The kinds of figures of comparisons: title, drawing and caption of each."""

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.plots.comparisons import (
    better_matrix,
    difference_lines,
    difference_vs_flops,
    multiplier_lines,
    multiplier_vs_flops,
)
from analysis.report.comparisons import captions
from analysis.report.comparisons.findings import ComparisonFindings, read_comparison_findings
from analysis.report.figures import Drawing, ReportFigure

SIZE = (6.2, 3.9)  # inches
Make = Callable[[ComparisonFindings], Drawing]


def _multiplier(found: ComparisonFindings) -> Drawing:
    made = found.comparison
    lines = multiplier_lines(made, found.score)
    if not lines:
        raise InputError(f"{found.place}: the runs do not show what compute buys, so no multiplier is known")
    best = made.contenders[0]
    return Drawing(lambda axes: multiplier_vs_flops(lines, best, axes), captions.of_multiplier(lines, made))


def _difference(found: ComparisonFindings) -> Drawing:
    made = found.comparison
    lines, best = difference_lines(made, found.score), made.contenders[0]
    return Drawing(lambda axes: difference_vs_flops(lines, best, axes), captions.of_difference(lines, made))


def _matrix(found: ComparisonFindings) -> Drawing:
    made = found.comparison
    return Drawing(lambda axes: better_matrix(made, axes), captions.of_matrix(made))


# In the order of the page.
COMPARISON_KINDS: dict[str, tuple[str, Make]] = {
    "multiplier": ("Compute multiplier", _multiplier),
    "loss-difference": ("Difference of losses", _difference),
    "better": ("Every two contenders", _matrix),
}


def comparison_figures(found: ComparisonFindings) -> Iterator[ReportFigure]:
    """The figures of a comparison; each has its SVG, or the reason why there is none. Two contenders have no matrix."""
    for name, (title, make) in COMPARISON_KINDS.items():
        if name == "better" and len(found.comparison.contenders) == 2:
            continue
        try:
            drawing = make(found)
        except InputError as error:
            reason = error.errors[0].removeprefix(f"{found.place}: ")
            yield ReportFigure(name, title, reason, None)
            continue
        picture = plots.svg(plots.figure(drawing.draw, *SIZE), name)
        yield ReportFigure(name, title, drawing.reading, picture)


def draw_comparison(kind: str, place: Path) -> tuple[Drawing, Figure]:
    """Draws a figure of a comparison's folder or file.

    Args:
        kind: a name in ``COMPARISON_KINDS``.
        place: the folder, or the file, with its score beside it.

    Raises:
        InputError: for a figure that the comparison cannot give, or a file that is none.
    """
    if kind not in COMPARISON_KINDS:
        raise InputError(f"no figure {kind!r} of a comparison; there are {', '.join(COMPARISON_KINDS)}")
    _, make = COMPARISON_KINDS[kind]
    drawing = make(read_comparison_findings(place))
    return drawing, plots.figure(drawing.draw, *SIZE)

"""One figure of a table, and its file."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.report.figures import KINDS, Drawing
from analysis.report.findings import read_findings
from analysis.runs.table import RunTable


def draw(kind: str, table: RunTable, place: Path) -> tuple[Drawing, Figure]:
    """Draws a figure.

    Args:
        kind: a name in ``KINDS``.
        table: the runs.
        place: the table's file, or the sweep's folder, whose forecast, score and curves are shown too.

    Returns:
        What is drawn, and the figure.

    Raises:
        InputError: for a figure that the table cannot give.
    """
    if kind not in KINDS:
        raise InputError(f"no figure {kind!r}; there are {', '.join(KINDS)}")
    try:
        drawing = KINDS[kind].make(read_findings(place, table))
        return drawing, plots.figure(drawing.draw)
    except InputError as error:
        raise InputError(line if str(place) in line else f"{place}: {line}" for line in error.errors) from None


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure to a .png, .svg or .pdf.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        plots.save(figure, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None

"""One figure of a table, and its file."""

from pathlib import Path

from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.files import check_figure
from analysis.forecasting.forecast import Forecast
from analysis.report.domains import DOMAINS, NAME
from analysis.report.figures import KINDS, Drawing, Kind
from analysis.report.findings import read_findings
from analysis.runs.table import RunTable

# With the figure that a page shows beside the others only where a table has several domains.
TABLE_KINDS: dict[str, Kind] = {**KINDS, NAME: DOMAINS}


def draw(kind: str, table: RunTable, place: Path, forecast: Forecast | None = None) -> tuple[Drawing, Figure]:
    """Draws a figure.

    Args:
        kind: a name in ``TABLE_KINDS``.
        table: the runs.
        place: the table's file, or the sweep's folder, whose forecast, score and curves are shown too.
        forecast: a forecast from these runs, in place of the folder's; scored where the target's runs are in the table.

    Returns:
        What is drawn, and the figure.

    Raises:
        InputError: for a figure that the table cannot give, or a forecast from other runs.
    """
    if kind not in TABLE_KINDS:
        raise InputError(f"no figure {kind!r}; there are {', '.join(TABLE_KINDS)}")
    try:
        drawing = TABLE_KINDS[kind].make(read_findings(place, table, forecast))
        return drawing, plots.figure(drawing.draw, *drawing.size)
    except InputError as error:
        raise InputError(line if str(place) in line else f"{place}: {line}" for line in error.errors) from None


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure to a .png, .svg or .pdf.

    Raises:
        InputError: for another kind of file, or one that cannot be written.
    """
    check_figure("path", path)
    plots.save(figure, Path(path))

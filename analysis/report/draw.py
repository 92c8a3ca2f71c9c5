"""One figure of a table, and its file."""

from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure

from analysis import plots
from analysis.errors import InputError
from analysis.files import check_figure
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import refuse_other_table, score
from analysis.report.figures import KINDS, Drawing
from analysis.report.findings import Findings, read_findings
from analysis.runs.table import RunTable


def draw(kind: str, table: RunTable, place: Path, forecast: Forecast | None = None) -> tuple[Drawing, Figure]:
    """Draws a figure.

    Args:
        kind: a name in ``KINDS``.
        table: the runs.
        place: the table's file, or the sweep's folder, whose forecast, score and curves are shown too.
        forecast: a forecast from these runs, in place of the folder's; scored where the target's runs are in the table.

    Returns:
        What is drawn, and the figure.

    Raises:
        InputError: for a figure that the table cannot give, or a forecast from other runs.
    """
    if kind not in KINDS:
        raise InputError(f"no figure {kind!r}; there are {', '.join(KINDS)}")
    try:
        found = read_findings(place, table)
        drawing = KINDS[kind].make(found if forecast is None else _with_forecast(found, forecast))
        return drawing, plots.figure(drawing.draw)
    except InputError as error:
        raise InputError(line if str(place) in line else f"{place}: {line}" for line in error.errors) from None


def _with_forecast(found: Findings, forecast: Forecast) -> Findings:
    """The findings with another forecast, and with its score where its target has been run."""
    table = found.table.with_target(forecast.params, forecast.tokens)
    refuse_other_table(table, forecast)
    known = table.near(table.targets, forecast.params, forecast.tokens).any()
    return replace(found, table=table, forecast=forecast, score=score(forecast, table) if known else None)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes a figure to a .png, .svg or .pdf.

    Raises:
        InputError: for another kind of file, or one that cannot be written.
    """
    check_figure("path", path)
    plots.save(figure, Path(path))

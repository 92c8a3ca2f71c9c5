"""A figure as a file."""

from pathlib import Path

from analysis import plots
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.report.figures import KINDS
from analysis.report.findings import read_findings
from analysis.runs.table import RunTable


def draw(kind: str, table: RunTable, place: Path, output: Path) -> tuple[Diagnostic, ...]:
    """Draws a figure of a table into a file, and returns what limits it.

    Args:
        kind: a name in ``KINDS``.
        table: the runs.
        place: the table's file, or the sweep's folder, whose forecast, score and curves are shown too.
        output: .png, .svg or .pdf.

    Raises:
        InputError: for a figure that the table cannot give, or a place that cannot be written.
    """
    try:
        drawing = KINDS[kind].make(read_findings(place, table))
        made = plots.figure(drawing.draw)
    except InputError as error:
        raise InputError(line if str(place) in line else f"{place}: {line}" for line in error.errors) from None
    try:
        plots.save(made, str(output))
    except OSError as error:
        raise InputError(f"{output}: cannot be written ({error.strerror})") from None
    return drawing.warnings

"""One self-contained HTML page about a sweep: its forecast, what came of it, and everything behind both."""

from pathlib import Path

from analysis.errors import InputError
from analysis.files import save_text
from analysis.report.comparisons.findings import is_comparison
from analysis.report.comparisons.page import write_comparison_report
from analysis.report.findings import RUNS, read_findings
from analysis.report.mixtures.findings import is_mixture
from analysis.report.mixtures.page import write_mixture_report
from analysis.report.page import page_of, render
from analysis.report.stages.findings import is_stage
from analysis.report.stages.page import render as render_stages
from analysis.report.stages.page import stage_page, stages_below
from analysis.runs.table import RunTable


def write_report(
    place: str | Path,
    output: str | Path | None = None,
    forecast: str | Path | None = None,
    table: RunTable | None = None,
) -> Path:
    """Writes the page about a sweep's folder, or about a table's file.

    Of a folder it reads ``runs.parquet`` and whichever of ``curves.parquet``, ``forecast.json``, ``score.json``,
    ``sweep.yaml`` and ``summary.json`` there are, and the runs of its recipe's check in the folder ``<name>-check``
    beside it. Of the folder of a stage after pre-training, or of a chain of them, it reads ``rewards.parquet`` and
    ``samples.json`` instead; of a folder with contenders, or of a comparison's own file, ``comparison.json`` and
    ``comparison_score.json``; of a folder whose mixture was chosen, or of such a choice's own file, ``choice.json`` and
    ``choice_score.json``. The page needs no network and shows nothing unescaped.

    Args:
        place: the folder or file.
        output: the page; by default ``report.html`` in the folder, or beside the file.
        forecast: a frozen forecast; by default the folder's, if it has one.
        table: the runs, if they are read already; by default those that the forecast was made from, or all.

    Returns:
        The page's path.

    Raises:
        InputError: if there is no table of runs, or a file is not what its name says.
    """
    place = Path(place)
    if table is None and forecast is None and is_comparison(place):
        return write_comparison_report(place, output)
    if table is None and forecast is None and is_mixture(place):
        return write_mixture_report(place, output)
    if table is None and forecast is None and (is_stage(place) or stages_below(place)):
        path = Path(output) if output is not None else place / "report.html"
        save_text(path, render_stages(stage_page(place)))
        return path
    if not place.suffix and not (place / RUNS).is_file():
        raise InputError(f"{place}: no {RUNS}, the table of a sweep's runs")
    found = read_findings(place, table, None if forecast is None else Path(forecast))
    folder = place if place.is_dir() else place.parent
    path = Path(output) if output is not None else folder / "report.html"
    save_text(path, render(page_of(found, place)))
    return path

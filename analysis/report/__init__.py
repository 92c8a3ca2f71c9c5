"""One self-contained HTML page about a sweep: its forecast, what came of it, and everything behind both."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from analysis import plots
from analysis.errors import InputError
from analysis.files import save_text
from analysis.report.figures import KINDS, REPORTED
from analysis.report.findings import RUNS, Findings, read_findings
from analysis.report.page import page
from analysis.report.summary import baselines, cost, title, verdict, warnings
from analysis.report.tables import laws, noise, provenance, runs, summary, sweep
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
    beside it. The page needs no network and shows nothing unescaped.

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
    if not place.suffix and not (place / RUNS).is_file():
        raise InputError(f"{place}: no {RUNS}, the table of a sweep's runs")
    found = read_findings(place, table, None if forecast is None else Path(forecast))
    folder = place if place.is_dir() else place.parent
    named = title(found, place)
    # Files that cannot be read are told before anything takes time.
    beside = [sweep(place / "sweep.yaml"), summary(place / "summary.json")] if place.is_dir() else []
    body = [
        f"<h1>{escape(named)}</h1>",
        verdict(found),
        cost(found),
        warnings(found),
        *(_figures(found) if found.table.unfit is None else _no_figures(found.table.unfit)),
        baselines(found),
        laws(found.forecast),
        noise(found.forecast, found.score),
        runs(found.table.frame),
        *beside,
        provenance(found),
    ]
    path = Path(output) if output is not None else folder / "report.html"
    save_text(path, page(named, "\n".join(filter(None, body))))
    return path


def _figures(found: Findings) -> Iterator[str]:
    """Every figure of the list with its reading, or in a line why there is none."""
    yield '<h2>Figures</h2><div class="figures">'
    for name in REPORTED:
        kind = KINDS[name]
        head = f'<figure id="{name}-figure"><h3>{escape(kind.title)}</h3>'
        try:
            drawing = kind.make(found)
            picture = plots.svg(plots.figure(drawing.draw), name)
        except InputError as error:
            reason = "; ".join(line.removeprefix(f"{found.table.source}: ") for line in error.errors)
            yield f'{head}<figcaption class="soft">Not shown: {escape(reason)}.</figcaption></figure>'
            continue
        notes = "".join(f'<p class="soft">{escape(warning.message)}</p>' for warning in drawing.warnings)
        reading = f"<figcaption>{escape(drawing.reading)}</figcaption>"
        yield f'{head}{reading}<div class="wide">{picture}</div><div>{notes}</div></figure>'
    yield "</div>"


def _no_figures(reason: str) -> Iterator[str]:
    yield f'<h2>Figures</h2><p class="soft">There is nothing to draw yet. {escape(reason)}.</p>'

"""The report's page: its content as plain data, and the HTML that the templates make of it."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast
from analysis.forecasting.score import Score
from analysis.formatting import format_duration, format_quantity
from analysis.pages.document import document, environment
from analysis.pages.table import Table
from analysis.report.domains import domain_figure, domain_table, read_domains
from analysis.report.figures import ReportFigure, report_figures
from analysis.report.findings import Findings
from analysis.report.summary import SweepCost, bits_per_byte, sweep_cost, title, warnings
from analysis.report.tables import baselines, laws, noise, provenance, runs, spent, sweep_file
from analysis.report.words import change, count


@dataclass(frozen=True)
class Page:
    """Everything that the report shows, from top to bottom.

    Attributes:
        title: the sweep's name, or that of the folder or file.
        forecast: the frozen forecast, or None.
        score: its score, or None while the target is not trained.
        made_elsewhere: whether the forecast was made from other rows.
        bits_per_byte: the forecast's loss in bits per byte, or None where the runs do not determine the factor.
        cost: FLOPs and time of the runs, or None before one has ended.
        warnings: what limits the forecast.
        figures: the drawn figures, and those that this table cannot give.
        shown: how many runs the figures show, and how many there are, where they show a part; else None.
        no_figures: why nothing can be drawn at all, or None.
        domains: the losses by domain: their figure and table; None where the runs have not several domains.
        baselines: the forecast beside naive ones, or None without a forecast.
        laws: weight and constants of each law, or None without a forecast.
        noise: seed noise by budget, or None where no run has a replicate.
        runs: every run.
        sweep_file: the text of the sweep's file, or None.
        spent: the corpus, its held-out text and the time spent, or None.
        provenance: hashes and versions.
    """

    title: str
    forecast: Forecast | None
    score: Score | None
    made_elsewhere: bool
    bits_per_byte: float | None
    cost: SweepCost | None
    warnings: tuple[Diagnostic, ...]
    figures: tuple[ReportFigure, ...]
    shown: tuple[int, int] | None
    no_figures: str | None
    domains: tuple[ReportFigure, Table] | None
    baselines: Table | None
    laws: Table | None
    noise: Table | None
    runs: Table
    sweep_file: str | None
    spent: Table | None
    provenance: Table


def page_of(found: Findings, place: Path) -> Page:
    """The page about a sweep's folder, or a table's file.

    Raises:
        InputError: if ``summary.json`` is not readable.
    """
    # Read first: a file that cannot be read is reported before anything takes time.
    text, time = (sweep_file(place), spent(place)) if place.is_dir() else (None, None)
    forecast, score = found.forecast, found.score
    domains = read_domains(found) if found.table.unfit is None else ()
    return Page(
        title=title(found, place),
        forecast=forecast,
        score=score,
        made_elsewhere=found.made_elsewhere,
        bits_per_byte=None if forecast is None else bits_per_byte(found.table.frame, forecast.loss),
        cost=sweep_cost(found),
        warnings=warnings(found),
        figures=tuple(report_figures(found)) if found.table.unfit is None else (),
        shown=_shown(found),
        no_figures=found.table.unfit,
        domains=(domain_figure(domains), domain_table(domains)) if domains else None,
        baselines=baselines(forecast, score),
        laws=laws(forecast),
        noise=noise(forecast, score),
        runs=runs(found.table.frame),
        sweep_file=text,
        spent=time,
        provenance=provenance(found),
    )


def _shown(found: Findings) -> tuple[int, int] | None:
    if found.table.unfit is not None or len(found.table.arrays) == len(found.table.fit):
        return None
    return len(found.table.arrays), len(found.table.fit)


@cache
def _environment() -> Environment:
    """The templates, and what they write numbers with."""
    templates = environment("analysis.report")
    templates.filters |= {"quantity": format_quantity, "duration": format_duration, "number": format, "drawn": Markup}
    templates.filters |= {"change": change, "count": count}
    return templates


def render(page: Page) -> str:
    """The page as one HTML document: the browser may load nothing and run no script but the page's own.

    Everything is escaped but the figures' SVG, the style sheet and the script.
    """
    script = files("analysis.report").joinpath("templates", "page.js").read_text()
    return document(_environment(), "page.html.j2", script=script, title=page.title, page=page)

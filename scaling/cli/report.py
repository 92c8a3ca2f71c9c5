"""``scaling report``: write the HTML report of a sweep's folder, or of any table of runs."""

from pathlib import Path

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE


@click.command()
@click.argument("place", metavar="DIR|TABLE|URL", type=TABLE)
@click.option(
    "--forecast",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="What predict --freeze wrote.  [default: DIR/forecast.json]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The page.  [default: report.html in DIR, or beside TABLE]",
)
@json_option
def command(place: str, forecast: str | None, output: str | None, as_json: bool) -> None:
    """Write report.html: the forecast and what came of it, figures, warnings, runs, and the sweep itself.

    DIR is a sweep's folder, also while its runs still train, or any folder with a table runs.parquet; TABLE is a CSV,
    Parquet or JSONL file of anybody's runs. The page is a single file that needs no network. What is not there yet,
    such as the score, is left out; a figure that the runs cannot give says why.

    \b
    Examples:
      scaling report runs/quickstart
      scaling report theirs.csv --forecast forecast.json -o theirs.html
    """
    from analysis.report import write_report
    from scaling.sweep.store import PLAN, RUNS, SweepFolder

    # A copy that came without its run folders keeps the tables it has: they cannot be made anew.
    if (Path(place) / PLAN).exists() and (Path(place) / RUNS).is_dir():
        from scaling.pipeline import write_tables

        write_tables(SweepFolder(Path(place)))
    path = write_report(place, output, forecast)
    emit({"report": str(path)}, as_json, f"report         {path}")

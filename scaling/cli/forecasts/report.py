"""``scaling report``: write the HTML report of a sweep's folder, or of any table of runs."""

from collections.abc import Mapping

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import column_options, refuse_options


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
@column_options
@json_option
def command(
    place: str,
    forecast: str | None,
    output: str | None,
    where: str | None,
    columns: Mapping[str, str] | None,
    as_json: bool,
) -> None:
    """Write report.html: the forecast and what came of it, figures, warnings, runs, and the sweep itself.

    Of a folder with contenders, or of what scaling compare --freeze wrote, the page is about the comparison; of a
    sweep with mixtures whose best is chosen, or of what scaling mixture choose --freeze wrote, it is about the mixture.

    DIR is a sweep's folder, also while its runs still train, or any folder with a table runs.parquet; TABLE is a CSV,
    Parquet or JSONL file of anybody's runs. The page is a single file that needs no network. What is not there yet,
    such as the score, is left out; a figure that the runs cannot give says why. Where there are several columns
    loss_<domain>, each of them is forecast too. With a forecast, columns and rows are those that it was made from, and
    --columns and --where do not apply.

    \b
    Examples:
      scaling report runs/quickstart
      scaling report theirs.csv --forecast forecast.json -o theirs.html
    """
    from scaling.api.pages import report

    if forecast is not None:
        refuse_options(("where", "columns"), f"--forecast {forecast}", "made from columns and rows of its own")
    emit(report(place, forecast=forecast, output=output, where=where, columns=columns), as_json)

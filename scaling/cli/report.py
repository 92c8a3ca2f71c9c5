"""``scaling report``: write the HTML report of a sweep's folder."""

import click

from scaling.cli.common import emit, json_option


@click.command()
@click.argument("folder", metavar="DIR")
@json_option
def command(folder: str, as_json: bool) -> None:
    """Write DIR/report.html: the forecast and what came of it, figures, warnings, runs, and the sweep itself.

    DIR is a sweep's folder. The page is a single file that needs no network. What is not there yet, such as
    the score, is left out.

    \b
    Example:
      scaling report runs/quickstart
    """
    from analysis.report import write_report

    path = write_report(folder)
    emit({"report": str(path)}, as_json, f"report         {path}")

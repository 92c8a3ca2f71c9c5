"""``scaling report``: write the HTML report of a sweep's folder."""

from pathlib import Path

import click

from scaling.cli.common import emit, json_option


@click.command()
@click.argument("folder", metavar="DIR")
@json_option
def command(folder: str, as_json: bool) -> None:
    """Write DIR/report.html: the forecast and what came of it, figures, warnings, runs, and the sweep itself.

    DIR is a sweep's folder, also while its runs still train, or any folder with a table runs.parquet. The page is a
    single file that needs no network. What is not there yet, such as the score, is left out.

    \b
    Example:
      scaling report runs/quickstart
    """
    from analysis.report import write_report
    from scaling.sweep.store import PLAN, RUNS, SweepFolder

    # A copy that came without its run folders keeps the tables it has: they cannot be made anew.
    if (Path(folder) / PLAN).exists() and (Path(folder) / RUNS).is_dir():
        from scaling.pipeline import write_tables

        write_tables(SweepFolder(Path(folder)))
    path = write_report(folder)
    emit({"report": str(path)}, as_json, f"report         {path}")

"""``scaling data report``, and what ``scaling data inspect`` shows of a curated folder."""

import os
from pathlib import Path

import click

from scaling.cli.common import emit_plain, json_option


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The page.  [default: DIR/funnel.html]",
)
@json_option
def report_curated(folder: Path, output: Path | None, as_json: bool) -> None:
    """Write the page of what a curation dropped: by source, step and rule, with thresholds and examples.

    DIR is what `scaling data curate` made, or a build of a file with such steps. The page is a single file that needs
    no network and runs no script.

    \b
    Examples:
      scaling data report data/web-clean
      scaling data report data/web-clean -o funnel.html
    """
    from analysis.curation import write_page

    path, funnel = write_page(Path(os.path.expanduser(folder)), output)
    warnings = [{"code": warning.code, "message": warning.message} for warning in funnel.warnings]
    emit_plain({"file": str(path), "warnings": warnings}, as_json, f"report         {path}")


def inspect_curated(folder: Path, dropped: str | None, show: int, as_json: bool) -> None:
    """Prints what is left of a curation's documents; or, of a step or rule by name, those that it dropped."""
    from analysis.curation.dropped import read_dropped
    from analysis.curation.reading import content_of, read_funnel
    from analysis.curation.text import dropped_text, funnel_text

    funnel = read_funnel(folder)
    if dropped is None:
        emit_plain(content_of(funnel), as_json, lambda: funnel_text(funnel))
        return
    found = read_dropped(folder, funnel, dropped, show)
    emit_plain(found.to_dict(), as_json, lambda: dropped_text(found, funnel))

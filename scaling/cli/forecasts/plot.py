"""``scaling plot``: draw one figure from a table of runs."""

from collections.abc import Mapping

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import table_options

KINDS = (
    "flops",
    "tokens",
    "isoflop",
    "envelope",
    "optimum",
    "overtraining",
    "backtest",
    "residuals",
    "rates",
    "collapse",
)


@click.command()
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@click.argument("table", metavar="TABLE", type=TABLE)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where to: .png, .svg or .pdf.",
)
@table_options
@json_option
def command(
    kind: str, table: str, output: str, where: str | None, columns: Mapping[str, str] | None, best: bool, as_json: bool
) -> None:
    """Draw one figure from a table of runs.

    \b
    Kinds:
      flops         loss over training FLOPs; from a sweep's folder, with its forecast and the target's runs
      tokens        loss over training tokens, by size; from a sweep's folder, with the fitted and measured curves
      isoflop       loss over parameters at each budget, with parabolas and their minima
      envelope      loss over training FLOPs by size, with the lowest of the curves
      optimum       the best parameters and tokens over training FLOPs, by the parabolas and by the envelope
      overtraining  loss over tokens per parameter, by size
      backtest      errors of forecasts from the low-compute runs, over how far beyond them the high-compute ones lie
      residuals     how far each run lies from the laws of a sweep's frozen forecast
      rates         what each learning rate loses to the best one, at each size and length of a tuning sweep
      collapse      the loss curves of a sweep's folder on one another, and which runs leave the others'

    TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss.

    \b
    Examples:
      scaling plot flops runs/quickstart -o flops.png
      scaling plot isoflop llama3_isoflop.csv -o isoflop.svg
    """
    from scaling.api.pages import plot

    emit(plot(kind, table, output=output, where=where, columns=columns, best=best), as_json)

"""``scaling backtest``: forecasts from a table's low-compute runs, compared with its high-compute ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options

HELP = """Measure how far forecasts from a table's low-compute runs miss its high-compute ones, and how often the
interval holds the actual loss.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss. Errors are
fractions of the actual loss; coverage is of the 90 % interval.

With --law overoptimization-bon or overoptimization-rl it holds reward curves, as for `scaling fit`: forecasts for
reward models of more pairs than those fitted, and of the last three quarters of each run of PPO from its first.

\b
Examples:
  scaling backtest chinchilla.csv --where "excluded_by_epoch == 0"
  scaling backtest runs/isoflop --train-below 1e17 --law auto --json
"""


@dataclass(frozen=True)
class Request:
    """The options of the command; ``splits`` has one value, the default."""

    table: str
    train_below: float | None
    splits: str
    law: str | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("table", metavar="TABLE", type=TABLE)
@click.option(
    "--train-below",
    type=QUANTITY,
    metavar="FLOPS",
    help="Train on runs of at most this, test on the rest.  [default: --splits rolling]",
)
@click.option(
    "--splits",
    type=click.Choice(["rolling"]),
    default="rolling",
    show_default=True,
    help="Thresholds 3, 10, 30, 100 times below the largest run; each leaves 12 runs to train on and 3 to test.",
)
@click.option("--law", metavar="NAME", help="One law, or auto.  [default: every law and auto]")
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Backtests forecasts and prints their errors."""
    from scaling.api.forecasts import backtest
    from scaling.api.rewards import OVEROPTIMIZATION, backtest_rewards

    where, columns = request.where, request.columns
    if request.law in OVEROPTIMIZATION:
        refuse_options(("train_below", "splits", "best"), f"--law {request.law}", "of curves of reward")
        emit(backtest_rewards(request.table, law=request.law, where=where, columns=columns), as_json)
        return
    result = backtest(
        request.table,
        train_below=request.train_below,
        law=request.law,
        where=where,
        columns=columns,
        best=request.best,
    )
    emit(result, as_json)

"""``scaling backtest``: forecasts from a table's low-compute runs, compared with its high-compute ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import CONTENDERS, named_tables, one_table
from scaling.cli.mixing.values import pattern_options
from scaling.cli.tables import refuse_options, table_options, with_loss

if TYPE_CHECKING:
    from analysis.comparing.backtest import ComparisonBacktest
    from analysis.mixing.backtest import MixtureBacktest

HELP = """Measure how far forecasts from a table's low-compute runs miss its high-compute ones, and how often the
interval holds the actual loss.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss. Errors are
fractions of the actual loss; coverage is of the 90 % interval.

With --law overoptimization-bon or overoptimization-rl it holds reward curves, as for `scaling fit`: forecasts for
reward models of more pairs than those fitted, and of the last three quarters of each run of PPO from its first.

With --compare it holds comparisons, of several TABLEs or of one split --by a column: contenders are compared by their
runs up to a budget, and judged by each pair of runs beyond it, beside two baselines: the order at the largest fitted
budget, and a law of each contender alone. Budgets are about 3, 10, 30 and 100 times those fitted.

With --mixtures it holds mixtures of data, as `scaling mixture choose` forecasts them: the low-compute runs of TABLE
forecast the losses by domain of the high-compute ones, also of mixtures that they did not try. Errors are of log
losses: of what mixtures differ by, and of their level.

\b
Examples:
  scaling backtest chinchilla.csv --where "excluded_by_epoch == 0"
  scaling backtest runs/isoflop --train-below 1e17 --law auto --json
  scaling backtest all.csv --compare --by optimizer
  scaling backtest runs/mixture --mixtures
"""


@dataclass(frozen=True)
class Request:
    """The options of the command; ``splits`` has one value, the default."""

    tables: tuple[tuple[str | None, str], ...]
    compare: bool
    mixtures: bool
    by: str | None
    loss: str | None
    train_below: float | None
    splits: str
    law: str | None
    mix: str | None
    losses: str | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("tables", metavar="TABLE ...", type=CONTENDERS, nargs=-1)
@click.option("--compare", is_flag=True, help="Hold comparisons of contenders.  [default: forecasts of losses]")
@click.option("--mixtures", is_flag=True, help="Hold mixtures of data.  [default: forecasts of losses]")
@click.option("--by", metavar="COLUMN", help="With --compare: the column of one table that tells contenders apart.")
@click.option("--loss", metavar="COLUMN", help="With --compare: the loss to compare.  [default: the runs' own]")
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
@pattern_options
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Backtests forecasts and prints their errors."""
    from scaling.api.forecasts import backtest
    from scaling.api.rewards import OVEROPTIMIZATION, backtest_rewards

    where, columns = request.where, request.columns
    if request.compare or request.mixtures:
        emit(_compared(request) if request.compare else _mixed(request), as_json)
        return
    refuse_options(("by", "loss"), "a backtest without --compare", "of one table's forecasts")
    refuse_options(("mix", "losses"), "a backtest without --mixtures", "of one table's forecasts")
    table = one_table(request.tables)
    if request.law in OVEROPTIMIZATION:
        refuse_options(("train_below", "splits", "best"), f"--law {request.law}", "of curves of reward")
        emit(backtest_rewards(table, law=request.law, where=where, columns=columns), as_json)
        return
    result = backtest(
        table,
        train_below=request.train_below,
        law=request.law,
        where=where,
        columns=columns,
        best=request.best,
    )
    emit(result, as_json)


def _compared(request: Request) -> "ComparisonBacktest":
    from scaling.api.comparing.comparisons import backtest_comparisons

    refuse_options(
        ("train_below", "splits", "law", "best", "mixtures", "mix", "losses"),
        "--compare",
        "of contenders, at every budget",
    )
    return backtest_comparisons(
        *named_tables(request.tables),
        by=request.by,
        where=request.where,
        columns=with_loss(request.columns, request.loss),
    )


def _mixed(request: Request) -> "MixtureBacktest":
    from scaling.api.mixing.choices import backtest_mixtures

    refuse_options(("by", "loss", "train_below", "splits", "best"), "--mixtures", "of mixtures, at every size")
    return backtest_mixtures(
        one_table(request.tables),
        law=request.law,
        mix=request.mix,
        losses=request.losses,
        where=request.where,
        columns=request.columns,
    )

"""``scaling backtest``: forecasts from a table's cheaper runs, held to its dearer ones."""

import click

from scaling.cli.common import QUANTITY, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import parse_columns, table_options


@click.command()
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
def command(
    table: str,
    train_below: float | None,
    splits: str,  # noqa: ARG001 - one value so far, and the default
    law: str | None,
    where: str | None,
    columns: str | None,
    best: bool,
    as_json: bool,
) -> None:
    """Measure how far forecasts from a table's cheaper runs miss its dearer ones, and how often the interval holds.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss. Errors are
    fractions of the actual loss; coverage is of the 90 % interval.

    \b
    Examples:
      scaling backtest chinchilla.csv --where "excluded_by_epoch == 0"
      scaling backtest runs/isoflop --train-below 1e17 --law auto --json
    """
    from analysis.forecasting.backtest import backtest
    from analysis.forecasting.ensemble import AUTO
    from analysis.laws import LAWS
    from analysis.runs.table import read_table

    runs = read_table(table, parse_columns(columns), where, best=best)
    result = backtest(runs, [law] if law else [*LAWS, AUTO], train_below)

    def text() -> str:
        lines = ["train below  reach  train  test  law                error  signed  covered  half-width"]
        for split in result.splits:
            head = f"{split.train_below:11.3g} {split.extrapolation:6.3g} {split.n_train:6d} {split.n_test:5d}"
            for name, s in split.laws.items():
                lines.append(f"{head}  {name:16} {s.are:7.2%} {s.signed:+7.2%} {s.covered:8.0%} {s.half_width:11.2%}")
        lines.append("mean error, worst, coverage, median half-width:")
        lines += [
            f"  {name:16} {s['mean_are']:.2%}  {s['worst_are']:.2%}  {s['coverage']:.0%}  {s['median_half_width']:.2%}"
            for name, s in result.summary.items()
        ]
        return "\n".join(lines)

    emit(result.to_dict(), as_json, text)

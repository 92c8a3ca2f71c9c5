"""``scaling allocate``: split a FLOP budget between parameters and tokens."""

import click

from scaling.cli.common import QUANTITY, emit, json_option
from scaling.cli.tables import parse_columns, refuse_options, table_options
from scaling.quantity import format_quantity


@click.command()
@click.argument("table", metavar="TABLE|published:NAME")
@click.option("--flops", type=QUANTITY, required=True, metavar="C", help="The budget, in FLOPs.")
@click.option(
    "--inference-tokens",
    type=QUANTITY,
    metavar="T",
    help="Tokens to serve later from the same budget, each at a third of a training token's FLOPs.  [default: none]",
)
@click.option(
    "--unique-tokens",
    type=QUANTITY,
    metavar="U",
    help="Training tokens before they repeat; repeats count for less and less.  [default: no limit]",
)
@click.option(
    "--law",
    default="chinchilla",
    show_default=True,
    metavar="NAME",
    help="chinchilla, chinchilla-tied or skaling, to fit to TABLE.",
)
@table_options
@json_option
def command(
    table: str,
    flops: float,
    inference_tokens: float | None,
    unique_tokens: float | None,
    law: str,
    where: str | None,
    columns: str | None,
    best: bool,
    as_json: bool,
) -> None:
    """Split a FLOP budget between parameters and tokens for the least loss, with the range that does as well.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss. Training costs, per
    parameter and token, what the table's runs nearest in size cost: 6 FLOPs where it has no flops. published:NAME
    takes a paper's constants instead, and 6: chinchilla-epoch, chinchilla-hoffmann, muennighoff.

    \b
    Examples:
      scaling allocate published:chinchilla-epoch --flops 5.76e23
      scaling allocate runs/quickstart --flops 1e15 --json
      scaling allocate published:muennighoff --flops 1e24 --inference-tokens 2T --unique-tokens 500B
    """
    from analysis.allocate import allocate
    from analysis.fit import fit
    from analysis.points import Points
    from analysis.published import PREFIX, published
    from analysis.table import read_table

    if table.startswith(PREFIX):
        refuse_options(("law", "where", "columns", "best"), table, "a paper's fit")
        fitted, inputs = published(table), None
    else:
        runs = read_table(table, parse_columns(columns), where, best=best)
        fitted, inputs = fit(runs, law), Points.of(runs.fit).inputs
    split = allocate(fitted, flops, inference_tokens or 0.0, unique_tokens, inputs)
    low, high = split.near_optimal["params"]
    emit(
        split.to_dict(),
        as_json,
        lambda: "\n".join(
            [
                f"parameters     {format_quantity(split.params)}",
                f"tokens         {format_quantity(split.tokens)}: {split.tokens_per_param:.3g} per parameter",
                f"loss           {split.loss:.4f} nats per token",
                f"near-optimal   {format_quantity(low)} to {format_quantity(high)} parameters: within 0.25 %",
                f"law            {split.law}, {fitted.convention}",
            ]
        ),
    )

"""``scaling allocate``: split a FLOP budget between parameters and tokens."""

from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, emit, json_option
from scaling.cli.tables import parse_columns, refuse_options, table_options
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.allocate import Allocation
    from analysis.approaches import FrontierAllocation


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
    "--approach",
    type=click.Choice(["law", "isoflop", "envelope"]),
    default="law",
    show_default=True,
    help="law: fit a law (approach 3). isoflop: a parabola at each budget (approach 2). envelope: the lowest of the "
    "sizes' curves over compute (approach 1).",
)
@click.option(
    "--law",
    default="chinchilla",
    show_default=True,
    metavar="NAME",
    help="The law to fit to TABLE: any that tells parameters from tokens.",
)
@table_options
@json_option
def command(
    table: str,
    flops: float,
    inference_tokens: float | None,
    unique_tokens: float | None,
    approach: str,
    law: str,
    where: str | None,
    columns: str | None,
    best: bool,
    as_json: bool,
) -> None:
    """Split a FLOP budget between parameters and tokens for the least loss, with the range that does as well.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss. Training costs, per
    parameter and token, what the table's runs nearest in size cost: 6 FLOPs where it has no flops. published:NAME
    takes a paper's constants instead, and 6: chinchilla-epoch, chinchilla-hoffmann, kaplan, muennighoff, gadre-c4,
    gadre-redpajama, gadre-refinedweb.

    Approaches 1 and 2 assume no form of the loss: they find the best size at the computes that were trained, leave out
    those that do not bracket it, and continue a power law. They need a grid of sizes; training only, fresh data only.

    \b
    Examples:
      scaling allocate published:chinchilla-epoch --flops 5.76e23
      scaling allocate runs/quickstart --flops 1e15 --json
      scaling allocate llama3_isoflop.csv --flops 3.8e25 --approach isoflop
      scaling allocate published:muennighoff --flops 1e24 --inference-tokens 2T --unique-tokens 500B
    """
    from analysis.allocate import allocate
    from analysis.approaches import allocate_by
    from analysis.fit import fit
    from analysis.points import Points
    from analysis.published import PREFIX, published
    from analysis.table import read_table

    if table.startswith(PREFIX):
        refuse_options(("approach", "law", "where", "columns", "best"), table, "a paper's fit")
        split = allocate(published(table), flops, inference_tokens or 0.0, unique_tokens)
        emit(split.to_dict(), as_json, lambda: _text(split, published(table).convention))
        return
    runs = read_table(table, parse_columns(columns), where, best=best)
    if approach != "law":
        refuse_options(("law", "inference_tokens", "unique_tokens"), f"--approach {approach}", "of training alone")
        along = allocate_by(approach, runs, flops)
        emit(along.to_dict(), as_json, lambda: f"{_text(along, runs.convention)}\n{_frontier_text(along)}")
        return
    split = allocate(fit(runs, law), flops, inference_tokens or 0.0, unique_tokens, Points.of(runs.fit).inputs)
    emit(split.to_dict(), as_json, lambda: _text(split, runs.convention))


def _text(split: "Allocation", convention: str) -> str:
    low, high = split.near_optimal["params"]
    sizes = tokens = ""
    if split.interval is not None:
        sizes, tokens = (f"  [{_span(split.interval[name])}]" for name in ("params", "tokens"))
    return "\n".join(
        [
            f"parameters     {format_quantity(split.params)}{sizes}",
            f"tokens         {format_quantity(split.tokens)}{tokens}: {split.tokens_per_param:.3g} per parameter",
            f"loss           {split.loss:.4f} nats per token",
            f"near-optimal   {format_quantity(low)} to {format_quantity(high)} parameters: within 0.25 %",
            f"law            {split.law}, {convention}",
        ]
    )


def _frontier_text(split: "FrontierAllocation") -> str:
    lines = []
    for label, name, exponent, coefficient in (
        ("N*(C)", "exponent", split.exponent, split.coefficient),
        ("D*(C)", "tokens_exponent", split.tokens_exponent, split.tokens_coefficient),
    ):
        line = f"{label:<14} {coefficient:.3g} C^{exponent:.3f}"
        if split.interval is not None:
            low, high = split.interval[name]
            line += f"  [{low:.3f} to {high:.3f}]"
        lines.append(line)
    if split.skew is not None:
        lines.append("skew           {:.2g} +- {:.2g}, taken out; an even parabola has 0".format(*split.skew))
    used, out = split.budgets.used, split.budgets.left_out
    lines.append(f"budgets        {min(used):.3g} to {max(used):.3g} FLOPs; left out: {len(out) or 'none'}")
    return "\n".join(lines)


def _span(interval: tuple[float, float]) -> str:
    return " to ".join(format_quantity(edge) for edge in interval)

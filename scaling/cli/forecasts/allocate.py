"""``scaling allocate``: how many parameters and tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options

HELP = """How many parameters, on how many tokens: for a training budget, for a loss, or for a model given.

\b
--flops C                       the lowest loss for C training FLOPs
--flops C --inference-tokens T  the least FLOPs, training and serving, for that loss
--loss L                        the least FLOPs for a loss, those of serving included
with --params or --tokens       the other one, and what it costs beside the best split
--params and --tokens           what over-training (or under-training) that model costs

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss. Training costs, per
parameter and token, what the table's runs nearest in size cost: 6 FLOPs where it has no flops. published:NAME
takes a paper's constants instead, and 6: chinchilla-epoch, chinchilla-hoffmann, chinchilla-sardana, kaplan,
muennighoff, gadre-c4, gadre-redpajama, gadre-refinedweb.

Brackets hold 90 % intervals, and the last lines say what these cover. Sizes called near-optimal lose at most
0.25 % more for the same FLOPs.

Approaches 1 and 2 assume no form of the loss: they find the best size at the computes that were trained, leave out
those that do not bracket it, and continue a power law. They need a grid of sizes, and --flops alone.

\b
Examples:
  scaling allocate published:chinchilla-epoch --flops 5.76e23
  scaling allocate runs/quickstart --flops 1e15 --plot split.svg
  scaling allocate llama3_isoflop.csv --flops 3.8e25 --approach isoflop
  scaling allocate published:chinchilla-sardana --loss 1.947 --inference-tokens 2T
  scaling allocate published:chinchilla-epoch --model llama3-8b --tokens 15T
  scaling allocate published:muennighoff --flops 1e24 --unique-tokens 500B
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    table: str
    flops: float | None
    loss: float | None
    params: float | None
    model: str | None
    tokens: float | None
    inference_tokens: float | None
    unique_tokens: float | None
    approach: str
    law: str
    plot: str | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option("--flops", type=QUANTITY, metavar="C", help="The training budget, in FLOPs.")
@click.option("--loss", type=QUANTITY, metavar="L", help="Or the loss to be reached, nats per token.")
@click.option("--params", type=QUANTITY, metavar="N", help="Fixes the parameters.")
@click.option("--model", metavar="NAME", help="Likewise, to those of a published Llama; `scaling models` lists them.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Fixes the training tokens.")
@click.option(
    "--inference-tokens",
    type=QUANTITY,
    metavar="T",
    help="Tokens to serve over the model's life, each at a third of a training token's FLOPs. --flops then stands for "
    "the loss of the compute-optimal model that it pays for.  [default: none]",
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
    help="law: fit laws (approach 3). isoflop: a parabola at each budget (approach 2). envelope: the lowest of the "
    "sizes' curves over compute (approach 1).",
)
@click.option(
    "--law",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto weighs every law of both parameters and tokens, as `scaling predict` does; or one law by its name.",
)
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Draw what other sizes would lose or cost: .png, .svg or .pdf.",
)
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Allocates and prints the split."""
    from analysis.fitting.published import PREFIX
    from scaling.api.allocations import allocate, allocate_along

    table, where, columns, best = request.table, request.where, request.columns, request.best
    if table.startswith(PREFIX):
        refuse_options(("approach", "law", "where", "columns", "best"), table, "a paper's fit")
    if request.approach != "law":
        others = ("loss", "params", "model", "tokens", "law", "inference_tokens", "unique_tokens", "plot")
        refuse_options(others, f"--approach {request.approach}", "of a training budget alone")
        made = allocate_along(request.approach, table, flops=request.flops, where=where, columns=columns, best=best)
        emit(made, as_json)
        return
    split = allocate(
        table,
        flops=request.flops,
        loss=request.loss,
        params=request.params,
        model=request.model,
        tokens=request.tokens,
        inference_tokens=request.inference_tokens,
        unique_tokens=request.unique_tokens,
        law=request.law,
        plot=request.plot,
        where=where,
        columns=columns,
        best=best,
    )
    emit(split, as_json)

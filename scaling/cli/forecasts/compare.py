"""``scaling compare``: which contender has the lower loss at a target, and by how many times the compute."""

from collections.abc import Mapping
from dataclasses import dataclass

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import CONTENDERS, named_tables
from scaling.cli.tables import column_options, refuse_options, with_loss

HELP = """Compare contenders (recipes, optimizers, corpora, models) at a target: which has the lower loss there, with
what probability, and how many times the compute the other needs for it.

A, B and so on are sweeps' folders, or CSV, JSON, Parquet or Excel files with parameters, tokens and loss; NAME=TABLE
sets a contender's name. One folder of a sweep with contenders stands for them all, and without --params and --tokens
each contender's own target is compared. With --by one table holds several contenders.

Runs of one size, length and seed are paired: what both share cancels in the difference. The interval at the target is
from folds of these differences, held out beyond each budget. Losses must be on the same held-out text.

\b
Examples:
  scaling compare runs/adamw runs/muon --params 8B --tokens 1T
  scaling compare all.csv --by optimizer --model llama3-8b --tokens 15T --freeze comparison.json
  scaling compare c4=c4.csv web=web.csv --loss loss_code --params 1B --tokens 20B
  scaling compare comparison.json
"""
_COMPARING = ("by", "params", "model", "tokens", "flops", "loss", "interval", "seeds", "bootstrap", "where", "columns")


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    tables: tuple[tuple[str | None, str], ...]
    by: str | None
    params: float | None
    model: str | None
    tokens: float | None
    flops: float | None
    loss: str | None
    interval: float
    seeds: int | None
    bootstrap: int
    freeze: str | None
    where: str | None
    columns: Mapping[str, str] | None


@click.command(help=HELP)
@click.argument("tables", metavar="A B ...|comparison.json", type=CONTENDERS, nargs=-1, required=True)
@click.option("--by", metavar="COLUMN", help="The column of one table that tells contenders apart.")
@click.option("--params", type=QUANTITY, metavar="N", help="The target's parameters, counted as in the tables.")
@click.option("--model", metavar="NAME", help="Or a published Llama; `scaling models` lists them.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="The target's training tokens.")
@click.option(
    "--flops",
    type=QUANTITY,
    metavar="C",
    help="Its training FLOPs.  [default: per parameter and token, what each contender's runs nearest in size need]",
)
@click.option("--loss", metavar="COLUMN", help="The loss to compare, such as loss_code.  [default: the runs' own]")
@click.option(
    "--interval", type=QUANTITY, default="90%", show_default=True, metavar="SHARE", help="Level of the intervals."
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="COUNT",
    help="Runs of each contender at the target, whose mean is compared.  [default: 1, or as many as the sweeps plan]",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=20),
    default=200,
    show_default=True,
    metavar="COUNT",
    help="Resamples of pairs and of runs.",
)
@click.option(
    "--freeze",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write the comparison, with the tables' hashes, for `scaling score`; never overwrites another.",
)
@column_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Makes or reads a comparison and prints it."""
    from scaling.api.comparing.comparisons import FrozenComparison, compare, frozen_comparison

    [(_, first), *others] = request.tables
    made = frozen_comparison(first) if not others else None
    if made is not None:
        refuse_options(_COMPARING, first, "frozen: compare anew from its tables")
    else:
        made = compare(
            *named_tables(request.tables),
            by=request.by,
            params=request.params,
            tokens=request.tokens,
            model=request.model,
            flops=request.flops,
            interval=request.interval,
            seeds=request.seeds,
            bootstrap=request.bootstrap,
            where=request.where,
            columns=with_loss(request.columns, request.loss),
            unseen=request.freeze is not None,
        )
    emit(FrozenComparison.at(made, request.freeze) if request.freeze else made, as_json)

"""``scaling design``: the choice of the next runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import CONTENDERS, named_tables, one_table
from scaling.cli.tables import refuse_options, table_options, with_loss

if TYPE_CHECKING:
    from analysis.comparing.design import ComparisonDesign

HELP = """Choose the runs to train next: those that narrow the forecast of the target most for the FLOPs.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss: the runs that there
are. published:NAME stands for none, with a paper's law for what to expect: see scaling allocate --help.

Writes a sweep file. With a sweep's folder it is that sweep with the new runs, and the target requested: train them
into the same folder, where finished runs are kept, and ask again. No run takes more than a fifth of the FLOPs, nor
a third of the target's. FLOPs that cannot identify a law are refused, and the least that suffices is reported.

With --compare it says which further runs would decide a comparison of several TABLEs, or of one split --by a column:
from 1 to 8 further runs of each contender at 1, 2, 4 and more times their largest common budget, with their cost and
with the probability that the comparison is expected to state then. It writes no file.

\b
Examples:
  scaling design runs/quickstart --target-params 200k --target-tokens 10M --spend 3e12
  scaling run next.yaml --out runs/quickstart --fit-only
  scaling design published:chinchilla-epoch --target-params 8B --target-tokens 15T --spend 1e21 \\
    --like sweeps/llama3-ladder.yaml -o first.yaml
  scaling design runs/adamw runs/muon --compare --target-params 8B --target-tokens 1T
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    tables: tuple[tuple[str | None, str], ...]
    compare: bool
    by: str | None
    loss: str | None
    target_params: float
    target_tokens: float
    spend: float | None
    like: str | None
    output: Path | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("tables", metavar="TABLE|published:NAME ...", type=CONTENDERS, nargs=-1)
@click.option("--compare", is_flag=True, help="Decide a comparison.  [default: narrow the forecast of one loss]")
@click.option("--by", metavar="COLUMN", help="With --compare: the column of one table that tells contenders apart.")
@click.option("--loss", metavar="COLUMN", help="With --compare: the loss to compare.  [default: the runs' own]")
@click.option("--target-params", type=QUANTITY, required=True, metavar="N", help="Parameters of the target run.")
@click.option("--target-tokens", type=QUANTITY, required=True, metavar="D", help="Tokens of the target run.")
@click.option(
    "--spend",
    type=QUANTITY,
    metavar="FLOPS",
    help="FLOPs to spend on further small runs; with --compare the most for those of two contenders, by default any.",
)
@click.option(
    "--like",
    metavar="SWEEP.yaml",
    help="A sweep file whose shapes, corpus and recipe the runs are to have.  [default: the sweep in TABLE, if it is a "
    "folder with one; else a plain family, on bytes of your own text]",
)
@click.option(
    "-o",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The sweep file to write.  [default: next.yaml]",
)
@table_options
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Chooses runs, writes their sweep file and prints them."""
    from scaling.api.designs import design

    if request.compare:
        emit(_deciding(request), as_json)
        return
    refuse_options(("by", "loss"), "a design without --compare", "for the forecast of one table")
    table = one_table(request.tables)
    if request.spend is None:
        raise click.UsageError("Missing option '--spend'.")
    chosen = design(
        table,
        target_params=request.target_params,
        target_tokens=request.target_tokens,
        spend=request.spend,
        like=request.like,
        output=request.output,
        where=request.where,
        columns=request.columns,
        best=request.best,
    )
    emit(chosen, as_json)


def _deciding(request: Request) -> "ComparisonDesign":
    from scaling.api.comparing.comparisons import design_comparison

    refuse_options(("like", "output", "best"), "--compare", "of contenders, and writes no sweep file")
    return design_comparison(
        *named_tables(request.tables),
        by=request.by,
        params=request.target_params,
        tokens=request.target_tokens,
        spend=request.spend,
        where=request.where,
        columns=with_loss(request.columns, request.loss),
    )

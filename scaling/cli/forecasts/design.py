"""``scaling design``: the choice of the next runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import table_options

HELP = """Choose the runs to train next: those that narrow the forecast of the target most for the FLOPs.

TABLE is a sweep's folder, or any CSV, JSON, Parquet or Excel file with parameters, tokens and loss: the runs that there
are. published:NAME stands for none, with a paper's law for what to expect: see scaling allocate --help.

Writes a sweep file. With a sweep's folder it is that sweep with the new runs, and the target requested: train them
into the same folder, where finished runs are kept, and ask again. No run takes more than a fifth of the FLOPs, nor
a third of the target's. FLOPs that cannot identify a law are refused, and the least that suffices is reported.

\b
Examples:
  scaling design runs/quickstart --target-params 200k --target-tokens 10M --spend 3e12
  scaling run next.yaml --out runs/quickstart --fit-only
  scaling design published:chinchilla-epoch --target-params 8B --target-tokens 15T --spend 1e21 \\
    --like sweeps/llama3-ladder.yaml -o first.yaml
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    table: str
    target_params: float
    target_tokens: float
    spend: float
    like: str | None
    output: Path | None
    where: str | None
    columns: Mapping[str, str] | None
    best: bool


@click.command(help=HELP)
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option("--target-params", type=QUANTITY, required=True, metavar="N", help="Parameters of the target run.")
@click.option("--target-tokens", type=QUANTITY, required=True, metavar="D", help="Tokens of the target run.")
@click.option("--spend", type=QUANTITY, required=True, metavar="FLOPS", help="FLOPs to spend on further small runs.")
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

    chosen = design(
        request.table,
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

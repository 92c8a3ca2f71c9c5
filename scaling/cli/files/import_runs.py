"""``scaling import-runs``: the logs of other tools as one table of runs."""

from collections.abc import Mapping
from typing import Literal

import click

from scaling.cli.common import emit, json_option
from scaling.cli.tables import parse_columns


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="TABLE",
    help="Where to: .parquet, .csv or .jsonl.",
)
@click.option(
    "--columns",
    multiple=True,
    callback=lambda _context, _option, given: parse_columns(given),
    metavar="NAME=LOGGED,...",
    help="What the tool calls a column, or a number for all runs.  [default: the usual names]",
)
@click.option(
    "--as",
    "table",
    type=click.Choice(("runs", "rewards")),
    default="runs",
    show_default=True,
    help="runs: a row a run. rewards: a row a step, of KL divergence, rewards, accuracy and length.",
)
@json_option
def command(
    sources: tuple[str, ...],
    output: str,
    columns: Mapping[str, str] | None,
    table: Literal["runs", "rewards"],
    as_json: bool,
) -> None:
    """Read the logs of other tools as one table of runs, one row a run: its last evaluated endpoint.

    SOURCE is known by its content: the CSV export of W&B's runs table, a wandb/ folder or wandb:ENTITY/PROJECT; mlruns/
    or mlflow.db; TensorBoard's event files; trainer_state.json of Hugging Face's Trainer and TRL's; logs of Levanter,
    nanoGPT, modded-nanogpt, llm.c and verl; an Excel sheet. Results of lm-evaluation-harness are joined with the runs
    of their models.

    \b
    Examples:
      scaling import-runs wandb/ -o runs.parquet
      scaling import-runs export.csv -o runs.parquet --columns loss=eval/c4/loss,corpus=data.name
      scaling import-runs logs/ -o runs.parquet --columns batch_tokens=524288
      scaling import-runs trained/ results/ -o runs.parquet
      scaling import-runs ppo/trainer_state.json --as rewards -o rewards.parquet
    """
    from scaling.api.imports import import_runs

    emit(import_runs(sources, output, columns=columns, table=table), as_json)

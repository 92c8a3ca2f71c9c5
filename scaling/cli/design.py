"""``scaling design``: which runs to buy next."""

import click

from scaling.cli.common import QUANTITY, json_option
from scaling.errors import InputError


@click.command()
@click.argument("table")
@click.option("--target-params", type=QUANTITY, required=True, metavar="N", help="Parameters of the target run.")
@click.option("--target-tokens", type=QUANTITY, required=True, metavar="D", help="Tokens of the target run.")
@click.option("--spend", type=QUANTITY, required=True, metavar="FLOPS", help="FLOPs to spend on further small runs.")
@json_option
def command(table: str, target_params: float, target_tokens: float, spend: float, as_json: bool) -> None:  # noqa: ARG001
    """Choose which runs to buy next, so that the target's forecast becomes most certain.

    TABLE is a sweep's folder, or a CSV, Parquet or JSONL file of runs. Not built yet.

    \b
    Example:
      scaling design runs/quickstart --target-params 8B --target-tokens 15T --spend 1e18
    """
    raise InputError("design is not built yet")

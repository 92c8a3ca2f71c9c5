"""``scaling feasible``: compile the full-size run for real devices, without having them."""

import click

from scaling.cli.common import QUANTITY, json_option
from scaling.errors import InputError


@click.command()
@click.option("--model", required=True, metavar="NAME", help="A published Llama; `scaling models` lists them.")
@click.option("--topology", required=True, metavar="SPEC", help="Devices: v5p:8x8x8 for a TPU slice, h100:64 for GPUs.")
@click.option("--batch-tokens", type=QUANTITY, default="4M", show_default=True, metavar="B", help="Tokens per step.")
@click.option("--seq-len", type=QUANTITY, default="8192", show_default=True, metavar="S", help="Tokens per sequence.")
@json_option
def command(model: str, topology: str, batch_tokens: float, seq_len: float, as_json: bool) -> None:  # noqa: ARG001
    """Check that the full-size run compiles and fits the memory of its devices.

    Needs none of the devices: the whole training step is compiled for their description. Not built yet.

    \b
    Examples:
      scaling feasible --model llama3-8b --topology v5p:4x4x4
      scaling feasible --model llama3-70b --topology h100:512 --batch-tokens 16M
    """
    raise InputError("feasible is not built yet")

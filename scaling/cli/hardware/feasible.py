"""``scaling feasible``: whether the full-size run compiles and fits real devices, without having them."""

from dataclasses import dataclass
from typing import Any

import click

from scaling.cli.common import QUANTITY, Quantity, collected, emit, json_option, note

HELP = """Check that the full-size run compiles and fits the memory of its devices.

Needs none of the devices. Shardings (FSDP x tensor x microbatch) are compared by arithmetic, and the real
training step is compiled for the fastest that fits: for a TPU slice by the TPU's own compiler (takes minutes;
pip install 'scaling-law-toolkit[tpu]'), for GPUs by this machine's for as many devices, which leaves an estimate.
Where nothing fits, it says by how much, and what would. Every layer is rematerialised (only what enters it is
kept, the rest is computed again), and the step time is a lower bound of that: compute, memory and interconnect at
their published speeds, each behind the others.

\b
Examples:
  scaling feasible --model llama3-8b --topology v5p:4x4x4
  scaling feasible --model llama3-70b --topology h100:512 --batch-tokens 16M
  scaling feasible --model llama3-70b --topology v5e:16x16 --tensor 8 --no-compile --json
"""


class Whole(Quantity):
    """A positive whole number as people write it: ``8192``, ``4M``."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if number != int(number) or number > 1e9:
            self.fail(f"{value!r} is not a whole number up to 1e9", param, ctx)
        return int(number)


_WHOLE = Whole()


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    model: str
    topology: str
    batch_tokens: float
    seq_len: int | None
    tokens: float | None
    fsdp: int | None
    tensor: int | None
    microbatch: int | None
    compiling: bool


@click.command(help=HELP)
@click.option("--model", required=True, metavar="NAME", help="A published Llama; `scaling models` lists them.")
@click.option("--topology", required=True, metavar="SPEC", help="Devices: v5p:8x8x8 for a TPU slice, h100:64 for GPUs.")
@click.option(
    "--batch-tokens",
    type=QUANTITY,
    default="4M",
    show_default=True,
    metavar="B",
    help="Tokens per step, to the nearest number of sequences that the devices can share; a change beyond 5 % is "
    "the warning batch-rounded.",
)
@click.option("--seq-len", type=_WHOLE, metavar="S", help="Tokens per sequence.  [default: the model's own context]")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Training tokens.  [default: the model's published tokens]")
@click.option("--fsdp", type=_WHOLE, metavar="N", help="Devices that share the parameters.  [default: searched]")
@click.option("--tensor", type=_WHOLE, metavar="N", help="Devices that share each layer.  [default: searched]")
@click.option(
    "--microbatch", type=_WHOLE, metavar="N", help="Sequences a tensor group computes at once.  [default: searched]"
)
@click.option("--compile/--no-compile", "compiling", default=True, help="Compile the winner, or trust the arithmetic.")
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Checks a run and prints whether it fits."""
    from scaling.api.hardware.feasible import feasible

    answer = feasible(
        request.model,
        topology=request.topology,
        batch_tokens=request.batch_tokens,
        seq_len=request.seq_len,
        tokens=request.tokens,
        fsdp=request.fsdp,
        tensor=request.tensor,
        microbatch=request.microbatch,
        compile=request.compiling,
        report=note,
    )
    emit(answer, as_json)

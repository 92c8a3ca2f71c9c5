"""``scaling cost``: device hours, days, price and energy of a training run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from scaling.cli.common import QUANTITY, collected, emit, json_option
from scaling.cli.tables import refuse_options
from scaling.hardware import DEVICES

HELP = """Estimate the FLOPs, device hours, days, price and energy of a training run.

A model's FLOPs count every matmul, with full attention at its pre-training context; those of --params are 6ND, and
so is then the default utilisation, where one is known. The range of hours and price is from the spread of the
published runs behind it. Beside the estimate stand the published device hours of the same model, where there are
any. Every default figure is printed with its source.

With --stage: a stage after pre-training, its FLOPs split into generation, scoring, the reference, the critic and
updates.

\b
Examples:
  scaling cost --model llama3-8b --device h100
  scaling cost --model llama3-405b --device b200 --devices 8192 --mfu 40% --goodput 95%
  scaling cost --params 3B --tokens 1T --device v5p --price 2.10 --json
  scaling cost --flops 5e24 --device h200 --mfu llama3-405b --prices prices.yaml
  scaling cost --model llama3-8b --device h100 --mfu runs/quickstart
  scaling cost --stage ppo --model llama3-8b --rows 100k --answer-tokens 512 --device h100
  scaling cost --published
"""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    model: str | None
    params: float | None
    flops: float | None
    tokens: float | None
    device: str | None
    devices: int | None
    mfu: str | None
    goodput: float | None
    price: float | None
    prices: Path | None
    stage: str | None
    rows: float | None
    epochs: float | None
    prompt_tokens: float | None
    answer_tokens: float | None
    reward: str | None
    policy: str | None
    published: bool

    def of_stage(self) -> dict[str, Any]:
        """The options of a stage alone."""
        return {name: getattr(self, name) for name in _OF_STAGE}


# Options that go with --stage alone.
_OF_STAGE = ("rows", "epochs", "prompt_tokens", "answer_tokens", "reward", "policy")


@click.command(help=HELP)
@click.option("--model", metavar="NAME", help="A published Llama; `scaling models` lists them.")
@click.option("--params", type=QUANTITY, metavar="N", help="Or parameters, embeddings included; FLOPs are then 6ND.")
@click.option("--flops", type=QUANTITY, metavar="C", help="Or the FLOPs themselves.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Training tokens.  [default: the model's published tokens]")
@click.option("--device", metavar="NAME", help=f"One of {' '.join(DEVICES)}.")
@click.option(
    "--devices", type=click.IntRange(1), metavar="COUNT", help="Size of your cluster, to have its days among others'."
)
@click.option(
    "--mfu",
    metavar="SHARE|TABLE|MODEL",
    help="Model FLOPs utilisation, of the bf16 peak: a share, or a sweep's folder or table whose largest runs "
    "measured it, or a published Llama whose hours imply it.  [default: what published runs attained on the device]",
)
@click.option(
    "--goodput",
    type=QUANTITY,
    metavar="SHARE",
    help="Share of the hours that count.  [default: 90% where the MFU is measured in steps, 100% where it is of all "
    "hours or given as a share]",
)
@click.option(
    "--price",
    type=QUANTITY,
    metavar="USD",
    help="US dollars per device hour.  [default: a list price, with its source]",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Or a YAML file of yours: h100: 2.49, a line each.",
)
@click.option(
    "--stage",
    type=click.Choice(["sft", "reward", "best_of_n", "ppo", "dpo"]),
    help="A stage after pre-training, of --model; needs --rows.",
)
@click.option("--rows", type=QUANTITY, metavar="COUNT", help="Examples (sft), pairs (reward, dpo) or answers.")
@click.option(
    "--epochs", type=QUANTITY, metavar="COUNT", help="Passes over them.  [default: 1; over each of PPO's answers 2]"
)
@click.option("--prompt-tokens", type=QUANTITY, metavar="COUNT", help="Mean tokens of a prompt.  [default: 256]")
@click.option("--answer-tokens", type=QUANTITY, metavar="COUNT", help="Mean tokens of an answer.  [default: 256]")
@click.option(
    "--reward", metavar="NAME", help="The reward model of best_of_n and ppo, a published Llama.  [default: as --model]"
)
@click.option("--policy", metavar="NAME", help="Who writes the pairs of reward and dpo.  [default: they are there]")
@click.option("--published", is_flag=True, help="Instead: every published Llama's hours beside the estimate.")
@json_option
@collected(Request)
def command(request: Request, as_json: bool) -> None:
    """Estimates a cost and prints it."""
    from scaling.api.hardware.costs import cost, published_hours
    from scaling.api.hardware.stage_costs import stage_cost

    if request.published:
        others = [name for name in click.get_current_context().params if name not in ("published", "as_json")]
        refuse_options(others, "--published", "of the published runs alone")
        emit(published_hours(), as_json)
        return
    options = {name: getattr(request, name) for name in ("device", "devices", "mfu", "goodput", "price", "prices")}
    if request.stage is not None:
        refuse_options(("params", "flops", "tokens"), "--stage", "of a model, and of --rows")
        emit(stage_cost(request.stage, request.model, **request.of_stage(), **options), as_json)
        return
    refuse_options(_OF_STAGE, "a run of pre-training", "without --stage")
    estimate = cost(request.model, params=request.params, flops=request.flops, tokens=request.tokens, **options)
    emit(estimate, as_json)

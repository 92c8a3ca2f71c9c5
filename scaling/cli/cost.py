"""``scaling cost``: device hours, days, price and energy of a training run."""

from typing import Any

import click

from scaling.cli.common import QUANTITY, emit, json_option
from scaling.cost import Cost, estimate_cost, published_mfu
from scaling.errors import InputError
from scaling.hardware import find_device
from scaling.llama.zoo import ZooEntry, find
from scaling.quantity import format_quantity


@click.command()
@click.option("--model", metavar="NAME", help="A published Llama; `scaling models` lists them.")
@click.option("--params", type=QUANTITY, metavar="N", help="Or parameters, embeddings included; FLOPs are then 6ND.")
@click.option("--tokens", type=QUANTITY, metavar="D", help="Training tokens.  [default: the model's published tokens]")
@click.option("--device", required=True, metavar="NAME", help="a100 h100 h200 b200 v4 v5e v5p v6e v7.")
@click.option(
    "--mfu",
    type=QUANTITY,
    metavar="SHARE",
    help="Model FLOPs utilisation, of the bf16 peak.  [default: what published runs attained]",
)
@click.option(
    "--goodput",
    type=QUANTITY,
    default="100%",
    show_default=True,
    metavar="SHARE",
    help="Share of the hours that count. A GPU's default MFU is of all hours, so has it already.",
)
@click.option(
    "--price",
    type=QUANTITY,
    metavar="USD",
    help="US dollars per device hour.  [default: a list price, with its source]",
)
@json_option
def command(
    model: str | None,
    params: float | None,
    tokens: float | None,
    device: str,
    mfu: float | None,
    goodput: float,
    price: float | None,
    as_json: bool,
) -> None:
    """Estimate the FLOPs, device hours, days, price and energy of a training run.

    A model's FLOPs count every matmul, with full attention at its pre-training context. Beside the estimate
    stand the published device hours of the same model, where there are any. Every default figure is printed
    with its source.

    \b
    Examples:
      scaling cost --model llama3-8b --tokens 15T --device h100
      scaling cost --model llama3-405b --device b200 --mfu 40% --goodput 95%
      scaling cost --params 3B --tokens 1T --device v5p --price 2.10 --json
    """
    chosen = find_device(device)
    entry, flops = _run(model, params, tokens)
    cost = estimate_cost(flops, chosen, mfu, goodput, price)
    result: dict[str, Any] = {
        "flops": cost.flops,
        "device_hours": cost.device_hours,
        "price_usd": cost.price_usd,
        "days_on": cost.days_on,
        "energy_mwh": cost.energy_mwh,
        "device": chosen.name,
        "mfu": cost.mfu,
        "goodput": cost.goodput,
        "flops_convention": "6nd" if entry is None else "exact",
        "published": None if entry is None else _published(entry),
    }
    emit(result, as_json, lambda: _text(cost, entry, mfu is None, price))


def _run(model: str | None, params: float | None, tokens: float | None) -> tuple[ZooEntry | None, float]:
    if model is not None and params is None:
        entry = find(model)
        return entry, entry.flops if tokens is None else entry.flops / entry.tokens * tokens
    if params is not None and model is None:
        if tokens is None:
            raise InputError("--params needs --tokens")
        return None, 6 * params * tokens
    raise InputError("give exactly one of --model and --params")


def _published(entry: ZooEntry) -> dict[str, Any]:
    return {
        "device": entry.device,
        "device_hours": entry.gpu_hours,
        "tokens": entry.tokens,
        "mfu": published_mfu(entry),
        "source": entry.source,
    }


def _text(cost: Cost, entry: ZooEntry | None, default_mfu: bool, price: float | None) -> str:
    device = cost.device
    convention = "6ND" if entry is None else "every matmul, full attention"
    fleets = ", ".join(f"{_short(days)} on {fleet:,}" for fleet, days in cost.days_on.items())
    energy = (
        "unknown" if cost.energy_mwh is None else f"{cost.energy_mwh:,.3g} MWh, at the power limit and a PUE of 1.1"
    )
    usd = "unknown" if cost.price_usd is None else f"${cost.price_usd:,.0f}"
    if price is not None:
        rate = f"at ${price:g} an hour"
    elif device.usd_per_hour is not None:
        rate = f"at ${device.usd_per_hour:g} an hour ({device.price_source})"
    else:
        rate = "(no list price; give --price)"
    lines = [
        f"FLOPs         {cost.flops:.3g} ({convention})",
        f"device hours  {cost.device_hours:,.0f} on {device.name} of {device.peak_flops / 1e12:,.0f} TFLOP/s",
        f"              MFU {cost.mfu:.1%}" + (f" ({device.mfu_source})" if default_mfu else ""),
        f"              goodput {cost.goodput:.1%}",
        f"days          {fleets}",
        f"price         {usd} {rate}",
        f"energy        {energy}",
    ]
    if entry is not None and entry.gpu_hours is not None:
        run = f"{entry.gpu_hours:,.0f} on {entry.device} for {format_quantity(entry.tokens)} tokens"
        lines.append(f"published     {run}: MFU {published_mfu(entry):.1%} ({entry.source})")
    return "\n".join(lines)


def _short(days: float) -> str:
    return f"{days:,.0f}" if days >= 100 else f"{days:.2g}"

"""``scaling cost``: device hours, days, price and energy of a training run."""

import textwrap
from pathlib import Path
from typing import Any

import click

from scaling.cli.common import QUANTITY, emit_plain, json_option
from scaling.cli.cost_inputs import read_prices, read_utilization
from scaling.cli.published_hours import comparison, comparison_text, told_hours
from scaling.cli.tables import refuse_options
from scaling.costing import (
    GOODPUT_SOURCE,
    PUE,
    Cost,
    Counting,
    compare_published,
    default_utilization,
    estimate_cost,
    implied_mfu,
    published_mfu,
)
from scaling.errors import InputError
from scaling.hardware import DEVICES, Device, find_device
from scaling.llama.zoo import ZooEntry, find
from scaling.quantity import format_quantity

_WIDTH, _INDENT = 110, 14
_CONVENTIONS = {
    "exact": "every matmul, full attention",
    "6nd": "6ND; attention, which it leaves out, adds 4 % to Llama 1 65B and 20 % to Llama 3 8B",
    "given": "as given, taken to be of every matmul",
}


@click.command()
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
@click.option("--published", is_flag=True, help="Instead: every published Llama's hours beside the estimate.")
@json_option
def command(
    model: str | None,
    params: float | None,
    flops: float | None,
    tokens: float | None,
    device: str | None,
    devices: int | None,
    mfu: str | None,
    goodput: float | None,
    price: float | None,
    prices: Path | None,
    published: bool,
    as_json: bool,
) -> None:
    """Estimate the FLOPs, device hours, days, price and energy of a training run.

    A model's FLOPs count every matmul, with full attention at its pre-training context; those of --params are 6ND, and
    so is then the default utilisation, where one is known. The range of hours and price is from the spread of the
    published runs behind it. Beside the estimate stand the published device hours of the same model, where there are
    any. Every default figure is printed with its source.

    \b
    Examples:
      scaling cost --model llama3-8b --device h100
      scaling cost --model llama3-405b --device b200 --devices 8192 --mfu 40% --goodput 95%
      scaling cost --params 3B --tokens 1T --device v5p --price 2.10 --json
      scaling cost --flops 5e24 --device h200 --mfu llama3-405b --prices prices.yaml
      scaling cost --model llama3-8b --device h100 --mfu runs/quickstart
      scaling cost --published
    """
    if published:
        others = [name for name in click.get_current_context().params if name not in ("published", "as_json")]
        refuse_options(others, "--published", "of the published runs alone")
        rows = compare_published()
        emit_plain(comparison(rows), as_json, lambda: comparison_text(rows))
        return
    if device is None:
        raise InputError(f"give --device: {' '.join(DEVICES)}")
    chosen = find_device(device)
    entry, total, convention = _run(model, params, flops, tokens)
    counting: Counting = "6nd" if convention == "6nd" else "exact"
    if mfu is None:
        utilization, warnings = default_utilization(chosen, counting), list[dict[str, Any]]()
    else:
        utilization, warnings = read_utilization(mfu, total, counting, chosen)
    if counting == "6nd" and utilization.counting == "exact":
        message = (
            "the FLOPs are 6ND, but only an MFU of every matmul is known: the hours are off by what 6ND leaves out"
        )
        warnings.append({"code": "mixed-conventions", "message": message})
    rate, price_source = _rate(chosen, price, prices)
    cost = estimate_cost(total, chosen, utilization, goodput, rate, devices)
    if goodput is not None and goodput < 1 and utilization.of == "hours":
        message = f"a goodput of {goodput:.0%} on top of an MFU that is of all hours counts lost time twice"
        warnings.append({"code": "goodput-twice", "message": message})
    goodput_source = GOODPUT_SOURCE[utilization.of] if goodput is None else "given"
    trained = tokens if entry is None or tokens is not None else entry.tokens
    result: dict[str, Any] = {
        "flops": cost.flops,
        "flops_convention": convention,
        "tokens": trained,
        "device": chosen.name,
        "device_hours": cost.device_hours,
        "device_hours_range": cost.device_hours_range,
        "days_on": cost.days_on,
        "mfu": utilization.mfu,
        "mfu_convention": utilization.counting,
        "mfu_source": utilization.source,
        "goodput": cost.goodput,
        "goodput_source": goodput_source,
        "price_usd": cost.price_usd,
        "price_usd_range": cost.price_usd_range,
        "usd_per_hour": cost.usd_per_hour,
        "price_source": price_source,
        "energy_mwh": cost.energy_mwh,
        "published": None if entry is None else _published(entry),
        "warnings": warnings,
    }

    def text() -> str:
        lines = _text(cost, convention, goodput_source, price_source, devices)
        if entry is not None and trained is not None:
            lines += _beside(cost, entry, trained)
        return "\n".join(lines)

    emit_plain(result, as_json, text)


def _run(
    model: str | None, params: float | None, flops: float | None, tokens: float | None
) -> tuple[ZooEntry | None, float, str]:
    """The published model if it is one, the FLOPs, and how they are counted."""
    if sum(given is not None for given in (model, params, flops)) != 1:
        raise InputError("give exactly one of --model, --params and --flops")
    if flops is not None:
        if tokens is not None:
            raise InputError("--tokens: does not apply to --flops, which are of the whole run")
        return None, flops, "given"
    if params is not None:
        if tokens is None:
            raise InputError("--params needs --tokens")
        return None, 6 * params * tokens, "6nd"
    assert model is not None
    entry = find(model)
    return entry, entry.flops if tokens is None else entry.flops / entry.tokens * tokens, "exact"


def _rate(device: Device, price: float | None, prices: Path | None) -> tuple[float | None, str]:
    """US dollars per device hour, None if unknown, and their source."""
    if price is not None and prices is not None:
        raise InputError("give --price or --prices, not both")
    if price is not None:
        return price, "given"
    if prices is not None and (own := read_prices(prices).get(device.name)) is not None:
        return own, str(prices)
    return device.usd_per_hour, device.price_source


def _published(entry: ZooEntry) -> dict[str, Any]:
    return {
        "device": entry.device,
        "device_hours": entry.gpu_hours,
        "device_hours_31": entry.gpu_hours_31,
        "tokens": entry.tokens,
        "mfu": published_mfu(entry),
        "mfu_6nd": implied_mfu(entry.flops_6nd, entry.gpu_hours, entry.device),
        "source": entry.source,
    }


def _text(cost: Cost, convention: str, goodput_source: str, price_source: str, devices: int | None) -> list[str]:
    device, share = cost.device, cost.utilization
    hours = f"{_number(cost.device_hours)} on {device.name}"
    usd = "unknown: no list price; give --price"
    if cost.price_usd is not None:
        usd = f"${_number(cost.price_usd)} at ${cost.usd_per_hour:,.2f} an hour ({price_source})"
    if cost.device_hours_range is not None:
        hours += f"; {_between(cost.device_hours_range)}, at {_shares(cost)}"
    if cost.price_usd_range is not None:
        usd += f"; ${_between(cost.price_usd_range, '$')}"
    counted = {"exact": "", "6nd": ", with 6ND", "unsaid": ""}[share.counting]
    energy = f"unknown: no power of {device.name} is published"
    if cost.energy_mwh is not None:
        energy = f"{_number(cost.energy_mwh)} MWh at {device.watts:g} W and a PUE of {PUE}"
    lines = [
        _line("FLOPs", f"{cost.flops:.3g} ({_CONVENTIONS[convention]})"),
        _line("device hours", hours),
        _line("MFU", f"{share.mfu:.1%} of {device.peak_flops / 1e12:,.0f} TFLOP/s{counted}: {share.source}"),
        _line("goodput", f"{cost.goodput:.1%}: {goodput_source}"),
        _line("days", _days(cost)),
        _line("price", usd),
        _line("energy", energy),
    ]
    if devices is not None:
        yours = f"{_number(cost.days_on[devices])} days on {devices:,} {device.name}"
        if cost.device_hours_range is not None:
            low, high = cost.device_hours_range
            yours += f"; {_between((low / devices / 24, high / devices / 24))}"
        lines.insert(5, _line("your cluster", yours))
    return lines


def _days(cost: Cost) -> str:
    """On ever more devices, until minutes are left."""
    told = [f"{_number(days)} on {fleet:,}" for fleet, days in cost.days_on.items() if fleet == 1 or days >= 0.01]
    return ", ".join(told)


def _shares(cost: Cost) -> str:
    """What the ends of the range stand for."""
    ends = []
    if cost.utilization.span is not None:
        ends.append(f"an MFU of {cost.utilization.span[1]:.0%} to {cost.utilization.span[0]:.0%}")
    if cost.goodput_span[0] < cost.goodput_span[1]:
        ends.append(f"a goodput of {cost.goodput_span[1]:.0%} to {cost.goodput_span[0]:.0%}")
    return " and ".join(ends)


def _beside(cost: Cost, entry: ZooEntry, tokens: float) -> list[str]:
    """The published hours of the same shape; and the estimate's ratio to them, if it is of the same device."""
    told = f"device hours for {format_quantity(entry.tokens)} tokens: {told_hours(entry)}; {entry.source}"
    lines = [_line("published", told)]
    if entry.device == cost.device.name:
        ratios = [cost.device_hours / (hours * tokens / entry.tokens) for hours in entry.hours.values()]
        times = " and ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(_line("", f"the estimate is {times} times the published hours, token for token"))
    return lines


def _line(label: str, text: str) -> str:
    indent = " " * _INDENT
    return textwrap.fill(text, _WIDTH, initial_indent=f"{label:<{_INDENT}}", subsequent_indent=indent)


def _between(ends: tuple[float, float], unit: str = "") -> str:
    return f"{_number(ends[0])} to {unit}{_number(ends[1])}"


def _number(value: float) -> str:
    """Three digits, as an estimate deserves: ``762,000``, ``31.8``, ``0.0043``."""
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 1000 else f"{value:.3g}"

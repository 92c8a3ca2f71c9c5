"""Costs as text, and the published Llamas' device hours: of one model in a line, and of all in a table."""

import textwrap
from collections.abc import Sequence

from analysis.table_text import table_text
from scaling.costing import PUE, Comparison, Cost, published_mfus
from scaling.hardware import DEVICES
from scaling.llama.zoo import ZooEntry
from scaling.quantity import format_quantity

_WIDTH, _INDENT = 110, 14
_CONVENTIONS = {
    "exact": "every matmul, full attention",
    "6nd": "6ND; attention, which it leaves out, adds 4 % to Llama 1 65B and 20 % to Llama 3 8B",
    "given": "as given, taken to be of every matmul",
}


def comparison_text(rows: Sequence[Comparison]) -> str:
    """The table, and how to read it."""
    cells = (
        (
            row.run + "*" * row.entry.distilled,
            row.entry.device,
            f"{row.hours:,.0f}",
            f"{row.estimate:,.0f}",
            f"{row.ratio:.2f}",
            f"{row.mfu:.1%}",
            f"{row.mfu_6nd:.1%}",
        )
        for row in rows
    )
    table = table_text("llrrrrr", ("run", "device", "published", "estimate", "ratio", "MFU", "6ND"), cells)
    shares = {row.run: row for row in rows}
    low, mid, high = (shares[name] for name in ("llama3-8b", "llama3-70b", "llama3-405b"))
    later = [shares[name] for name in ("llama3.1-8b", "llama3.1-70b")]
    defaults = " and ".join(f"{DEVICES[name].utilization.mfu:.0%} on {name}" for name in ("a100", "h100"))
    notes = [
        f"Device hours. Estimates at one MFU for each device: {defaults}. Ratio: estimate over published. MFU: what "
        "the published hours imply, with every matmul counted, and with 6ND.",
        f"Not every run kept its devices as busy: the hours published for Llama 3 8B and 70B imply {low.mfu:.1%} and "
        f"{mid.mfu:.1%} (with 6ND {low.mfu_6nd:.1%} and {mid.mfu_6nd:.1%}; those of Llama 3.1 {later[0].mfu_6nd:.1%} "
        f"and {later[1].mfu_6nd:.1%}) where 405B's imply {high.mfu:.1%}. Why is not published, and the "
        "estimates are not fitted to it.",
        "* pruned from a larger model and distilled: not the hours of a plain run of its shape and tokens.",
    ]
    return "\n".join([table, "", *(textwrap.fill(note, _WIDTH) for note in notes)])


def hours_text(entry: ZooEntry) -> str:
    """The device hours of a model and what they imply; and Llama 3.1's of the same shape."""
    exact, textbook = published_mfus(entry), published_mfus(entry, "6nd")
    return "; ".join(
        f"{'' if run == entry.name else f'{run}: '}{hours:,.0f} on {entry.device}, MFU {exact[run]:.1%}, with 6ND "
        f"{textbook[run]:.1%}"
        for run, hours in entry.hours.items()
    )


def cost_text(cost: Cost, convention: str, goodput_source: str, price_source: str, devices: int | None) -> list[str]:
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
    text = [f"{_number(days)} on {fleet:,}" for fleet, days in cost.days_on.items() if fleet == 1 or days >= 0.01]
    return ", ".join(text)


def _shares(cost: Cost) -> str:
    """What the ends of the range stand for."""
    ends = []
    if cost.utilization.span is not None:
        ends.append(f"an MFU of {cost.utilization.span[1]:.0%} to {cost.utilization.span[0]:.0%}")
    if cost.goodput_span[0] < cost.goodput_span[1]:
        ends.append(f"a goodput of {cost.goodput_span[1]:.0%} to {cost.goodput_span[0]:.0%}")
    return " and ".join(ends)


def beside_text(cost: Cost, entry: ZooEntry, tokens: float) -> list[str]:
    """The published hours of the same shape; and the estimate's ratio to them, if it is of the same device."""
    text = f"device hours for {format_quantity(entry.tokens)} tokens: {hours_text(entry)}; {entry.source}"
    lines = [_line("published", text)]
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

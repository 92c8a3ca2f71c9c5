"""The published Llamas' device hours: a model's in a line, and ``scaling cost --published``'s table of all."""

import textwrap
from collections.abc import Sequence
from typing import Any

from scaling.costing import Comparison, default_utilization, published_mfus
from scaling.hardware import DEVICES
from scaling.llama.zoo import ZooEntry

_WIDTH = 110


def comparison(rows: Sequence[Comparison]) -> dict[str, Any]:
    """The JSON object."""
    defaults = {name: default_utilization(DEVICES[name]) for name in sorted({row.entry.device for row in rows})}
    return {
        "comparison": [
            {
                "run": row.run,
                "model": row.entry.name,
                "device": row.entry.device,
                "device_hours": row.hours,
                "estimate": row.estimate,
                "ratio": row.ratio,
                "mfu": row.mfu,
                "mfu_6nd": row.mfu_6nd,
                "distilled": row.entry.distilled,
                "source": row.entry.source,
            }
            for row in rows
        ],
        "defaults": {name: {"mfu": used.mfu, "mfu_source": used.source} for name, used in defaults.items()},
    }


def comparison_text(rows: Sequence[Comparison]) -> str:
    """The table, and what it says."""
    lines = [f"{'run':<13} {'device':<6} {'published':>12} {'estimate':>12} {'ratio':>5} {'MFU':>6} {'6ND':>6}"]
    for row in rows:
        lines.append(
            f"{row.run + '*' * row.entry.distilled:<13} {row.entry.device:<6} {row.hours:>12,.0f} "
            f"{row.estimate:>12,.0f} {row.ratio:>5.2f} {row.mfu:>6.1%} {row.mfu_6nd:>6.1%}"
        )
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
    return "\n".join([*lines, "", *(textwrap.fill(note, _WIDTH) for note in notes)])


def told_hours(entry: ZooEntry) -> str:
    """The device hours of a model and what they imply; and Llama 3.1's of the same shape."""
    exact, textbook = published_mfus(entry), published_mfus(entry, "6nd")
    return "; ".join(
        f"{'' if run == entry.name else f'{run}: '}{hours:,.0f} on {entry.device}, MFU {exact[run]:.1%}, with 6ND "
        f"{textbook[run]:.1%}"
        for run, hours in entry.hours.items()
    )

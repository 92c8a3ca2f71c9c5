"""What a training run costs, and what the published Llamas took."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from scaling.api.hardware.cost_inputs import read_prices, read_utilization
from scaling.api.hardware.cost_text import beside_text, comparison_text, cost_text
from scaling.costing import (
    GOODPUT_SOURCE,
    Comparison,
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


@dataclass(frozen=True)
class CostEstimate(Result):
    """The cost of a training run, with the source of every figure.

    Attributes:
        cost: device hours, price, energy and days.
        tokens: trained on; None where only the FLOPs are known.
        convention: how the FLOPs are counted: ``exact``, ``6nd`` or ``given``.
        goodput_source: of the share of hours that count.
        price_source: of the price of a device hour.
        devices: the size of the cluster whose days were requested, or None.
        entry: the published Llama, or None.
        warnings: in words and codes.
    """

    cost: Cost
    tokens: float | None
    convention: str
    goodput_source: str
    price_source: str
    devices: int | None
    entry: ZooEntry | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        lines = cost_text(self.cost, self.convention, self.goodput_source, self.price_source, self.devices)
        if self.entry is not None and self.tokens is not None:
            lines += beside_text(self.cost, self.entry, self.tokens)
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        cost = self.cost
        return {
            "flops": cost.flops,
            "flops_convention": self.convention,
            "tokens": self.tokens,
            "device": cost.device.name,
            "device_hours": cost.device_hours,
            "device_hours_range": cost.device_hours_range,
            "days_on": cost.days_on,
            "mfu": cost.utilization.mfu,
            "mfu_convention": cost.utilization.counting,
            "mfu_source": cost.utilization.source,
            "goodput": cost.goodput,
            "goodput_source": self.goodput_source,
            "price_usd": cost.price_usd,
            "price_usd_range": cost.price_usd_range,
            "usd_per_hour": cost.usd_per_hour,
            "price_source": self.price_source,
            "energy_mwh": cost.energy_mwh,
            "published": None if self.entry is None else _published(self.entry),
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row: FLOPs, device hours, price and energy."""
        names = ("flops", "tokens", "device", "device_hours", "mfu", "goodput", "price_usd", "energy_mwh")
        content = self.to_dict()
        return pd.DataFrame([{name: content[name] for name in names}])


def cost(
    model: str | None = None,
    *,
    params: float | None = None,
    flops: float | None = None,
    tokens: float | None = None,
    device: str | None = None,
    devices: int | None = None,
    mfu: str | float | None = None,
    goodput: float | None = None,
    price: float | None = None,
    prices: str | Path | None = None,
) -> CostEstimate:
    """Estimates the FLOPs, device hours, days, price and energy of a training run.

    Args:
        model: a published Llama, whose FLOPs count every matmul; or
        params: parameters, embeddings included, whose FLOPs are 6ND; or
        flops: the FLOPs of the whole run.
        tokens: training tokens; by default the model's published ones.
        device: the accelerator, such as ``h100``.
        devices: the size of a cluster to give the days for.
        mfu: model FLOPs utilisation, of the bf16 peak: a share; or a sweep's folder, a table or a published Llama that
            gives one. By default what published runs attained on the device.
        goodput: share of the hours that count; by default by the kind of utilisation.
        price: US dollars per device hour; by default a list price.
        prices: or a YAML file of prices by device.

    Raises:
        InputError: without exactly one of model, params and flops, without a device, or for impossible values.
    """
    if device is None:
        raise InputError(f"give `device`: {' '.join(DEVICES)}")
    chosen = find_device(device)
    entry, total, convention = _run(model, params, flops, tokens)
    counting: Counting = "6nd" if convention == "6nd" else "exact"
    utilization, warnings = default_utilization(chosen, counting), list[Diagnostic]()
    if mfu is not None:
        utilization, warnings = read_utilization(str(mfu), total, counting, chosen)
    if counting == "6nd" and utilization.counting == "exact":
        message = (
            "the FLOPs are 6ND, but only an MFU of every matmul is known: the hours are off by what 6ND leaves out"
        )
        warnings.append(Diagnostic("mixed-conventions", message))
    if goodput is not None and goodput < 1 and utilization.of == "hours":
        message = f"a goodput of {goodput:.0%} on top of an MFU that is of all hours counts lost time twice"
        warnings.append(Diagnostic("goodput-twice", message))
    rate, price_source = _rate(chosen, price, None if prices is None else Path(prices))
    return CostEstimate(
        cost=estimate_cost(total, chosen, utilization, goodput, rate, devices),
        tokens=tokens if entry is None or tokens is not None else entry.tokens,
        convention=convention,
        goodput_source=GOODPUT_SOURCE[utilization.of] if goodput is None else "given",
        price_source=price_source,
        devices=devices,
        entry=entry,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class PublishedHours(Result):
    """Every published Llama's device hours beside the estimate."""

    rows: tuple[Comparison, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def __str__(self) -> str:
        return comparison_text(self.rows)

    def to_dict(self) -> dict[str, Any]:
        defaults = {
            name: default_utilization(DEVICES[name]) for name in sorted({row.entry.device for row in self.rows})
        }
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
                for row in self.rows
            ],
            "defaults": {name: {"mfu": used.mfu, "mfu_source": used.source} for name, used in defaults.items()},
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per published run."""
        return pd.DataFrame(self.to_dict()["comparison"])


def published_hours() -> PublishedHours:
    """Compares every published Llama's device hours with the estimate at its device's usual utilisation."""
    return PublishedHours(tuple(compare_published()))


def _run(
    model: str | None, params: float | None, flops: float | None, tokens: float | None
) -> tuple[ZooEntry | None, float, str]:
    """The published model if it is one, the FLOPs, and how they are counted."""
    if sum(given is not None for given in (model, params, flops)) != 1:
        raise InputError("give exactly one of `model`, `params` and `flops`")
    if flops is not None:
        if tokens is not None:
            raise InputError("`tokens`: does not apply to `flops`, which are of the whole run")
        return None, flops, "given"
    if params is not None:
        if tokens is None:
            raise InputError("`params` needs `tokens`")
        return None, 6 * params * tokens, "6nd"
    assert model is not None
    entry = find(model)
    return entry, entry.flops if tokens is None else entry.flops / entry.tokens * tokens, "exact"


def _rate(device: Device, price: float | None, prices: Path | None) -> tuple[float | None, str]:
    """US dollars per device hour, None if unknown, and their source."""
    if price is not None and prices is not None:
        raise InputError("give `price` or `prices`, not both")
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

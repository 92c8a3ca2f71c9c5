"""A sweep's plan as text."""

from collections.abc import Collection, Sequence
from typing import Any

from analysis.design.seeds import SeedPlan
from analysis.table_text import table_text
from scaling.planning import Prospect
from scaling.quantity import format_duration, format_quantity
from scaling.sweep.plan.mixtures import shares_text

# Part of its width that a forecast gains from other seeds, below which they are not worth changing.
_WORTHWHILE = 0.02


def runs_text(runs: Sequence[dict[str, Any]], varied: Collection[str]) -> list[str]:
    """The table of runs, with the learning rate and what else a grid varies."""
    columns = {
        "run": [run["id"] for run in runs],
        "role": [run["role"] for run in runs],
        "params": [format_quantity(run["params"]) for run in runs],
        **_mixtures(runs),
        **({"trunk": [(run["trunk"] or "")[:6] for run in runs]} if any(run["trunk"] for run in runs) else {}),
        "tokens": [format_quantity(run["tokens"]) for run in runs],
        "FLOPs": [f"{run['flops']:.2g}" for run in runs],
        "steps": [str(run["steps"]) for run in runs],
        "seed": [str(run["seed"]) for run in runs],
        "lr": [f"{run['learning_rate']:.3g}" for run in runs],
    }
    if "batch_tokens" in varied:
        columns["batch"] = [str(run["batch_tokens"]) for run in runs]
    if "warmup" in varied:
        columns["warm-up"] = [f"{run['warmup']:.3g}" for run in runs]
    if "weight_decay" in varied:
        columns["decay"] = [f"{run['weight_decay']:.3g}" for run in runs]
    columns["time"] = [_time(run["est_seconds"]) for run in runs]
    align = "".join("l" if title in ("run", "role", "mixture") else "r" for title in columns)
    return table_text(align, list(columns), zip(*columns.values(), strict=True)).splitlines()


def _mixtures(runs: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """The columns of a sweep with mixtures: their names, and their shares in percent; none of another sweep."""
    known = next((run["mixture"] for run in runs if run.get("mixture")), None)
    if known is None:
        return {}
    return {
        "mixture": [run["mixture_name"] or "" for run in runs],
        f"{'/'.join(known)} %": [shares_text(run["mixture"]) if run["mixture"] else "?" for run in runs],
    }


def totals_text(plan: dict[str, Any]) -> list[str]:
    fitted, speed = plan["total_flops"] - plan["target_flops"], plan["calibration"]
    compiling = [group["compile_s"] for group in plan["groups"]]
    workers, effective = plan["workers"], plan["effective_workers"]
    processes = f"{workers} worker" + ("s" if workers > 1 else "")
    if workers > effective:
        processes += f" (as fast as {effective})"
    if plan["mesh"]:
        processes = "a mesh of " + ", ".join(f"{axis} {size}" for axis, size in plan["mesh"].items())
    price = "" if plan["est_usd"] is None else f", about ${plan['est_usd']:,.2f}"
    share = "" if plan["share"] is None else f": the fitted runs take {plan['share']:.3g} times the target's"
    guide = "a rough guide" if speed is None else f"measured here on {speed['measured'][:10]}"
    saved = plan["saved_flops"] / (plan["total_flops"] + plan["saved_flops"])
    return [
        f"{len(plan['runs'])} runs, {plan['total_flops']:.3g} FLOPs (fitted {fitted:.2g}, target "
        f"{plan['target_flops']:.2g}{share})" + (f"; shared trunks save {saved:.0%}" if saved else ""),
        f"{len(compiling)} shapes and batches to compile, about {_time(sum(compiling) / len(compiling))} each unless "
        "kept from before",
        f"{_time(plan['est_seconds'])} on {plan['device']} with {processes}{price} ({guide}), "
        f"at most {_size(plan['memory_bytes'])} of state and activations a {'device' if plan['mesh'] else 'worker'}",
    ]


def prospect_text(worth: Prospect) -> list[str]:
    if worth.expected is None:
        return ["expected interval of the forecast: unknown, as the runs are too few for a law"]
    found = worth.expected
    width = f"+-{found.half_width_text} ({found.level:.0%})"
    if found.fitted:
        return [
            f"expected interval of the forecast: about {width}, by law and noise ({found.noise:.1%}) of {worth.source}"
        ]
    return [
        f"expected interval of the forecast: a guess, {width} or several times that: no finished runs give law and",
        "  noise. Published tables had 1 to 5 times as much, half of them over 2; ask again with --noise TABLE, of",
        "  runs like these, or when the first have finished",
    ]


def noise_text(seeds: SeedPlan | None, table: str | None) -> list[str]:
    if seeds is None and table is not None:
        return [f"noise between seeds unknown: {table} has no finished replicates"]
    if seeds is None:
        return ["noise between seeds unknown: run the cheapest cells with 3 seeds first, or give --noise TABLE"]
    noise = ", ".join(f"{budget.flops:.2g}: {budget.std:.2%}" for budget in seeds.noise.by_budget)
    wanted = ", ".join(
        f"{b.flops:.2g}: {b.planned}" + (f" -> {b.wanted}" if b.wanted != b.planned else "") for b in seeds.budgets
    )
    gain = 1 - seeds.wanted_std / seeds.planned_std
    return [
        f"noise between seeds, by FLOPs: {noise} ({seeds.noise.freedom} replicates)",
        f"seeds for the same FLOPs: {wanted}; that would narrow the forecast by {gain:.1%}"
        if gain > _WORTHWHILE
        else f"seeds: as planned; others for the same FLOPs would narrow the forecast by less than {_WORTHWHILE:.0%}",
    ]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown time"
    return format_duration(seconds) if seconds >= 60 else f"{seconds:.1f} s"


def _size(count: int) -> str:
    """Bytes as people read them, in powers of ten: ``482 kB``, ``1.31 MB``, ``96.4 GB``."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count} B"

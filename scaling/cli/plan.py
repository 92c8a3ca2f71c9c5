"""``scaling plan``: what a sweep would train, and what that takes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit_plain, json_option, out_option, workers_option
from scaling.cli.tables import refuse_options
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.design.seeds import SeedPlan
    from scaling.planning import Prospect
    from scaling.sweep.host.machine_speed import MachineSpeed

# Part of its width that a forecast gains from other seeds, below which they are not worth changing.
_WORTHWHILE = 0.02


@click.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@out_option
@click.option(
    "--noise",
    "table",
    metavar="TABLE",
    help="Finished runs to learn the law and the noise from.  [default: those in the sweep's folder]",
)
@workers_option
@click.option(
    "--calibrate/--no-calibrate",
    default=None,
    envvar="SCALING_CALIBRATE",
    help="Measure this machine's speed anew, or not at all.  [default: measure it if it never was: about a minute]",
)
@json_option
def command(
    sweep: str,
    overrides: tuple[str, ...],
    out: Path | None,
    table: str | None,
    workers: int | None,
    calibrate: bool | None,
    as_json: bool,
) -> None:
    """List the runs of a sweep with FLOPs, memory, time, cost and what their forecast would be worth; spends nothing.

    FLOPs count every matrix product, attention over the full context and the output head. On a CPU seconds are by a
    measurement of this machine, made once and kept: the train step is timed at a few shapes. On an accelerator they are
    a rough guide, from its peak and the MFU that large models attain, which narrow ones do not. Cost is those hours
    at the accelerator's list price; a CPU has none.

    The expected interval is that of forecasts of simulated sweeps. Where there are finished runs, losses are drawn by
    their law and noise; real intervals were then 0.6 to 2.6 times as wide, published tables mostly wider. Where
    there are none, a usual law and the scatter of published runs stand in, and the figure is a guess: intervals of
    published tables were 1 to 13 times as wide, half of them over 2.5 times. In JSON, expected.fitted tells the two
    apart.

    Where finished runs tell the noise, the plan also says how many seeds each budget should have for the same FLOPs.
    Warnings name what a forecast would suffer from, and finished runs that are far from those planned.

    \b
    Examples:
      scaling plan sweeps/quickstart.yaml
      scaling plan sweeps/quickstart.yaml --noise benchmarks/quickstart/sotu
      scaling plan sweeps/quickstart.yaml target.seeds=4 --json
    """
    from analysis.design.seeds import FEWEST_CELLS
    from scaling.planning import plan_with_warnings, prospect
    from scaling.sweep.host.machine import accelerator
    from scaling.sweep.plan.estimate import describe
    from scaling.sweep.spec.sweep_file import load_sweep

    spec = load_sweep(sweep, overrides)
    if spec.grid is not None:
        refuse_options(["table"], sweep, "a grid and forecasts nothing")
    planned, warnings = plan_with_warnings(spec)
    worth = None if spec.target is None else prospect(planned, out or Path("runs", spec.name), table)
    plan = describe(
        planned, workers, None if accelerator() else _calibration(calibrate), FEWEST_CELLS, spec.arrangement
    )
    warnings += () if worth is None else worth.warnings
    plan["warnings"] += [warning.to_dict() for warning in warnings]
    plan |= {"expected": None, "noise": None, "seeds": None} if worth is None else worth.to_dict()

    def text() -> str:
        lines = [*_runs(plan["runs"], () if spec.grid is None else spec.grid.given), *_totals(plan)]
        return "\n".join(lines if worth is None else [*lines, *_expected(worth), *_noise(worth.seeds, table)])

    emit_plain(plan, as_json, text)


def _calibration(wanted: bool | None) -> "MachineSpeed | None":
    """What was measured on this machine, now or before; None where it cannot or should not be."""
    from scaling.sweep.host.machine_speed import Unmeasured, measure, recall

    known = None if wanted else recall()
    if known is not None or wanted is False:
        return known
    click.echo("measuring this machine's speed, once: about a minute if it is idle", err=True)
    try:
        return measure()
    except Unmeasured as error:
        click.echo(f"not measured ({error}): times are a rough guide", err=True)
        return None


def _runs(runs: Sequence[dict[str, Any]], varied: Collection[str]) -> list[str]:
    """The table of runs, with the learning rate and what else a grid varies."""
    columns = {
        "run": [run["id"] for run in runs],
        "role": [run["role"] for run in runs],
        "params": [format_quantity(run["params"]) for run in runs],
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
    padded = []
    for title, cells in columns.items():
        width = max(map(len, (title, *cells)))
        padded.append([f"{cell:{'<' if title in ('run', 'role') else '>'}{width}}" for cell in (title, *cells)])
    return ["  ".join(row) for row in zip(*padded, strict=True)]


def _totals(plan: dict[str, Any]) -> list[str]:
    fitted, told = plan["total_flops"] - plan["target_flops"], plan["calibration"]
    compiling = [group["compile_s"] for group in plan["groups"]]
    workers, effective = plan["workers"], plan["effective_workers"]
    team = f"{workers} worker" + ("s" if workers > 1 else "")
    if workers > effective:
        team += f" (as fast as {effective})"
    if plan["mesh"]:
        team = "a mesh of " + ", ".join(f"{axis} {size}" for axis, size in plan["mesh"].items())
    price = "" if plan["est_usd"] is None else f", about ${plan['est_usd']:,.2f}"
    share = "" if plan["share"] is None else f": the fitted runs take {plan['share']:.3g} times the target's"
    guide = "a rough guide" if told is None else f"measured here on {told['measured'][:10]}"
    saved = plan["saved_flops"] / (plan["total_flops"] + plan["saved_flops"])
    return [
        f"{len(plan['runs'])} runs, {plan['total_flops']:.3g} FLOPs (fitted {fitted:.2g}, target "
        f"{plan['target_flops']:.2g}{share})" + (f"; shared trunks save {saved:.0%}" if saved else ""),
        f"{len(compiling)} shapes and batches to compile, about {_time(sum(compiling) / len(compiling))} each unless "
        "kept from before",
        f"{_time(plan['est_seconds'])} on {plan['device']} with {team}{price} ({guide}), "
        f"at most {_size(plan['memory_bytes'])} of state and activations a {'device' if plan['mesh'] else 'worker'}",
    ]


def _expected(worth: "Prospect") -> list[str]:
    if worth.expected is None:
        return ["expected interval of the forecast: unknown, as the runs are too few for a law"]
    found = worth.expected
    width = f"+-{found.told} ({found.level:.0%})"
    if found.fitted:
        return [
            f"expected interval of the forecast: about {width}, by law and noise ({found.noise:.1%}) of {worth.source}"
        ]
    return [
        f"expected interval of the forecast: a guess, {width} or several times that: no finished runs tell law and",
        "  noise. Published tables had 1 to 13 times as much, half of them over 2.5; ask again with --noise TABLE, of",
        "  runs like these, or when the first have finished",
    ]


def _noise(seeds: "SeedPlan | None", table: str | None) -> list[str]:
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
    from scaling.quantity import format_duration

    if seconds is None:
        return "unknown time"
    return format_duration(seconds) if seconds >= 60 else f"{seconds:.1f} s"


def _size(count: int) -> str:
    """Bytes as people read them, in powers of ten: ``482 kB``, ``1.31 MB``, ``96.4 GB``."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count} B"

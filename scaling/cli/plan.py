"""``scaling plan``: what a sweep would train, and what that takes."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit, json_option, out_option, workers_option
from scaling.cli.tables import refuse_options
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.seeds import SeedPlan

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
    help="Runs with replicates to learn the seed noise from.  [default: those finished in the sweep's folder]",
)
@workers_option
@json_option
def command(
    sweep: str, overrides: tuple[str, ...], out: Path | None, table: str | None, workers: int | None, as_json: bool
) -> None:
    """List the runs of a sweep with their FLOPs, memory, estimated time and cost; spends nothing.

    FLOPs count every matrix product, attention over the full context and the output head. Seconds are
    a rough guide: on a CPU from a matrix product timed here, on an accelerator from its peak and the MFU that large
    models attain, which narrow ones do not. Cost is those hours at the accelerator's list price; a CPU has none.
    Warnings name what a forecast from these runs would suffer from, and a recipe that is from tuning runs far away.

    Where finished runs tell the noise between seeds, the plan says how many seeds each budget should have for the
    same FLOPs.

    \b
    Examples:
      scaling plan sweeps/quickstart.yaml
      scaling plan sweeps/quickstart.yaml --noise benchmarks/quickstart/sotu
      scaling plan sweeps/quickstart.yaml target.seeds=4 --json
    """
    from scaling.pipeline import plan_seeds_of, plan_with_warnings
    from scaling.sweep.estimate import describe
    from scaling.sweep.spec import load_sweep

    spec = load_sweep(sweep, overrides)
    if spec.grid is not None:
        refuse_options(["table"], sweep, "a grid and forecasts nothing")
    planned, warnings = plan_with_warnings(spec)
    plan = describe(planned, workers)
    plan["warnings"] += [warning.to_dict() for warning in warnings]
    seeds = plan_seeds_of(planned, out or Path("runs", spec.name), table)
    plan |= {"noise": None, "seeds": None} if seeds is None else seeds.to_dict()

    def text() -> str:
        lines = [*_runs(plan["runs"], () if spec.grid is None else spec.grid.given), *_totals(plan)]
        return "\n".join(lines if spec.target is None else [*lines, *_noise(seeds, table)])

    emit(plan, as_json, text)


def _runs(runs: Sequence[dict[str, Any]], varied: Collection[str]) -> list[str]:
    """The table of runs, with the learning rate and what else a grid varies."""
    columns = {
        "run": [run["id"] for run in runs],
        "role": [run["role"] for run in runs],
        "params": [format_quantity(run["params"]) for run in runs],
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
    fitted = plan["total_flops"] - plan["target_flops"]
    plural = "" if plan["workers"] == 1 else "s"
    price = "" if plan["est_usd"] is None else f", about ${plan['est_usd']:,.2f}"
    return [
        f"{len(plan['runs'])} runs, {plan['total_flops']:.3g} FLOPs (fitted {fitted:.2g}, target "
        f"{plan['target_flops']:.2g})",
        f"{_time(plan['est_seconds'])} on {plan['device']} with {plan['workers']} worker{plural}{price}, "
        f"at most {_size(max(run['state_bytes'] for run in plan['runs']))} of training state a worker",
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
    from scaling.cli.progress import clock

    if seconds is None:
        return "unknown time"
    return clock(seconds) if seconds >= 60 else f"{seconds:.1f} s"


def _size(count: int) -> str:
    """Bytes as people read them, in powers of ten: ``482 kB``, ``1.31 MB``, ``96.4 GB``."""
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return f"{count} B"

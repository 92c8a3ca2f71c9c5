"""``scaling plan``: what a sweep would train, and what that takes."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit, json_option, out_option, workers_option
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.seeds import SeedPlan
    from analysis.table import RunTable

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
    from scaling.pipeline import plan_with_warnings
    from scaling.sweep.estimate import describe
    from scaling.sweep.spec import load_sweep

    spec = load_sweep(sweep, overrides)
    planned, warnings = plan_with_warnings(spec)
    plan = describe(planned, workers)
    plan["warnings"] += [warning.to_dict() for warning in warnings]
    seeds = _seeds(plan["runs"], out or Path("runs", spec.name), table)
    plan |= {"noise": None, "seeds": None} if seeds is None else seeds.to_dict()

    def text() -> str:
        rows = [
            f"{'run':12}  {'role':6}  {'params':>8}  {'tokens':>8}  {'FLOPs':>8}  {'steps':>7}  {'seed':>4}  "
            f"{'time':>12}"
        ]
        rows += [
            f"{run['id']:12}  {run['role']:6}  {format_quantity(run['params']):>8}  "
            f"{format_quantity(run['tokens']):>8}  {run['flops']:8.2g}  {run['steps']:7d}  {run['seed']:4d}  "
            f"{_time(run['est_seconds']):>12}"
            for run in plan["runs"]
        ]
        fitted = plan["total_flops"] - plan["target_flops"]
        rows.append(
            f"{len(plan['runs'])} runs, {plan['total_flops']:.3g} FLOPs (fitted {fitted:.2g}, target "
            f"{plan['target_flops']:.2g})"
        )
        plural = "" if plan["workers"] == 1 else "s"
        price = "" if plan["est_usd"] is None else f", about ${plan['est_usd']:,.2f}"
        rows.append(
            f"{_time(plan['est_seconds'])} on {plan['device']} with {plan['workers']} worker{plural}{price}, "
            f"at most {_size(max(run['state_bytes'] for run in plan['runs']))} of training state a worker"
        )
        if plan["target_flops"]:
            rows += _noise(seeds)
        return "\n".join(rows)

    emit(plan, as_json, text)


def _seeds(runs: list[dict[str, Any]], folder: Path, table: str | None) -> "SeedPlan | None":
    """Seeds by the noise of a table, or else of what is finished in the sweep's folder."""
    from analysis.seeds import Cell, plan_seeds
    from analysis.table import read_table

    finished = _finished(folder) if table is None else read_table(table)
    count = Counter((run["role"], run["params"], run["tokens"], run["flops"]) for run in runs)
    cells: dict[str, list[Cell]] = {"fit": [], "target": []}
    for (role, params, tokens, flops), seeds in count.items():
        cells[role].append(Cell(params, tokens, flops, seeds))
    if finished is None or not cells["target"]:
        return None
    return plan_seeds(finished, cells["fit"], cells["target"][0])


def _finished(folder: Path) -> "RunTable | None":
    """What is finished in a sweep's folder: its table of runs, or while that is not made what its runs tell."""
    from analysis.table import RunTable, read_table
    from scaling.pipeline import TABLE
    from scaling.sweep.store import PLAN, SweepFolder

    if (folder / TABLE).exists():
        return read_table(folder)
    if not (folder / PLAN).exists():
        return None
    frame = SweepFolder(folder).table()
    return None if frame.empty else RunTable.from_frame(frame, str(folder))


def _noise(seeds: "SeedPlan | None") -> list[str]:
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

"""``scaling plan``: what a sweep would train, and what that takes."""

import click

from scaling.cli.common import emit, json_option, workers_option
from scaling.quantity import format_quantity


@click.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@workers_option
@json_option
def command(sweep: str, overrides: tuple[str, ...], workers: int | None, as_json: bool) -> None:
    """List the runs of a sweep with their FLOPs, memory, estimated time and cost; spends nothing.

    FLOPs count every matrix product, attention over the full context and the output head. Seconds are
    a rough guide: on a CPU from a matrix product timed here, on an accelerator from its peak and the MFU that large
    models attain, which narrow ones do not. Cost is those hours at the accelerator's list price; a CPU has none.
    Warnings name what a forecast from these runs would suffer from.

    \b
    Examples:
      scaling plan sweeps/quickstart.yaml
      scaling plan sweeps/quickstart.yaml target.seeds=4 --json
    """
    from scaling.pipeline import plan_sweep
    from scaling.sweep.estimate import describe
    from scaling.sweep.spec import load_sweep

    plan = describe(plan_sweep(load_sweep(sweep, overrides)), workers)

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
        return "\n".join(rows)

    emit(plan, as_json, text)


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

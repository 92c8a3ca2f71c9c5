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
    """List the runs of a sweep with their tokens, FLOPs, memory and estimated time; spends nothing.

    FLOPs count every matrix product, attention over the full context and the output head. Seconds are estimated
    from a matrix product timed on this machine, so take them as a rough guide.

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
            f"{'run':12}  {'role':6}  {'params':>8}  {'tokens':>8}  {'FLOPs':>8}  {'steps':>7}  {'seed':>4}      time"
        ]
        rows += [
            f"{run['id']:12}  {run['role']:6}  {format_quantity(run['params']):>8}  "
            f"{format_quantity(run['tokens']):>8}  {run['flops']:8.2g}  {run['steps']:7d}  {run['seed']:4d}  "
            f"{run['est_seconds']:6.1f} s"
            for run in plan["runs"]
        ]
        fitted = plan["total_flops"] - plan["target_flops"]
        rows.append(
            f"{len(plan['runs'])} runs, {plan['total_flops']:.3g} FLOPs (fitted {fitted:.2g}, target "
            f"{plan['target_flops']:.2g}), about {plan['est_seconds'] / 60:.0f} min with {plan['workers']} workers, "
            f"at most {format_quantity(max(run['state_bytes'] for run in plan['runs']))}B of state a worker"
        )
        return "\n".join(rows)

    emit(plan, as_json, text)

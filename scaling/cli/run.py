"""``scaling run``: a sweep from its file to its report."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli.common import emit, json_option, out_option, source_of, workers_option
from scaling.cli.tables import refuse_options
from scaling.errors import InputError

if TYPE_CHECKING:
    from analysis.forecast import Forecast
    from scaling.pipeline import SweepResult


@click.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@out_option
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "slurm"]),
    default="local",
    show_default=True,
    help="Where the workers run; ray and slurm are not built yet.",
)
@workers_option
@click.option(
    "--fit-only",
    is_flag=True,
    help="Train the fitted runs and print the forecast, not frozen; leave the target, however large it is.",
)
@json_option
def command(
    sweep: str,
    overrides: tuple[str, ...],
    out: Path | None,
    executor: str,
    workers: int | None,
    fit_only: bool,
    as_json: bool,
) -> None:
    """Train what is not yet trained, then forecast, train the target, score, report.

    A sweep with a grid has no target: it is trained, and tuned from by: scaling recipe fit DIR.

    The forecast is frozen before the target's first step. Call it again to go on after an interruption: finished
    runs are kept, the others resume from their last checkpoint. Until the forecast is frozen, the file may grow by
    further runs, as scaling design writes them.

    With a mesh in the file, several hosts train as one: call it on each, with --out on a disk that all see, and
    JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID set; under Slurm and on TPUs
    they are found without. The first plans, logs and tells the results.

    \b
    Examples:
      scaling run sweeps/quickstart.yaml
      scaling run next.yaml --out runs/quickstart --fit-only
      scaling run sweeps/quickstart.yaml corpus=python --out runs/quickstart-python
    """
    from scaling.cli.progress import ProgressLine
    from scaling.pipeline import forecast_sweep, join_sweep, run_sweep, train_grid
    from scaling.sweep.spec import load_sweep

    if executor != "local":
        raise InputError(f"--executor {executor} is not built yet; use local")
    spec = load_sweep(sweep, overrides)
    folder = out or Path("runs", spec.name)
    source = source_of(sweep, overrides)
    process = join_sweep(spec, folder, target=not fit_only)
    if process:
        joined = {"folder": str(folder), "process": process, "warnings": []}
        emit(joined, as_json, f"process {process} has trained along; process 0 tells the results in {folder}")
        return
    if spec.grid is not None:
        refuse_options(["fit_only"], sweep, "a grid and forecasts nothing")
        table, warnings = train_grid(spec, source, folder, workers, ProgressLine().show)
        runs = len(table.frame)
        trained = {"folder": str(folder), "runs": runs, "warnings": [warning.to_dict() for warning in warnings]}
        emit(trained, as_json, f"{runs} runs trained in {folder}; now: scaling recipe fit {folder}")
        return
    if fit_only:
        made, warnings = forecast_sweep(spec, source, folder, workers, ProgressLine().show)
        told = [warning.to_dict() for warning in dict.fromkeys((*warnings, *made.warnings))]
        emit(
            {"folder": str(folder), "forecast": made.to_dict(), "warnings": told},
            as_json,
            lambda: "\n".join(_forecast(made)),
        )
        return
    result = run_sweep(spec, source, folder, workers, ProgressLine().show)
    emit(result.to_dict(), as_json, lambda: _story(result))


def _story(result: "SweepResult") -> str:
    forecast, score = result.forecast, result.score
    seeds = ", ".join(f"seed {run.seed}: {run.loss:.4f}" for run in score.actuals)
    noise = ", ".join(f"{b['flops']:.1e} FLOPs: {b['std']:.2%}" for b in forecast.noise["by_budget"])
    lines = [
        *_forecast(forecast, f", frozen {forecast.created}"),
        f"actual     {score.actual:.4f} (mean of {seeds})",
        f"error      {score.error:+.2%}, {'inside' if score.covered else 'OUTSIDE'} the interval",
        *(f"naive      {b.predicted:.4f}, error {b.error:+.2%} ({name})" for name, b in score.baselines.items()),
        f"seed noise {noise or 'unknown: no run has a replicate'}",
        f"report     {result.folder / 'report.html'}",
    ]
    return "\n".join(lines)


def _forecast(forecast: "Forecast", frozen: str = "; not frozen, and the target not trained") -> list[str]:
    low, high = forecast.interval
    return [
        f"{forecast.n_runs} runs fitted; the target is {forecast.extrapolation:.3g}x the FLOPs of the largest",
        f"forecast   {forecast.loss:.4f} nats per token, {forecast.level:.0%} interval [{low:.4f}, {high:.4f}] "
        f"(+-{(high - low) / 2 / forecast.loss:.1%}){frozen}",
    ]

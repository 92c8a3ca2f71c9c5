"""``scaling run``: a sweep from its file to its report."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit_plain, json_option, out_option, source_of, stoppable, workers_option
from scaling.cli.tables import refuse_options

if TYPE_CHECKING:
    from analysis.forecasting.forecast import Forecast
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
    help="Where the workers run: here, on a Ray cluster (at RAY_ADDRESS, or one on this machine), or in jobs of Slurm.",
)
@click.option(
    "--slurm",
    metavar="KEY=VALUE",
    multiple=True,
    help="A parameter of Slurm's jobs, as submitit knows it: partition=gpu, account=..., time=MINUTES.",
)
@workers_option
@click.option(
    "--fit-only",
    is_flag=True,
    help="Train the fitted runs and print the forecast, not frozen; leave the target, however large it is.",
)
@click.option(
    "--fork",
    is_flag=True,
    help="Go on with an edited sweep: runs that still belong are kept; plan and results so far move to DIR/forks.",
)
@click.option(
    "--track",
    "tracker",
    type=click.Choice(["tensorboard"]),
    help="Keep the runs' curves, configs and losses for a tracker too: TensorBoard's event files in DIR/tensorboard.",
)
@json_option
@stoppable
def command(
    sweep: str,
    overrides: tuple[str, ...],
    out: Path | None,
    executor: str,
    slurm: tuple[str, ...],
    workers: int | None,
    fit_only: bool,
    fork: bool,
    tracker: str | None,
    as_json: bool,
) -> None:
    """Train what is not yet trained, then forecast, train the target, score, report.

    A sweep with a grid has no target: it is trained, and tuned from by: scaling recipe fit DIR.

    The forecast is frozen before the target's first step. Call it again to go on after an interruption: finished
    runs are kept, the others resume from their last checkpoint. Until the forecast is frozen, the file may grow by
    further runs, as scaling design writes them. A file edited in another way is refused with what differs; --fork goes
    on with it, unless a forecast would then be made after its target has begun.

    With a mesh in the file, several hosts train as one, with --out on a disk that all see. --executor ray starts its
    processes, as few as the GPUs of a node allow or else one per device; --executor slurm starts them in one job, one
    on each of its nodes. --workers says how many. Without an executor, call it on each host with
    JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID set; under Slurm and on TPUs
    they are found without. The first plans, logs and tells the results.

    \b
    Examples:
      scaling run sweeps/quickstart.yaml
      scaling run next.yaml --out runs/quickstart --fit-only
      scaling run sweeps/quickstart.yaml corpus=python --out runs/quickstart-python
    """
    from scaling.pipeline import SweepPipeline, join_sweep
    from scaling.sweep.executors.registry import find_executor
    from scaling.sweep.spec.sweep_file import load_sweep
    from scaling.sweep.tracking.trackers import need_tracker

    hands = find_executor(executor, slurm)
    if tracker is not None:
        need_tracker(tracker)
    spec = load_sweep(sweep, overrides)
    folder = out or Path("runs", spec.name)
    source = source_of(sweep, overrides)
    process = join_sweep(spec, folder, target=not fit_only)
    if process:
        joined = {"folder": str(folder), "process": process, "warnings": []}
        emit_plain(joined, as_json, f"process {process} has trained along; process 0 tells the results in {folder}")
        return
    if spec.grid is not None:
        refuse_options(["fit_only"], sweep, "a grid and forecasts nothing")
        with _reporting(spec.name, folder, tracker) as report:
            table, warnings = SweepPipeline(spec, source, folder, workers, report, fork, hands).train_grid()
        runs = len(table.frame)
        trained = {"folder": str(folder), "runs": runs, "warnings": [warning.to_dict() for warning in warnings]}
        emit_plain(trained, as_json, f"{runs} runs trained in {folder}; now: scaling recipe fit {folder}")
        return
    if fit_only:
        with _reporting(spec.name, folder, tracker) as report:
            made, warnings = SweepPipeline(spec, source, folder, workers, report, fork, hands).forecast()
        told = [warning.to_dict() for warning in dict.fromkeys((*warnings, *made.warnings))]
        emit_plain(
            {"folder": str(folder), "forecast": made.to_dict(), "warnings": told},
            as_json,
            lambda: "\n".join(_forecast(made)),
        )
        return
    with _reporting(spec.name, folder, tracker) as report:
        result = SweepPipeline(spec, source, folder, workers, report, fork, hands).run()
    emit_plain(result.to_dict(), as_json, lambda: _story(result))


@contextmanager
def _reporting(sweep: str, folder: Path, tracker: str | None) -> Iterator[Callable[[str, Any], None]]:
    """Yields what shows a sweep's progress; a tracker is told of it within this."""
    from scaling.cli.progress import ProgressDisplay
    from scaling.sweep.tracking.trackers import tracking

    with ProgressDisplay(sweep) as display, tracking(folder, tracker, display.show) as report:
        yield report


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

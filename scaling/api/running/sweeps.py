"""Sweeps, with mixtures too, chains of stages and comparisons of contenders: their plan and their runs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.design.seeds import FEWEST_CELLS
from analysis.diagnostics.codes import Diagnostic
from scaling.api.running.sweep_results import FinishedSweep, ForecastSweep, SweepPlan, TrainedSweep
from scaling.api.tables import refuse_given
from scaling.pipeline import ReportProgress, SweepPipeline, join_sweep
from scaling.planning import plan_with_warnings, prospect
from scaling.sweep.contenders.contenders_file import has_contenders, load_contenders
from scaling.sweep.executors.registry import find_executor
from scaling.sweep.host import machine, machine_speed
from scaling.sweep.plan.estimate import describe
from scaling.sweep.spec.sweep_file import load_sweep
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.spec.yaml_locations import read_file
from scaling.sweep.stages.chain_file import is_chain, load_chain
from scaling.sweep.tracking.trackers import need_tracker, tracking
from scaling.sweep.workers.worker_pool import Executor

if TYPE_CHECKING:
    from scaling.api.running.chains import ChainPlan, FinishedChain
    from scaling.api.running.comparisons import ContendersPlan, FinishedComparison
    from scaling.api.running.mixtures import FinishedMixture, MixtureSweepPlan

_GRID = "a grid and forecasts nothing"
_STAGES = "a chain of stages"
_CONTENDERS = "a comparison of contenders"
_MIXED = "a sweep that chooses a mixture"
# Of a sweep's name: yields what is called with the role that trains (fit or target) and its progress.
Progress = Callable[[str], AbstractContextManager[ReportProgress]]


def plan(
    sweep: str | Path,
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    noise: str | Path | None = None,
    workers: int | None = None,
    calibrate: bool | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> "SweepPlan | ChainPlan | ContendersPlan | MixtureSweepPlan":
    """Lists the runs of a sweep with FLOPs, memory, time, cost and what their forecast would be worth; spends nothing.

    Args:
        sweep: the sweep's file.
        overrides: ``key=value`` each, in place of what the file says.
        out: the sweep's folder; by default ``runs/<sweep name>``.
        noise: a table of finished runs that law and noise are learnt from; by default the folder's own.
        workers: processes that train at once.
        calibrate: whether to measure this machine's speed: anew, not at all, or by default if it never was.
        note: receives a line before what takes long.

    Raises:
        InputError: an impossible sweep, with file, line and column.
    """
    text = read_file(sweep, "sweep file")
    if is_chain(text):
        from scaling.api.running.chains import plan_chain

        refuse_given(sweep, _STAGES, noise=noise)
        return plan_chain(load_chain(str(sweep), tuple(overrides)))
    if has_contenders(text):
        from scaling.api.running.comparisons import plan_comparison

        refuse_given(sweep, _CONTENDERS, noise=noise)
        contenders = load_contenders(str(sweep), tuple(overrides))
        return plan_comparison(contenders, workers, lambda: _speed_here(calibrate, note))
    spec = load_sweep(str(sweep), tuple(overrides))
    if spec.grid is not None:
        refuse_given(sweep, _GRID, noise=noise)
    folder = Path("runs", spec.name) if out is None else Path(out)
    if spec.mixtures is not None:
        from scaling.api.running.mixtures import plan_mixture

        refuse_given(sweep, _MIXED, noise=noise)
        return plan_mixture(spec, folder, workers, lambda: _speed_here(calibrate, note))
    noise = None if noise is None else str(noise)
    planned, warnings = plan_with_warnings(spec)
    worth = None if spec.target is None else prospect(planned, folder, noise)
    content = describe(planned, workers, _speed_here(calibrate, note), FEWEST_CELLS, spec.arrangement)
    warned = (*(Diagnostic(**each) for each in content.pop("warnings")), *warnings)
    return SweepPlan(
        content,
        worth,
        None if spec.grid is None else tuple(spec.grid.given),
        noise,
        warned if worth is None else (*warned, *worth.warnings),
    )


def _speed_here(wanted: bool | None, note: Callable[[str], None]) -> machine_speed.MachineSpeed | None:
    """The measured speed of this machine, from now or before; None where it cannot or should not be measured."""
    if machine.accelerator():
        return None
    known = None if wanted else machine_speed.recall()
    if known is not None or wanted is False:
        return known
    note("measuring this machine's speed, once: about a minute if it is idle")
    try:
        return machine_speed.measure()
    except machine_speed.Unmeasured as error:
        note(f"not measured ({error}): times are a rough guide")
        return None


@contextmanager
def silent(_: str) -> Iterator[ReportProgress]:
    """Shows no progress."""
    yield lambda _role, _progress: None


def source_of(sweep: str | Path, overrides: Sequence[str]) -> str:
    """The text of a sweep's file with its overrides, to be kept beside the results."""
    return Path(sweep).read_text(encoding="utf-8-sig") + "".join(f"\n# with {given}" for given in overrides)


def run(
    sweep: str | Path,
    *,
    overrides: Sequence[str] = (),
    out: str | Path | None = None,
    executor: str = "local",
    slurm: Sequence[str] = (),
    workers: int | None = None,
    fit_only: bool = False,
    fork: bool = False,
    track: str | None = None,
    only: Sequence[str] = (),
    progress: Progress = silent,
) -> "FinishedSweep | ForecastSweep | TrainedSweep | FinishedChain | FinishedComparison | FinishedMixture":
    """Trains what is not yet trained of a sweep, then forecasts, trains the target, scores and reports.

    Args:
        sweep: the sweep's file.
        overrides: ``key=value`` each, in place of what the file says.
        out: the sweep's folder; by default ``runs/<sweep name>``.
        executor: where the workers run: ``local``, ``ray`` or ``slurm``.
        slurm: parameters of Slurm's jobs, ``key=value`` each.
        workers: processes that train at once.
        fit_only: train the fitted runs and forecast, without freezing; leave the target.
        fork: go on with an edited sweep; see ``scaling run --help``.
        track: a tracker that the runs' curves are kept for, such as ``tensorboard``.
        only: names of the stages to carry out, of a file with ``stages``; all without any.
        progress: shows how far the runs are; by default nothing does.

    Raises:
        InputError: an impossible sweep, a folder that holds another one or cannot be written, a failed worker, or too
            few finished runs to fit.
    """
    backend = find_executor(executor, tuple(slurm))
    if track is not None:
        need_tracker(track)
    source = source_of(sweep, overrides)
    if is_chain(source):
        from scaling.api.running.chains import run_chain

        refuse_given(sweep, _STAGES, fit_only=fit_only, track=track)
        return run_chain(sweep, overrides, source, out, workers, only, fork, backend, progress)
    refuse_given(sweep, "a file without stages", only=tuple(only) or None)
    if has_contenders(source):
        from scaling.api.running.comparisons import run_comparison

        refuse_given(sweep, _CONTENDERS, fit_only=fit_only, track=track)
        contenders = load_contenders(str(sweep), tuple(overrides))
        return run_comparison(contenders, source, out, workers, fork, backend, progress)
    spec = load_sweep(str(sweep), tuple(overrides))
    if spec.grid is not None:
        refuse_given(sweep, _GRID, fit_only=fit_only)
    return _run_sweep(spec, source, out, workers, fit_only, fork, track, backend, progress)


def _run_sweep(
    spec: SweepSpec,
    source: str,
    out: str | Path | None,
    workers: int | None,
    fit_only: bool,
    fork: bool,
    track: str | None,
    backend: Executor,
    progress: Progress,
) -> "FinishedSweep | ForecastSweep | TrainedSweep | FinishedMixture":
    """One sweep, carried out."""
    folder = Path("runs", spec.name) if out is None else Path(out)
    if process := join_sweep(spec, folder, target=not fit_only):
        return TrainedSweep(folder, None, process)
    if spec.mixtures is not None:
        from scaling.api.running.mixtures import run_mixture

        return run_mixture(spec, source, folder, workers, fit_only, fork, track, backend, progress)
    with progress(spec.name) as show, tracking(folder, track, show) as report:
        pipeline = SweepPipeline(spec, source, folder, workers, report, fork, backend)
        if spec.grid is not None:
            table, warnings = pipeline.train_grid()
            return TrainedSweep(folder, len(table.frame), None, tuple(warnings))
        if fit_only:
            made, warnings = pipeline.forecast()
            return ForecastSweep(folder, made, tuple(dict.fromkeys((*warnings, *made.warnings))))
        result = pipeline.run()
    warned = dict.fromkeys((*result.warnings, *result.forecast.warnings, *result.score.warnings))
    return FinishedSweep(result, tuple(warned))

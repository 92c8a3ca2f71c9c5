"""A sweep's whole story: run, fit, freeze, target, score, report.

Beside ``planning.py`` and the command line the only file of ``scaling`` that knows ``analysis``.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.diagnostics.codes import Diagnostic
from analysis.forecasting.forecast import Forecast, forecast, read_forecast
from analysis.forecasting.score import Score, score
from analysis.runs.table import RunTable
from analysis.tuning.recipe_check import RecipeCheck, check_recipe
from scaling.errors import InputError
from scaling.files import write_parquet, write_text
from scaling.llama.counts import count_params, flops_per_token
from scaling.planning import TABLE, plan_sweep, plan_with_warnings
from scaling.quantity import format_quantity
from scaling.sweep.folder.plan_file import FORECAST
from scaling.sweep.folder.progress import SweepProgress
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.host.rank import this_rank
from scaling.sweep.plan.corpus_text import load_text
from scaling.sweep.plan.expand import PlannedRun, tokens_of
from scaling.sweep.plan.probe import probe
from scaling.sweep.spec.sweep_spec import SweepSpec
from scaling.sweep.workers.local import local
from scaling.sweep.workers.supervisor import join_group, train_runs
from scaling.sweep.workers.worker_pool import Executor

SCORE, CURVES, SUMMARY, REPORT = (
    "score.json",
    "curves.parquet",
    "summary.json",
    "report.html",
)
# Runs whose loss is above this share of what the frequencies of tokens alone give have learnt hardly anything.
_LEARNT = 0.98
Report = Callable[[str, SweepProgress], None]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        folder: where everything is.
        forecast: as frozen before the target's first step.
        score: the forecast against the target's runs.
        warnings: of the plan.
    """

    folder: Path
    forecast: Forecast
    score: Score
    warnings: tuple[Diagnostic, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling run``."""
        warnings = dict.fromkeys(self.warnings + self.forecast.warnings + self.score.warnings)
        return {
            "folder": str(self.folder),
            "forecast": self.forecast.to_dict(),
            "score": self.score.to_dict(),
            "warnings": [warning.to_dict() for warning in warnings],
        }


def train_grid(
    spec: SweepSpec,
    source: str,
    out: Path,
    workers: int | None,
    report: Report,
    fork: bool = False,
    executor: Executor = local,
) -> tuple[RunTable, list[Diagnostic]]:
    """Trains what is not yet trained of a sweep with a grid.

    Returns:
        The table to tune the recipe from, and the warnings of its plan.

    Args and Raises:
        As ``run_sweep``.
    """
    _, table, warnings = _train_fitted(spec, source, SweepFolder(out), workers, report, fork=fork, executor=executor)
    return table, warnings


def _train_fitted(
    spec: SweepSpec,
    source: str,
    folder: SweepFolder,
    workers: int | None,
    report: Report,
    target: bool = True,
    fork: bool = False,
    executor: Executor = local,
) -> tuple[list[PlannedRun], RunTable, list[Diagnostic]]:
    """The plan of a sweep, with or without its target, the table of its fitted runs, and the warnings of the plan."""
    plan, warnings = plan_with_warnings(spec if target else spec.model_copy(update={"target": None}))
    with folder.locked():
        folder.prepare(spec.canonical(), source, plan, may_grow=True, fork=fork)
    train_runs(folder, "fit", workers, lambda progress: report("fit", progress), executor)
    return plan, write_tables(folder), warnings


def check_sweep(
    spec: SweepSpec, source: str, out: Path, workers: int | None, report: Report
) -> tuple[RecipeCheck, float, list[Diagnostic]]:
    """Trains a few runs around a sweep's recipe and judges it by them; before the sweep itself is run.

    Returns:
        The verdict, what it cost as a share of the sweep's FLOPs, and the warnings of the plan.

    Args and Raises:
        As ``run_sweep``.
    """
    plan = plan_sweep(spec)
    around = probe(spec, plan)
    table, warnings = train_grid(around, source, out, workers, report)
    own = plan_sweep(around.model_copy(update={"grid": None}))
    usual = {(run.config.params, run.config.tokens): run.config.recipe.rates.matrix for run in own}
    rows = table.frame.assign(
        usual_lr=[usual[cell] for cell in zip(table.frame.params, table.frame.tokens, strict=True)]
    )
    target = max((float(run.config.flops) for run in plan if run.role == "target"), default=None)
    share = rows.flops.sum() / sum(run.config.flops for run in plan)
    check = check_recipe(rows, target)
    told = tuple(_nothing_learnt(rows, load_text(spec.corpus).frequency_loss))
    return replace(check, warnings=check.warnings + told), float(share), warnings


def _nothing_learnt(rows: pd.DataFrame, frequency_loss: float) -> Iterator[Diagnostic]:
    """Sizes at which every rate tried is as bad, so that which is the best of them says nothing."""
    least = rows.groupby("params").loss.min()
    for params, loss in zip(least.index.tolist(), least.tolist(), strict=True):
        if loss > _LEARNT * frequency_loss:
            yield Diagnostic(
                "recipe-off",
                f"at {format_quantity(params)} parameters hardly anything is learnt at any of the rates tried: the "
                f"least loss is {loss:.4g}, and the frequencies of tokens alone give {frequency_loss:.4g}; the best "
                "rate is well below them, or the runs are too short",
            )


def run_sweep(
    spec: SweepSpec,
    source: str,
    out: Path,
    workers: int | None,
    report: Report,
    fork: bool = False,
    executor: Executor = local,
) -> SweepResult:
    """Trains what is not yet trained, then forecasts, trains the target, scores and reports.

    Args:
        spec: the sweep.
        source: text of its file, kept beside the results.
        out: the sweep's folder; made if missing.
        workers: processes, or None for the machine's own number.
        report: called while runs train, with ``fit`` or ``target``.
        fork: whether the sweep may be another than the folder holds; see ``SweepFolder.prepare``.
        executor: where the workers are.

    Raises:
        InputError: an impossible sweep, a folder that holds another one or cannot be written, a failed worker, or
            too few finished runs to fit.
    """
    folder = SweepFolder(out)
    plan, _, warnings = _train_fitted(spec, source, folder, workers, report, fork=fork, executor=executor)
    while (frozen := _freeze(folder, plan)) is None:  # another call has made the sweep larger meanwhile
        train_runs(folder, "fit", workers, lambda progress: report("fit", progress), executor)
    train_runs(folder, "target", workers, lambda progress: report("target", progress), executor)
    table = write_tables(folder)
    if not (table.frame.role.eq("target") & table.frame.status.eq("done")).any():
        raise InputError(f"{out}: no run of the target ended well, so the forecast cannot be scored")
    result = score(frozen, table)
    result.write(out / SCORE)
    write_text(out / SUMMARY, json.dumps(summarise(folder, table)))
    from analysis.report import write_report  # late: what draws takes long to import

    write_report(out)
    return SweepResult(out, frozen, result, tuple(warnings))


def join_sweep(spec: SweepSpec, out: Path, target: bool) -> int:
    """Where this is not the first of several processes that run a sweep: trains along with that one until it is done.

    Args:
        spec: the sweep.
        out: its folder, which all processes share.
        target: whether the target is trained too, if there is one.

    Returns:
        The process's index; 0, at once, for the first and for one by itself.

    Raises:
        InputError: the environment does not say which process this is, or the first one has ended before its time.
    """
    index = this_rank(spec.mesh is not None).index
    if index:
        for role in ("fit", "target") if target and spec.target is not None else ("fit",):
            join_group(SweepFolder(out), role)
    return index


def forecast_sweep(
    spec: SweepSpec,
    source: str,
    out: Path,
    workers: int | None,
    report: Report,
    fork: bool = False,
    executor: Executor = local,
) -> tuple[Forecast, list[Diagnostic]]:
    """Trains the fitted runs and forecasts the target, which is left as it is; nothing is frozen.

    Returns:
        The forecast, and the warnings of the plan.

    Args and Raises:
        As ``run_sweep``; InputError too where the forecast is frozen already.
    """
    assert spec.target is not None
    if not fork:
        _refuse_frozen(out)
    _, table, warnings = _train_fitted(
        spec, source, SweepFolder(out), workers, report, target=False, fork=fork, executor=executor
    )
    _refuse_frozen(out)
    model = spec.shape(spec.target.size)
    params, each = count_params(model).total, flops_per_token(model, model.seq_len)
    tokens = tokens_of(model, *spec.target.horizon)
    seeds = len(spec.target.seeds)
    return forecast(table, params, tokens, flops=tokens * each, target_seeds=seeds), warnings


def _refuse_frozen(out: Path) -> None:
    if (out / FORECAST).exists():
        raise InputError(f"{out / FORECAST}: the forecast is frozen, and further runs can no longer change it")


def write_tables(folder: SweepFolder) -> RunTable:
    """Derives the table of runs and their curves anew from the run folders."""
    with folder.locked():  # lest an older table takes a newer one's place
        return _derive_tables(folder)


def _derive_tables(folder: SweepFolder) -> RunTable:
    frame = folder.table()
    write_parquet(folder.path / TABLE, frame)
    write_parquet(folder.path / CURVES, folder.curves())
    return RunTable.from_frame(frame, str(folder.path))


def _freeze(folder: SweepFolder, plan: Sequence[PlannedRun]) -> Forecast | None:
    """The forecast of a plan's target, made now or by another call before; None while fitted runs are left to train."""
    with folder.locked():
        if not {run.id for run in plan} <= set(folder.runs()):
            raise InputError(f"{folder.path}: another `scaling run` has given it another sweep meanwhile")
        path = folder.path / FORECAST
        if path.exists():
            return read_forecast(path)
        targets = [run for run in plan if run.role == "target"]
        begun = [run.id for run in targets if folder.run(run.id).status()["state"] != "planned"]
        if begun:
            raise InputError(
                f"{folder.path}: the target has begun but there is no {FORECAST}; it cannot be made afterwards"
            )
        if any(folder.run(run_id).status()["state"] not in ENDED for run_id in folder.runs("fit")):
            return None
        config, table = targets[0].config, _derive_tables(folder)
        made = forecast(table, config.params, config.tokens, flops=float(config.flops), target_seeds=len(targets))
        made.freeze(path)
        return made


def summarise(folder: SweepFolder, table: RunTable) -> dict[str, Any]:
    """What the table has no column for: the sampling error of the held-out set, and the time spent."""
    statuses = {run_id: folder.run(run_id).status() for run_id in folder.runs()}
    done = {run_id: status for run_id, status in statuses.items() if status["state"] == "done"}
    dearest = table.frame[table.frame.status == "done"].sort_values("flops").run_id.iloc[-1]
    config = folder.run(dearest).config()
    return {
        "corpus": config.data.fingerprint,
        "eval_tokens": config.data.eval_tokens,
        "loss_stderr_documents": done[dearest]["loss_stderr_documents"],
        "wall_s": sum(status["wall_s"] for status in done.values()),
        "eval_s": sum(status["eval_s"] for status in done.values()),
    }

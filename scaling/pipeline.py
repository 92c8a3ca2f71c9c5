"""The steps of a sweep in order: run, fit, freeze, target, score, report."""

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
from scaling.planning import plan_sweep, plan_with_warnings
from scaling.quantity import format_quantity
from scaling.sweep.folder.file_names import CURVES, FORECAST, SCORE, SUMMARY, TABLE
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

# Runs whose loss is above this share of what the frequencies of tokens alone give have learnt hardly anything.
_LEARNT = 0.98
ReportProgress = Callable[[str, SweepProgress], None]


@dataclass(frozen=True)
class SweepResult:
    """The outcome of a sweep.

    Attributes:
        folder: the sweep's folder.
        forecast: as frozen before the target's first step.
        score: the forecast against the target's runs.
        warnings: of the plan.
    """

    folder: Path
    forecast: Forecast
    score: Score
    warnings: tuple[Diagnostic, ...]


@dataclass(frozen=True)
class SweepPipeline:
    """A sweep to be carried out in a folder, by an executor's workers.

    Each method plans, trains what is not yet trained, and goes on from there; call it again to resume.

    Attributes:
        spec: the sweep.
        source: text of its file, kept beside the results.
        out: the sweep's folder; made if missing.
        workers: number of worker processes, or None for the machine's own number.
        report: called while runs train, with ``fit`` or ``target`` and the progress.
        fork: whether the sweep may differ from the one in the folder; see ``SweepFolder.prepare``.
        executor: where the workers run.

    Raises:
        InputError: (every method) an impossible sweep, a folder that holds another one or cannot be written, a failed
            worker, or too few finished runs to fit.
    """

    spec: SweepSpec
    source: str
    out: Path
    workers: int | None
    report: ReportProgress
    fork: bool = False
    executor: Executor = local

    @property
    def folder(self) -> SweepFolder:
        return SweepFolder(self.out)

    def run(self) -> SweepResult:
        """Trains the fitted runs, freezes the forecast, trains the target, scores and reports."""
        folder = self.folder
        plan, _, warnings = self._train_fitted(self.spec)
        while (frozen := _freeze(folder, plan)) is None:  # another call has made the sweep larger meanwhile
            self._train(folder, "fit")
        self._train(folder, "target")
        table = write_tables(folder)
        if not (table.frame.role.eq("target") & table.frame.status.eq("done")).any():
            raise InputError(f"{self.out}: no run of the target ended well, so the forecast cannot be scored")
        result = score(frozen, table)
        result.write(self.out / SCORE)
        write_text(self.out / SUMMARY, json.dumps(summarise(folder, table)))
        from analysis.report import write_report  # late: what draws takes long to import

        write_report(self.out)
        return SweepResult(self.out, frozen, result, tuple(warnings))

    def forecast(self) -> tuple[Forecast, list[Diagnostic]]:
        """Trains the fitted runs and forecasts the target, which is not trained; nothing is frozen.

        Returns:
            The forecast, and the warnings of the plan.

        Raises:
            InputError: also where the forecast is frozen already.
        """
        target = self.spec.target
        assert target is not None
        if not self.fork:
            self._refuse_frozen()
        _, table, warnings = self._train_fitted(self.spec, target=False)
        self._refuse_frozen()
        model = self.spec.shape(target.size)
        params, each = count_params(model).total, flops_per_token(model, model.seq_len)
        tokens = tokens_of(model, *target.horizon)
        seeds = len(target.seeds)
        return forecast(table, params, tokens, flops=tokens * each, target_seeds=seeds), warnings

    def train_grid(self) -> tuple[RunTable, list[Diagnostic]]:
        """Trains a sweep with a grid; returns the table to tune the recipe from, and the warnings of the plan."""
        _, table, warnings = self._train_fitted(self.spec)
        return table, warnings

    def check_recipe(self) -> tuple[RecipeCheck, float, list[Diagnostic]]:
        """Trains a few runs around the sweep's recipe and judges it by them, before the sweep itself is run.

        Returns:
            The verdict, its cost as a share of the sweep's FLOPs, and the warnings of the plan.
        """
        plan = plan_sweep(self.spec)
        around = probe(self.spec, plan)
        _, table, warnings = self._train_fitted(around)
        own = plan_sweep(around.model_copy(update={"grid": None}))
        usual = {(run.config.params, run.config.tokens): run.config.recipe.rates.matrix for run in own}
        rows = table.frame.assign(
            usual_lr=[usual[cell] for cell in zip(table.frame.params, table.frame.tokens, strict=True)]
        )
        target = max((float(run.config.flops) for run in plan if run.role == "target"), default=None)
        share = rows.flops.sum() / sum(run.config.flops for run in plan)
        check = check_recipe(rows, target)
        unlearnt = tuple(_nothing_learnt(rows, load_text(self.spec.corpus).frequency_loss))
        return replace(check, warnings=check.warnings + unlearnt), float(share), warnings

    def _train_fitted(
        self, spec: SweepSpec, target: bool = True
    ) -> tuple[list[PlannedRun], RunTable, list[Diagnostic]]:
        """The plan, with or without its target, the table of the fitted runs, all trained, and the plan's warnings."""
        folder = self.folder
        plan, warnings = plan_with_warnings(spec if target else spec.model_copy(update={"target": None}))
        with folder.locked():
            folder.prepare(spec.canonical(), self.source, plan, may_grow=True, fork=self.fork)
        self._train(folder, "fit")
        return plan, write_tables(folder), warnings

    def _train(self, folder: SweepFolder, role: str) -> None:
        train_runs(folder, role, self.workers, lambda progress: self.report(role, progress), self.executor)

    def _refuse_frozen(self) -> None:
        if (self.out / FORECAST).exists():
            raise InputError(f"{self.out / FORECAST}: the forecast is frozen, and further runs can no longer change it")


def _nothing_learnt(rows: pd.DataFrame, frequency_loss: float) -> Iterator[Diagnostic]:
    """A warning for each size at which all learning rates are equally bad, so that the best one says nothing."""
    least = rows.groupby("params").loss.min()
    for params, loss in zip(least.index.tolist(), least.tolist(), strict=True):
        if loss > _LEARNT * frequency_loss:
            yield Diagnostic(
                "recipe-off",
                f"at {format_quantity(params)} parameters hardly anything is learnt at any of the rates tried: the "
                f"least loss is {loss:.4g}, and the frequencies of tokens alone give {frequency_loss:.4g}; the best "
                "rate is well below them, or the runs are too short",
            )


def join_sweep(spec: SweepSpec, out: Path, target: bool) -> int:
    """Trains along with the first of several processes that run a sweep until it is done, where this is another.

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


def write_tables(folder: SweepFolder) -> RunTable:
    """Rebuilds the table of runs and the table of their curves from the run folders, and writes both."""
    with folder.locked():  # lest an older table takes a newer one's place
        return derive_tables(folder)


def derive_tables(folder: SweepFolder) -> RunTable:
    """As :func:`write_tables`, for a caller that holds the folder's lock."""
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
        config, table = targets[0].config, derive_tables(folder)
        made = forecast(table, config.params, config.tokens, flops=float(config.flops), target_seeds=len(targets))
        made.freeze(path)
        return made


def summarise(folder: SweepFolder, table: RunTable) -> dict[str, Any]:
    """A summary of what the table has no column for: the held-out set's sampling error, and the time spent."""
    statuses = {run_id: folder.run(run_id).status() for run_id in folder.runs()}
    done = {run_id: status for run_id, status in statuses.items() if status["state"] == "done"}
    largest = table.frame[table.frame.status == "done"].sort_values("flops").run_id.iloc[-1]
    config = folder.run(largest).pretraining()
    return {
        "corpus": config.data.fingerprint,
        "eval_tokens": config.data.eval_tokens,
        "loss_stderr_documents": done[largest]["loss_stderr_documents"],
        "wall_s": sum(status["wall_s"] for status in done.values()),
        "eval_s": sum(status["eval_s"] for status in done.values()),
    }

"""A sweep's whole story: run, fit, freeze, target, score, report.

The only file of ``scaling``, beside the command line, that knows ``analysis``.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.errors import InputError as AnalysisInputError
from analysis.forecast import Forecast, forecast, read_forecast
from analysis.recipe_check import RecipeCheck, check_recipe
from analysis.report import write_report
from analysis.score import Score, score
from analysis.table import RunTable, read_table
from analysis.tuning import fit_tuning
from scaling.errors import InputError
from scaling.llama.counts import count_params
from scaling.sweep.design import PlannedRun, expand
from scaling.sweep.execute import SweepProgress, execute
from scaling.sweep.probe import probe
from scaling.sweep.spec import SweepSpec
from scaling.sweep.store import SweepFolder, write_parquet, write_text
from scaling.sweep.text import load_text
from scaling.train.recipe import Tuned

FORECAST, SCORE, TABLE, CURVES, SUMMARY, REPORT = (
    "forecast.json",
    "score.json",
    "runs.parquet",
    "curves.parquet",
    "summary.json",
    "report.html",
)
Report = Callable[[str, SweepProgress], None]


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Attributes:
        folder: where everything is.
        forecast: as frozen before the target's first step.
        score: the forecast against the target's runs.
    """

    folder: Path
    forecast: Forecast
    score: Score

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling run``."""
        return {
            "folder": str(self.folder),
            "forecast": self.forecast.to_dict(),
            "score": self.score.to_dict(),
            "warnings": [asdict(warning) for warning in dict.fromkeys(self.forecast.warnings + self.score.warnings)],
        }


def plan_sweep(spec: SweepSpec) -> list[PlannedRun]:
    """The runs of a sweep on this machine's copy of its corpus.

    Raises:
        InputError: an impossible sweep, or a table to take the recipe from that tells no law.
    """
    return expand(spec, load_text(spec.corpus), _tuned(spec))


def _tuned(spec: SweepSpec) -> Tuned | None:
    """The laws of the table that the recipe is to be taken from, if one is named."""
    if spec.recipe.source is None:
        return None
    try:
        tuning = fit_tuning(read_table(spec.recipe.source))
    except AnalysisInputError as error:
        raise InputError(f"{spec.where('recipe', 'from')}: {fault}" for fault in error.faults) from None
    return Tuned(
        learning_rate=(
            (lambda model, tokens: tuning.rate(count_params(model).total, tokens)[0]) if tuning.laws["lr"] else None
        ),
        batch_tokens=(lambda _, tokens: tuning.batch(tokens)[0]) if tuning.laws["batch_tokens"] else None,
    )


def train_grid(spec: SweepSpec, source: str, out: Path, workers: int | None, report: Report) -> RunTable:
    """Trains what is not yet trained of a sweep with a grid; its table is what the recipe is tuned from.

    Args and Raises:
        As ``run_sweep``.
    """
    folder = SweepFolder(out)
    folder.prepare(spec.canonical(), source, plan_sweep(spec))
    execute(folder, "fit", workers, lambda progress: report("fit", progress))
    return write_tables(folder)


def check_sweep(
    spec: SweepSpec, source: str, out: Path, workers: int | None, report: Report
) -> tuple[RecipeCheck, float]:
    """Trains a few runs around a sweep's recipe and judges it by them; before the sweep itself is run.

    Returns:
        The verdict, and what it cost as a share of the sweep's FLOPs.

    Args and Raises:
        As ``run_sweep``.
    """
    plan = plan_sweep(spec)
    around = probe(spec, plan)
    table = train_grid(around, source, out, workers, report)
    own = plan_sweep(around.model_copy(update={"grid": None}))
    usual = {(run.config.params, run.config.tokens): run.config.recipe.rates.matrix for run in own}
    rows = table.frame.assign(
        usual_lr=[usual[cell] for cell in zip(table.frame.params, table.frame.tokens, strict=True)]
    )
    target = max((float(run.config.flops) for run in plan if run.role == "target"), default=None)
    return check_recipe(rows, target), rows.flops.sum() / sum(run.config.flops for run in plan)


def run_sweep(spec: SweepSpec, source: str, out: Path, workers: int | None, report: Report) -> SweepResult:
    """Trains what is not yet trained, then forecasts, trains the target, scores and reports.

    Args:
        spec: the sweep.
        source: text of its file, kept beside the results.
        out: the sweep's folder; made if missing.
        workers: processes, or None for the machine's own number.
        report: called while runs train, with ``fit`` or ``target``.

    Raises:
        InputError: an impossible sweep, a folder that holds another one or cannot be written, a failed worker, or
            too few finished runs to fit.
    """
    plan = plan_sweep(spec)
    folder = SweepFolder(out)
    folder.prepare(spec.canonical(), source, plan)
    execute(folder, "fit", workers, lambda progress: report("fit", progress))
    table = write_tables(folder)
    frozen = _freeze(folder, table, plan)
    execute(folder, "target", workers, lambda progress: report("target", progress))
    table = write_tables(folder)
    if not (table.frame.role.eq("target") & table.frame.status.eq("done")).any():
        raise InputError(f"{out}: no run of the target ended well, so the forecast cannot be scored")
    result = score(frozen, table)
    result.write(out / SCORE)
    write_text(out / SUMMARY, json.dumps(summarise(folder, table)))
    write_report(out)
    return SweepResult(out, frozen, result)


def write_tables(folder: SweepFolder) -> RunTable:
    """Derives the table of runs and their curves anew from the run folders."""
    frame = folder.table()
    write_parquet(folder.path / TABLE, frame)
    write_parquet(folder.path / CURVES, folder.curves())
    return RunTable.from_frame(frame, str(folder.path))


def _freeze(folder: SweepFolder, table: RunTable, plan: Sequence[PlannedRun]) -> Forecast:
    path = folder.path / FORECAST
    if path.exists():
        return read_forecast(path)
    targets = [run for run in plan if run.role == "target"]
    begun = [run.id for run in targets if folder.run(run.id).status()["state"] != "planned"]
    if begun:
        raise InputError(
            f"{folder.path}: the target has begun but there is no {FORECAST}; it cannot be made afterwards"
        )
    config = targets[0].config
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

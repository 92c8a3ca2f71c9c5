"""``scaling recipe``: the laws of the best learning rate and batch, and whether a sweep's recipe is near it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaling.cli.common import emit_plain, json_option, source_of, stoppable, workers_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import column_options

if TYPE_CHECKING:
    from analysis.fitting.power_law import PowerLaw
    from analysis.tuning.grid import Hyperparameter, TunedCell
    from analysis.tuning.rate_laws import Tuning
    from analysis.tuning.recipe_check import RecipeCheck

_TITLES = {"lr": "learning rate", "batch_tokens": "batch in tokens"}
_COLUMNS: "dict[Hyperparameter, str]" = {
    "lr": "lr",
    "batch_tokens": "batch",
    "warmup": "warm-up share",
    "weight_decay": "weight decay",
}


@click.group()
def command() -> None:
    """Tune and check the recipe of a sweep: how learning rate and batch follow model size and length.

    \b
    Examples:
      scaling recipe check sweeps/quickstart.yaml
      scaling recipe fit runs/tune
    """


@command.command()
@click.argument("table", metavar="TABLE", type=TABLE)
@column_options
@json_option
def fit(table: str, where: str | None, columns: Mapping[str, str] | None, as_json: bool) -> None:
    """Fit laws of the best learning rate and batch to the runs of a grid.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens, loss (nats per token), and
    lr, batch_tokens (tokens per step) or both, at three values or more for each of several sizes and lengths. Seeds,
    where told, are paired.

    Two forms are fitted: Step Law's, lr = c N^a D^b and batch = d D^e, and DeepSeek's, both powers of the training
    FLOPs C. N, D and C are counted as the table counts them.

    Where warmup_tokens or weight_decay were varied, at three values or more with all else alike, the best share of
    warm-up and the best weight decay of each size and length are told as well. There is no law of these.

    \b
    Examples:
      scaling recipe fit runs/tune
      scaling recipe fit theirs.csv --columns params=n_nonemb,lr=max_lr
      scaling recipe fit theirs.csv --where "corpus == 'c4'" --json
    """
    from analysis.runs.table import read_table
    from analysis.tuning.rate_laws import fit_tuning

    tuning = fit_tuning(read_table(table, columns, where))
    emit_plain(tuning.to_dict(), as_json, lambda: _text(tuning))


@command.command()
@click.argument("sweep", metavar="SWEEP.yaml")
@click.argument("overrides", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of the check's runs.  [default: runs/<sweep name>-check]",
)
@workers_option
@json_option
@stoppable
def check(sweep: str, overrides: tuple[str, ...], out: Path | None, workers: int | None, as_json: bool) -> None:
    """Try other learning rates at both ends of a sweep, before it is run.

    Half, once and twice the recipe's rate are trained at the smallest and the largest fitted size with paired seeds,
    for a tenth of the sweep's FLOPs, where that pays for a seed or two. Told are what the recipe loses to the best
    rate at each, whether the best rate drifts between them, and by how much that would bias the forecast of the
    target. Batch and warm-up are taken as they are: tune those by a sweep with a grid.

    A recipe changed after a check needs another folder: --out.

    \b
    Examples:
      scaling recipe check sweeps/quickstart.yaml
      scaling recipe check sweeps/quickstart.yaml recipe.learning_rate=0.02
    """
    from scaling.cli.progress import ProgressDisplay
    from scaling.pipeline import SweepPipeline
    from scaling.sweep.spec.sweep_file import load_sweep

    spec = load_sweep(sweep, overrides)
    folder = out or Path("runs", f"{spec.name}-check")
    with ProgressDisplay(spec.name) as display:
        pipeline = SweepPipeline(spec, source_of(sweep, overrides), folder, workers, display.show)
        verdict, share, warnings = pipeline.check_recipe()
    result = {**verdict.to_dict(), "share": share, "folder": str(folder)}
    result["warnings"] += [warning.to_dict() for warning in warnings]
    emit_plain(result, as_json, lambda: _verdict(verdict, share))


def _verdict(verdict: "RecipeCheck", share: float) -> str:
    lines = [
        f"{'params':>9} {'tokens':>9} {'recipe lr':>9} {'best lr, times that':>24} {'the recipe loses':>20} {'runs':>5}"
    ]
    for cell in verdict.cells:
        error = "" if cell.loss_stderr is None else f" +- {cell.loss_stderr:.2%}"
        lost = "unknown" if cell.loss is None else f"{'' if cell.bracketed else '>= '}{cell.loss:.2%}{error}"
        lines.append(
            f"{cell.params:>9.3g} {cell.tokens:>9.3g} {cell.lr:>9.3g} {_times(*cell.best):>24} {lost:>20} "
            f"{cell.runs:>5}"
        )
    lines.append(f"drift        best rate times {_times(*verdict.drift)} from the smallest to the largest")
    if verdict.bias is not None:
        least = "" if verdict.drift[1] is not None else " or more"
        lines.append(f"bias         the target's loss {verdict.bias:+.2%}{least} against its forecast, if that goes on")
    lines.append(f"cost         {share:.1%} of the sweep's FLOPs")
    lines.append("verdict      " + ("not ready: see the warnings" if verdict.warnings else "the recipe holds"))
    return "\n".join(lines)


def _times(low: float, value: float | None, high: float) -> str:
    """A factor with its interval, from logs."""
    if value is not None:
        return f"{math.exp(value):.2f} ({math.exp(low):.2f} to {math.exp(high):.2f})"
    if math.isfinite(low) and math.isfinite(high):
        return f"{math.exp(low):.2g} to {math.exp(high):.2g}"
    if math.isfinite(low):
        return f"above {math.exp(low):.2g}"
    return f"below {math.exp(high):.2g}" if math.isfinite(high) else "unknown"


def _text(tuning: "Tuning") -> str:
    parts = [
        _law(f"{_TITLES[name]}, {form}", law) for name, forms in tuning.laws.items() for form, law in forms.items()
    ]
    if not parts:
        parts.append("no law: learning rate and batch were not tuned at enough sizes and lengths")
    parts.append(_cells(tuning.cells))
    parts.append(f"runs {tuning.n_runs}, sizes and lengths {len(tuning.cells)}")
    return "\n\n".join(parts)


def _law(title: str, law: "PowerLaw") -> str:
    lines = [f"{title}: {law.form.formula}    ({law.form.source})"]
    for name, value in law.params.items():
        error, interval = law.stderr[name], law.interval[name]
        if value is None:
            lines.append(f"{name:<8} not known")
            continue
        told = "" if error is None else f" +- {error:<8.2g}"
        told += "" if interval is None else f" 90 % {interval[0]:.3g} to {interval[1]:.3g}"
        lines.append(f"{name:<8} {value:<10.4g}{told}".rstrip())
    lines.append(f"scatter  {law.scatter:.1%} between {law.points} optima, beyond their noise")
    return "\n".join(lines)


def _cells(cells: "tuple[TunedCell, ...]") -> str:
    corpora = any(cell.corpus for cell in cells)
    tried = {name: f"best {title}" for name, title in _COLUMNS.items() if any(cell.grid(name) for cell in cells)}
    titles = "".join(f" {title:>19}" for title in tried.values())
    lines = [f"{'params':>9} {'tokens':>9}{titles} {'runs':>5}" + "  corpus" * corpora]
    for cell in cells:
        best = "".join(f" {_best(cell.best(name)):>19}" for name in tried)
        line = f"{cell.params:>9.3g} {cell.tokens:>9.3g}{best} {cell.runs:>5}"
        line += f"  {cell.corpus or ''}" if corpora else ""
        lines.append(line if cell.reason is None else f"{line}  {cell.reason}")
    return "\n".join(lines)


def _best(best: tuple[float, float | None] | None) -> str:
    if best is None:
        return "-"
    value, error = best
    return f"{value:.3g}" if error is None else f"{value:.3g} +- {value * error:.1g}"

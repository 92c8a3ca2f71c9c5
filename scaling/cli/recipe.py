"""``scaling recipe``: the laws of the best learning rate and batch."""

from typing import TYPE_CHECKING

import click

from scaling.cli.common import emit, json_option
from scaling.cli.tables import column_options, parse_columns

if TYPE_CHECKING:
    from analysis.powerlaw import PowerLaw
    from analysis.tuning import Cell, Tuning

_TITLES = {"lr": "learning rate", "batch_tokens": "batch in tokens"}


@click.group()
def command() -> None:
    """Tune and check the recipe of a sweep: how learning rate and batch follow model size and length."""


@command.command()
@click.argument("table", metavar="TABLE")
@column_options
@json_option
def fit(table: str, where: str | None, columns: str | None, as_json: bool) -> None:
    """Fit laws of the best learning rate and batch to the runs of a grid.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens, loss (nats per token), and
    lr, batch_tokens (tokens per step) or both, at three values or more for each of several sizes and lengths. Seeds,
    where told, are paired.

    Two forms are fitted: Step Law's, lr = c N^a D^b and batch = d D^e, and DeepSeek's, both powers of the training
    FLOPs C. N, D and C are counted as the table counts them.

    \b
    Examples:
      scaling recipe fit runs/tune
      scaling recipe fit theirs.csv --columns params=n_nonemb,lr=max_lr
      scaling recipe fit theirs.csv --where "corpus == 'c4'" --json
    """
    from analysis.table import read_table
    from analysis.tuning import fit_tuning

    tuning = fit_tuning(read_table(table, parse_columns(columns), where))
    emit(tuning.to_dict(), as_json, lambda: _text(tuning))


def _text(tuning: "Tuning") -> str:
    parts = [
        _law(f"{_TITLES[knob]}, {name}", law) for knob, forms in tuning.laws.items() for name, law in forms.items()
    ]
    parts.append(_cells(tuning.cells))
    parts.append(f"runs {tuning.n_runs}, sizes and lengths {len(tuning.cells)}")
    return "\n\n".join(parts)


def _law(title: str, law: "PowerLaw") -> str:
    lines = [f"{title}: {law.form.formula}    ({law.form.source})"]
    for name, value in law.params.items():
        error, interval = law.stderr[name], law.interval[name]
        told = "" if error is None else f" +- {error:<8.2g}"
        told += "" if interval is None else f" 90 % {interval[0]:.3g} to {interval[1]:.3g}"
        lines.append(f"{name:<8} {value:<10.4g}{told}".rstrip())
    lines.append(f"scatter  {law.scatter:.1%} between {law.points} optima, beyond their noise")
    return "\n".join(lines)


def _cells(cells: "tuple[Cell, ...]") -> str:
    corpora = any(cell.corpus for cell in cells)
    lines = [f"{'params':>9} {'tokens':>9} {'best lr':>19} {'best batch':>19} {'runs':>5}" + "  corpus" * corpora]
    for cell in cells:
        line = f"{cell.params:>9.3g} {cell.tokens:>9.3g} {_best(cell.best('lr')):>19} "
        line += f"{_best(cell.best('batch_tokens')):>19} {cell.runs:>5}"
        line += f"  {cell.corpus or ''}" if corpora else ""
        lines.append(line if cell.fault is None else f"{line}  {cell.fault}")
    return "\n".join(lines)


def _best(best: tuple[float, float | None] | None) -> str:
    if best is None:
        return "-"
    value, error = best
    return f"{value:.3g}" if error is None else f"{value:.3g} +- {value * error:.1g}"

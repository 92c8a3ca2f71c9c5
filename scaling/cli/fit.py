"""``scaling fit``: fit scaling laws to a table of runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import emit, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import parse_columns, refuse_options, table_options

if TYPE_CHECKING:
    from analysis.fitting.annealing import AnnealingFit
    from analysis.fitting.fit import FitResult
    from analysis.laws import Law


@click.command()
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option(
    "--law",
    default="auto",
    show_default=True,
    metavar="NAME",
    help="auto fits every law that suits the runs and weighs them by nested extrapolation. Of endpoints: chinchilla, "
    "chinchilla-tied, kaplan, overtraining, skaling, farseer, data-constrained, compute or broken; of whole loss "
    "curves: annealing.",
)
@click.option(
    "--bootstrap",
    type=click.IntRange(min=0),
    default=1000,
    show_default=True,
    metavar="COUNT",
    help="Resamples of whole trunks, for standard errors; 0 for none.",
)
@table_options
@json_option
def command(
    table: str, law: str, bootstrap: int, where: str | None, columns: str | None, best: bool, as_json: bool
) -> None:
    """Fit scaling laws to a table of runs and print their parameters with standard errors.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss (nats per
    token). The fit minimises the summed Huber loss (delta 1e-3) of the log loss over many starts, in float64.

    published:NAME prints a paper's constants instead, with their source: published:chinchilla-epoch, for example.

    With --law annealing, TABLE holds curves of one model: run_id, step, lr and loss; or it is a sweep's folder.

    \b
    Examples:
      scaling fit runs/quickstart
      scaling fit chinchilla.csv --law chinchilla --where "excluded_by_epoch == 0"
      scaling fit theirs.csv --columns params=n_nonemb,loss=c4_loss --json
      scaling fit curves.csv --law annealing
    """
    from analysis.fitting.published import PREFIX, published
    from analysis.laws import LAWS

    if table.startswith(PREFIX):
        refuse_options(("law", "bootstrap", "where", "columns", "best"), table, "a paper's fit")
        constants = published(table)
        emit(constants.to_dict(), as_json, lambda: _text(constants, LAWS[constants.law]))
        return
    if law == "annealing":
        from analysis.fitting.annealing import LAW, fit_annealing
        from analysis.runs.curves import read_curves

        refuse_options(("best",), "--law annealing", "of whole curves")
        annealed = fit_annealing(read_curves(table, parse_columns(columns), where), bootstrap)
        emit(annealed.to_dict(), as_json, lambda: _text(annealed, LAW))
        return
    from analysis.fitting.fit import fit
    from analysis.forecasting.ensemble import AUTO, ensemble
    from analysis.report.findings import off_curve
    from analysis.runs.table import read_table

    runs = read_table(table, parse_columns(columns), where, best=best)
    if law != AUTO:
        result = fit(runs, law, bootstrap)
        emit(result.to_dict(), as_json, lambda: _text(result, LAWS[law]))
        return
    together = ensemble(runs, AUTO, bootstrap)
    weights = together.weights
    results: dict[str, Any] = {
        **together.leader.to_dict(),
        "warnings": [warning.to_dict() for warning in (*together.warnings, *off_curve(Path(table), runs))],
        "weights": weights,
        "laws": together.to_dict(),
    }
    emit(
        results,
        as_json,
        lambda: "\n\n".join(
            f"{_text(together.fits[name], LAWS[name])}\nweight      {weights[name]:.0%}"
            for name in sorted(weights, key=lambda name: -weights[name])
        ),
    )


def _text(result: "FitResult | AnnealingFit", law: "Law[Any]") -> str:
    lines = [f"{law.name}: {law.formula}    ({law.source})"]
    for name, value in result.params.items():
        error = result.stderr[name]
        lines.append(f"{name:<11} {value:<12.5g}{'' if error is None else f' +- {error:.2g}'}".rstrip())
    found = "" if result.objective is None else f"{result.objective:.9g}    "
    lines.append(f"objective   {found}{result.status.value}")
    origin = f"runs        {result.n_runs}" if result.n_runs else f"source      {result.table_hash}"
    lines.append(f"{origin}    {result.convention}")
    return "\n".join(lines)

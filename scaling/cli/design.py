"""``scaling design``: which runs to buy next."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.common import QUANTITY, emit_plain, json_option
from scaling.cli.folders import TABLE
from scaling.cli.tables import refuse_options, table_options
from scaling.errors import InputError
from scaling.quantity import format_quantity

if TYPE_CHECKING:
    from analysis.design.design import Design
    from analysis.design.simulate import ExpectedForecast
    from scaling.sweep.folder.model_family import Family

_SIGNATURE = "# written by scaling design"
_MOST_SEEDS = 8


@click.command()
@click.argument("table", metavar="TABLE|published:NAME", type=TABLE)
@click.option("--target-params", type=QUANTITY, required=True, metavar="N", help="Parameters of the target run.")
@click.option("--target-tokens", type=QUANTITY, required=True, metavar="D", help="Tokens of the target run.")
@click.option("--spend", type=QUANTITY, required=True, metavar="FLOPS", help="FLOPs to spend on further small runs.")
@click.option(
    "--like",
    metavar="SWEEP.yaml",
    help="A sweep file whose shapes, corpus and recipe the runs are to have.  [default: the sweep in TABLE, if it is a "
    "folder with one; else a plain family, on bytes of your own text]",
)
@click.option(
    "-o",
    "output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The sweep file to write.  [default: next.yaml]",
)
@table_options
@json_option
def command(
    table: str,
    target_params: float,
    target_tokens: float,
    spend: float,
    like: str | None,
    output: Path | None,
    where: str | None,
    columns: Mapping[str, str] | None,
    best: bool,
    as_json: bool,
) -> None:
    """Choose which runs to buy next, so that the forecast of the target becomes sharpest for the FLOPs.

    TABLE is a sweep's folder, or any CSV, Parquet or JSONL file with parameters, tokens and loss: the runs that there
    are. published:NAME stands for none, with a paper's law for what to expect: see scaling allocate --help.

    Writes a sweep file. With a sweep's folder it is that sweep with the new runs, and the target asked for: train them
    into the same folder, where finished runs are kept, and ask again. No run takes more than a fifth of the FLOPs, nor
    a third of the target's. FLOPs that cannot identify a law are refused, and the least that can is told.

    \b
    Examples:
      scaling design runs/quickstart --target-params 200k --target-tokens 10M --spend 3e12
      scaling run next.yaml --out runs/quickstart --fit-only
      scaling design published:chinchilla-epoch --target-params 8B --target-tokens 15T --spend 1e21 \\
        --like sweeps/llama3-ladder.yaml -o first.yaml
    """
    from analysis.design.design import design
    from analysis.design.seeds import PlannedCell
    from analysis.diagnostics.checks import check_table
    from analysis.diagnostics.codes import Diagnostic
    from analysis.fitting.published import PREFIX, published
    from analysis.runs.table import read_table
    from scaling.sweep.folder.model_family import Family, NewRuns, overridden
    from scaling.sweep.folder.sweep_folder import PLAN
    from scaling.sweep.spec.sweep_file import parse_sweep

    law, runs = None, None
    folder = Path(table) if (Path(table) / PLAN).exists() else None
    if folder is not None:
        refuse_options(("like",), table, "a sweep's folder and has a family of its own")
        _refresh(folder)
    if table.startswith(PREFIX):
        refuse_options(("where", "columns", "best"), table, "a paper's fit")
        law = published(table)
    else:
        runs = read_table(table, columns, where, best=best)
    beside = Path(table) / "sweep.yaml"
    if folder is not None:
        family = Family.of_folder(folder)
    elif like or beside.exists():
        family = Family.like(like) if like else Family.like(str(beside), overridden(beside))
    else:
        family = Family.usual()
    path = _free(output or Path("next.yaml"))
    cut = []

    def offer(flops: float, fewest: float, most: float) -> list[PlannedCell]:
        cells = [PlannedCell(float(n), d, flops, _MOST_SEEDS) for n, d in family.cells(flops, fewest, most)]
        kept = [cell for cell in cells if cell.tokens < family.longest]
        cut.append(len(kept) < len(cells))
        return kept

    target = PlannedCell(target_params, target_tokens, family.flops(target_params, target_tokens), 1)
    try:
        chosen = design(offer, target, spend, None if runs is None else runs.arrays, law, family.budgets)
    except InputError as error:
        raise InputError([*error.errors, *([_short(family)] if any(cut) else [])]) from None
    warnings = (*(() if runs is None else check_table(runs)), *chosen.warnings)
    if target_tokens > family.longest:
        warnings += (
            Diagnostic("repeated-data", f"the target's {format_quantity(target_tokens)} tokens: {_short(family)}"),
        )
    if runs is not None and folder is None:
        warnings += (Diagnostic("pooled-corpora", _foreign(table, path, family)),)
    chosen = replace(chosen, warnings=warnings)
    new = [NewRuns(round(cell.params), cell.flops, cell.seeds) for cell in chosen.cells]
    text = f"{_SIGNATURE}: {table}, {len(new)} cells\n{family.grown(new, target_params, target_tokens)}"
    parse_sweep(text, str(path))
    try:
        path.write_text(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    emit_plain(_told(chosen, path), as_json, lambda: _text(chosen, path, family, folder))


def _refresh(folder: Path) -> None:
    """Makes a sweep's tables anew from its runs, some of which may have ended after the last.

    Raises:
        InputError: runs that are bought already are not trained, or no further ones can be added.
    """
    from scaling.pipeline import FORECAST, TABLE, write_tables
    from scaling.sweep.folder.run_folder import ENDED
    from scaling.sweep.folder.sweep_folder import SweepFolder

    if (folder / FORECAST).exists():
        raise InputError(
            f"{folder}: its forecast is frozen, and no run can be added; for a sweep beside it, in a folder of its "
            f"own, give the table alone: scaling design {folder / TABLE} --like SWEEP.yaml"
        )
    store = SweepFolder(folder)
    pending = [run_id for run_id in store.runs("fit") if store.run(run_id).status()["state"] not in ENDED]
    if pending:
        raise InputError(
            f"{folder}: {len(pending)} of its fitted runs are not trained yet; first, with the sweep file that they "
            f"are from: scaling run SWEEP.yaml --out {folder} --fit-only"
        )
    write_tables(store)


def _short(family: "Family") -> str:
    return (
        f"the corpus of {family.source} gives a run at most {format_quantity(family.longest)}; "
        "more takes other text, or more of its corpus.epochs"
    )


def _foreign(table: str, path: Path, family: "Family") -> str:
    return (
        f"the half-width holds only if the runs are of the same corpus, tokenizer, recipe and count of parameters as "
        f"those of {table}, and fitted with them: the runs in {path} are of {family.source}, and scaling run fits them "
        "alone; to fit both, add the rows of the new runs.parquet to that table"
    )


def _free(path: Path) -> Path:
    """The file to write, unless it holds what no design wrote."""
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(_SIGNATURE):
            raise InputError(f"{path}: exists and was not written by scaling design; select_runs another with -o")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written: there is no folder {path.parent}")
    return path


def _told(chosen: "Design", path: Path) -> dict[str, Any]:
    runs = [
        {"params": round(cell.params), "tokens": cell.tokens, "flops": cell.flops}
        for cell in chosen.cells
        for _ in range(cell.seeds)
    ]
    before, after = chosen.before, chosen.after
    return {
        "runs": runs,
        "total_flops": chosen.flops,
        "dearest_flops": chosen.dearest,
        "sweep": str(path),
        "expected_half_width": None if after is None else after.half_width,
        "expected_half_width_now": None if before is None else before.half_width,
        "expected_fitted": None if after is None else after.fitted,
        "level": None if after is None else after.level,
        "warnings": [warning.to_dict() for warning in chosen.warnings],
    }


def _text(chosen: "Design", path: Path, family: "Family", folder: Path | None) -> str:
    rows = [
        (f"{cell.flops:.2g}", format_quantity(cell.params), format_quantity(cell.tokens), str(cell.seeds))
        for cell in chosen.cells
    ]
    runs = sum(cell.seeds for cell in chosen.cells)
    then, kept = f"scaling run {path} --fit-only", ""
    if folder:
        then, kept = f"scaling run {path} --out {folder} --fit-only", ", with the target asked for"
    return "\n".join(
        [
            *_columns(("FLOPs", "params", "tokens", "seeds"), rows),
            f"{runs} runs, {chosen.flops:.3g} FLOPs, none above {chosen.dearest:.2g}; shapes, corpus and recipe of "
            f"{family.source}",
            f"expected half-width of the forecast: {_width(chosen.before)} now, {_width(chosen.after)} with them",
            f"written to {path}{kept}; next: {then}",
        ]
    )


def _width(expected: "ExpectedForecast | None") -> str:
    if expected is None:
        return "unknown"
    return expected.told if expected.fitted else f"{expected.told} (a guess: see scaling plan --help)"


def _columns(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (titles, *rows)]

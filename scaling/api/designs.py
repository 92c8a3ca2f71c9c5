"""The choice of the next runs, as a sweep file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.design.design import Design
from analysis.design.design import design as choose
from analysis.design.seeds import PlannedCell
from analysis.design.simulate import ExpectedForecast
from analysis.diagnostics.checks import check_table
from analysis.diagnostics.codes import Diagnostic
from analysis.files import save_text
from analysis.fitting.published import PREFIX
from analysis.fitting.published import published as published_fit
from analysis.result import Result
from analysis.runs.table import RunTable
from analysis.table_text import table_text
from scaling.api.tables import Runs, read_runs, refuse_given
from scaling.errors import InputError
from scaling.pipeline import write_tables
from scaling.quantity import format_quantity
from scaling.sweep.folder.file_names import FORECAST, PLAN, SOURCE, TABLE
from scaling.sweep.folder.model_family import Family, NewRuns, overridden
from scaling.sweep.folder.run_folder import ENDED
from scaling.sweep.folder.sweep_folder import SweepFolder
from scaling.sweep.spec.sweep_file import parse_sweep

_SIGNATURE = "# written by scaling design"
_MOST_SEEDS = 8


@dataclass(frozen=True)
class DesignedSweep(Result):
    """The next runs to train, and the sweep file that they are written to.

    Attributes:
        chosen: the runs, and what the forecast is worth without and with them.
        path: the sweep file.
        source: the sweep whose shapes, corpus and recipe the runs have.
        folder: the sweep's folder that the runs are added to, or None.
        warnings: in words and codes.
    """

    chosen: Design
    path: Path
    source: str
    folder: Path | None
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        chosen = self.chosen
        runs = sum(cell.seeds for cell in chosen.cells)
        then, kept = f"scaling run {self.path} --fit-only", ""
        if self.folder:
            then, kept = f"scaling run {self.path} --out {self.folder} --fit-only", ", with the target requested"
        return "\n".join(
            [
                cells_text(chosen.cells),
                f"{runs} runs, {chosen.flops:.3g} FLOPs, none above {chosen.max_run_flops:.2g}; shapes, corpus and "
                f"recipe of {self.source}",
                f"expected half-width of the forecast: {_width(chosen.before)} now, {_width(chosen.after)} with them",
                f"written to {self.path}{kept}; next: {then}",
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        chosen = self.chosen
        runs = [
            {"params": round(cell.params), "tokens": cell.tokens, "flops": cell.flops}
            for cell in chosen.cells
            for _ in range(cell.seeds)
        ]
        before, after = chosen.before, chosen.after
        return {
            "runs": runs,
            "total_flops": chosen.flops,
            "dearest_flops": chosen.max_run_flops,
            "sweep": str(self.path),
            "expected_half_width": None if after is None else after.half_width,
            "expected_half_width_now": None if before is None else before.half_width,
            "expected_fitted": None if after is None else after.fitted,
            "level": None if after is None else after.level,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per run: parameters, tokens, FLOPs."""
        return pd.DataFrame(self.to_dict()["runs"])


def cells_text(cells: Sequence[PlannedCell]) -> str:
    """A table of cells as text, one a line."""
    rows = [
        (f"{cell.flops:.2g}", format_quantity(cell.params), format_quantity(cell.tokens), str(cell.seeds))
        for cell in cells
    ]
    return table_text("rrrr", ("FLOPs", "params", "tokens", "seeds"), rows)


def _width(expected: ExpectedForecast | None) -> str:
    if expected is None:
        return "unknown"
    text = expected.half_width_text
    return text if expected.fitted else f"{text} (a guess: see scaling plan --help)"


def _is_sweep(place: object) -> bool:
    """Whether runs are given as a sweep's folder, with its plan."""
    return isinstance(place, str | Path) and (Path(place) / PLAN).exists()


def design(
    runs: Runs,
    *,
    target_params: float,
    target_tokens: float,
    spend: float,
    like: str | Path | None = None,
    output: str | Path | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> DesignedSweep:
    """Chooses runs that sharpen the forecast of a target most for the FLOPs, and writes their sweep file.

    Args:
        runs: the finished runs; see :func:`read_runs`, also for ``where``, ``columns`` and ``best``. ``published:NAME``
            stands for none, with a paper's law for what to expect.
        target_params: parameters of the target.
        target_tokens: its training tokens.
        spend: FLOPs to spend on further small runs.
        like: a sweep file whose shapes, corpus and recipe the runs have; by default the one in the sweep's folder.
        output: the sweep file to write; by default ``next.yaml``.

    Raises:
        InputError: a target that is none, FLOPs that cannot identify a law, or a file that holds something else.
    """
    folder = Path(str(runs)) if _is_sweep(runs) else None
    if folder is not None:
        refuse_given(folder, "a sweep's folder and has a family of its own", like=like)
        _refresh(folder)
    paper = runs if isinstance(runs, str) and runs.startswith(PREFIX) else None
    if paper is not None:
        refuse_given(paper, "a paper's fit", where=where, columns=columns, best=best)
    table = None if paper is not None else read_runs(runs, where=where, columns=columns, best=best)
    source = table.source if isinstance(runs, RunTable | pd.DataFrame) and table is not None else str(runs)
    family = _family(source, folder, like)
    path = _free(Path("next.yaml") if output is None else Path(output))
    n, d = float(target_params), float(target_tokens)  # a table's numbers are numpy's, which YAML does not take
    target = PlannedCell(n, d, family.flops(n, d), 1)
    offer = _Offer(family)
    try:
        law = None if paper is None else published_fit(paper)
        chosen = choose(offer, target, spend, None if table is None else table.arrays, law, family.budgets)
    except InputError as error:
        raise InputError([*error.errors, *([_short(family)] if offer.cut else [])]) from None
    warnings = (*(() if table is None else check_table(table)), *chosen.warnings)
    if d > family.longest:
        message = f"the target's {format_quantity(d)} tokens: {_short(family)}"
        warnings += (Diagnostic("repeated-data", message),)
    if table is not None and folder is None:
        warnings += (Diagnostic("pooled-corpora", _foreign(source, path, family)),)
    new = [NewRuns(round(cell.params), cell.flops, cell.seeds) for cell in chosen.cells]
    text = f"{_SIGNATURE}: {source}, {len(new)} cells\n{family.grown(new, n, d)}"
    parse_sweep(text, str(path))
    save_text(path, text)
    return DesignedSweep(chosen, path, family.source, folder, warnings)


class _Offer:
    """The cells of a family at a budget, and whether the corpus was too short for any of them."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.cut = False

    def __call__(self, flops: float, fewest: float, most: float) -> list[PlannedCell]:
        family = self._family
        cells = [PlannedCell(float(n), d, flops, _MOST_SEEDS) for n, d in family.cells(flops, fewest, most)]
        kept = [cell for cell in cells if cell.tokens < family.longest]
        self.cut = self.cut or len(kept) < len(cells)
        return kept


def _family(source: str, folder: Path | None, like: str | Path | None) -> Family:
    """The family of the new runs: the folder's own, the one requested, the one beside the table, or a plain one."""
    if folder is not None:
        return Family.of_folder(folder)
    beside = Path(source) / SOURCE
    if like:
        return Family.like(str(like))
    return Family.like(str(beside), overridden(beside)) if beside.exists() else Family.usual()


def _refresh(folder: Path) -> None:
    """Makes a sweep's tables anew from its runs, some of which may have ended after the last.

    Raises:
        InputError: runs that are bought already are not trained, or no further ones can be added.
    """
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


def _short(family: Family) -> str:
    return (
        f"the corpus of {family.source} gives a run at most {format_quantity(family.longest)}; "
        "more takes other text, or more of its corpus.epochs"
    )


def _foreign(table: str, path: Path, family: Family) -> str:
    return (
        f"the half-width holds only if the runs are of the same corpus, tokenizer, recipe and count of parameters as "
        f"those of {table}, and fitted with them: the runs in {path} are of {family.source}, and scaling run fits them "
        "alone; to fit both, add the rows of the new runs.parquet to that table"
    )


def _free(path: Path) -> Path:
    """The file to write, unless it holds what no design wrote."""
    try:
        if path.exists() and not path.read_text(errors="replace").startswith(_SIGNATURE):
            raise InputError(f"{path}: exists and was not written by scaling design; choose another `output`")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not path.parent.is_dir():
        raise InputError(f"{path}: cannot be written: there is no folder {path.parent}")
    return path

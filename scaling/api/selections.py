"""A design among runs that are trained already: which of them to take, to see whether a design would have helped."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.design.design import Design
from analysis.design.design import design as choose
from analysis.design.seeds import PlannedCell
from analysis.design.selection import cells_of
from analysis.diagnostics.codes import Diagnostic
from analysis.result import Result
from analysis.runs.arrays import usual_flops
from analysis.runs.groups import budgets_of
from analysis.runs.table import RunTable
from scaling.api.designs import cells_text
from scaling.api.tables import Runs, read_runs


@dataclass(frozen=True, eq=False)
class SelectedRuns(Result):
    """Runs selected from a table of trained ones.

    Attributes:
        chosen: the cells, and what the forecast is worth without and with them.
        rows: the selected rows of the table, one per run.
        table: the finished runs and the selected ones, to forecast from.
        warnings: in words and codes.
    """

    chosen: Design
    rows: pd.DataFrame
    table: RunTable
    warnings: tuple[Diagnostic, ...]

    def __str__(self) -> str:
        return f"{cells_text(self.chosen.cells)}\n{len(self.rows)} runs, {self.chosen.flops:.3g} FLOPs"

    def to_dict(self) -> dict[str, Any]:
        """The selected runs, their FLOPs, and the half-width of the forecast to expect with them."""
        after = self.chosen.after
        return {
            "runs": self.rows[["run_id", "params", "tokens", "flops"]].to_dict("records"),
            "total_flops": self.chosen.flops,
            "expected_half_width": None if after is None else after.half_width,
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row per cell: parameters, tokens, FLOPs of a run, seeds."""
        return pd.DataFrame([vars(cell) for cell in self.chosen.cells])


def select_runs(
    runs: Runs,
    *,
    among: Runs,
    target_params: float,
    target_tokens: float,
    spend: float,
    target_flops: float | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    best: bool = False,
) -> SelectedRuns:
    """Selects the trained runs that narrow the forecast of a target most for the FLOPs, as :func:`design` plans them.

    Args:
        runs: the runs known so far; see :func:`read_runs`, also for ``where``, ``columns`` and ``best``.
        among: the table of runs to select from, but for those of a known size and length. Their losses play no part.
        target_params: parameters of the target.
        target_tokens: its training tokens.
        spend: the FLOPs that the selected runs may take together.
        target_flops: its training FLOPs; by default what the known runs nearest in size need per parameter and token.

    Raises:
        InputError: a target that is no extrapolation, or FLOPs that cannot identify a law; names the fewest that can.
    """
    known = read_runs(runs, where=where, columns=columns, best=best)
    pool = read_runs(among)
    n, d = float(target_params), float(target_tokens)
    flops = usual_flops(known.arrays.inputs, n, d) if target_flops is None else float(target_flops)
    new = [cell for cell in cells_of(pool.arrays) if not known.near(known.fit, cell.params, cell.tokens).any()]
    budgets = _by_budget(new)

    def offer(budget: float, fewest: float, most: float) -> list[PlannedCell]:
        return [cell for cell in budgets.get(budget, []) if fewest <= cell.params <= most]

    chosen = choose(offer, PlannedCell(n, d, flops, 1), spend, known.arrays, budgets=list(budgets))
    cells = [pool.fit[pool.near(pool.fit, cell.params, cell.tokens)].head(cell.seeds) for cell in chosen.cells]
    rows = pd.concat(cells)
    together = RunTable.from_frame(pd.concat([known.fit, rows]), f"{known.source} and {len(rows)} selected runs")
    return SelectedRuns(chosen, rows, together, chosen.warnings)


def _by_budget(cells: Sequence[PlannedCell]) -> dict[float, list[PlannedCell]]:
    """The cells of each budget, by their mean FLOPs."""
    if not cells:
        return {}
    groups = defaultdict(list)
    for number, cell in zip(budgets_of(np.log([cell.flops for cell in cells])).tolist(), cells, strict=True):
        groups[number].append(cell)
    return {float(np.mean([cell.flops for cell in group])): group for group in groups.values()}

"""The cells of a tuning sweep: what belongs to one, which knobs it has, and what each run loses there."""

import numpy as np
import pandas as pd
import pytest

from analysis.table import RunTable
from analysis.tuned_cells import Cell, tuned_cells

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def at(lr: float = 0.01, best: float = 0.01, **columns: float) -> dict[str, float]:
    """A run of 1M parameters and 20M tokens whose loss is least at a rate."""
    loss = 2.0 * float(np.exp(0.01 * np.log(lr / best) ** 2))
    return {"params": 1e6, "tokens": 2e7, "lr": lr, "loss": loss, **columns}


def cells_of(rows: list[dict[str, float]]) -> tuple[Cell, ...]:
    return tuned_cells(RunTable.from_frame(pd.DataFrame(rows)))


def test_lengths_of_a_fine_grid_do_not_run_together() -> None:
    lengths = [2e7 * 1.015**i for i in range(4)]  # each is near the one before it
    cells = cells_of([at(0.01 * f, tokens=tokens) for tokens in lengths for f in FACTORS])
    assert [cell.runs for cell in cells] == [10, 10]
    whole_steps = [2e7, 2e7 * 1.01, 2e7 * 1.019]
    (cell,) = cells_of([at(0.01 * f, tokens=tokens) for tokens in whole_steps for f in FACTORS])
    assert cell.runs == 15


def test_a_rate_that_follows_the_batch_is_no_knob_of_its_own() -> None:
    """What a grid of batches alone is where the rate grows as the root of the batch."""
    rows = []
    for factor in (*FACTORS, 8.0):
        loss = 2.0 * np.exp(0.01 * np.log(factor / 1.5) ** 2)
        rows.append(at(round(0.01 * factor**0.5, 6), batch_tokens=4096 * factor) | {"loss": loss})
    (cell,) = cells_of(rows)
    assert cell.best("lr") is None
    best = cell.best("batch_tokens")
    assert best is not None
    assert best[0] == pytest.approx(1.5 * 4096, rel=1e-3)


def test_what_each_run_loses_with_the_seeds_levels_out() -> None:
    levels = {0: 0.0, 1: 0.05, 2: -0.03}
    rows = [at(0.01 * f, best=0.013, seed=s) for s in levels for f in (0.5, 1.0, 2.0, 4.0)]
    for row in rows:
        row["loss"] *= np.exp(levels[int(row["seed"])])
    (cell,) = cells_of(rows)
    surface = cell.surface
    np.testing.assert_allclose(surface.excess, 0.01 * (surface.x[:, 0] - np.log(0.013)) ** 2, atol=1e-6)
    (edge,) = cells_of([at(0.01 * f, best=0.1) for f in FACTORS])
    assert edge.fault is not None
    assert edge.best("lr") is None
    assert edge.surface.excess.min() == pytest.approx(0, abs=1e-4)


def test_runs_that_failed_are_counted() -> None:
    (cell,) = cells_of([at(0.01 * f) for f in FACTORS] + [at(0.2) | {"loss": 9.0}])
    assert (cell.runs, cell.failed) == (6, 1)
    best = cell.best("lr")
    assert best is not None
    assert best[0] == pytest.approx(0.01, rel=1e-3)

"""The cells of a tuning sweep: what belongs to one, which hyperparameters it has, and the excess loss of each run."""

import numpy as np
import pandas as pd
import pytest

from analysis.runs.table import RunTable
from analysis.tuning.grid import TunedCell, tuned_cells

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)


def at(lr: float = 0.01, best: float = 0.01, **columns: float) -> dict[str, float]:
    """A run of 1M parameters and 20M tokens whose loss is least at a rate."""
    loss = 2.0 * float(np.exp(0.01 * np.log(lr / best) ** 2))
    return {"params": 1e6, "tokens": 2e7, "lr": lr, "loss": loss, **columns}


def cells_of(rows: list[dict[str, float]]) -> tuple[TunedCell, ...]:
    return tuned_cells(RunTable.from_frame(pd.DataFrame(rows)))


def test_lengths_of_a_fine_grid_do_not_run_together() -> None:
    lengths = [2e7 * 1.015**i for i in range(4)]  # each is near the one before it
    cells = cells_of([at(0.01 * f, tokens=tokens) for tokens in lengths for f in FACTORS])
    assert [cell.runs for cell in cells] == [10, 10]
    whole_steps = [2e7, 2e7 * 1.01, 2e7 * 1.019]
    (cell,) = cells_of([at(0.01 * f, tokens=tokens) for tokens in whole_steps for f in FACTORS])
    assert cell.runs == 15


def test_a_rate_that_follows_the_batch_is_no_hyperparameter_of_its_own() -> None:
    """What a grid of batches alone is where the rate grows as the root of the batch."""
    rows = []
    for factor in (*FACTORS, 8.0):
        loss = 2.0 * float(np.exp(0.01 * np.log(factor / 1.5) ** 2))
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
    (grid,) = cell.grids
    np.testing.assert_allclose(grid.excess, 0.01 * (grid.x[:, 0] - np.log(0.013)) ** 2, atol=1e-6)
    (edge,) = cells_of([at(0.01 * f, best=0.1) for f in FACTORS])
    assert edge.reason is not None
    assert edge.best("lr") is None
    assert edge.grids[0].excess.min() == pytest.approx(0, abs=1e-4)


def test_runs_that_failed_are_counted() -> None:
    (cell,) = cells_of([at(0.01 * f) for f in FACTORS] + [at(0.2) | {"loss": 9.0}])
    assert (cell.runs, cell.failed) == (6, 1)
    best = cell.best("lr")
    assert best is not None
    assert best[0] == pytest.approx(0.01, rel=1e-3)


def test_the_best_weight_decay_is_that_at_the_best_rate() -> None:
    """Rates times decays, where the usual decay follows the rate; the best decay is another at another rate."""
    rows = []
    for f in FACTORS:
        for g in (0.5, 1.0, 2.0, 4.0):
            run = at(0.01 * f, weight_decay=0.1 * g / f, warmup_tokens=2e6)
            run["loss"] *= np.exp(0.02 * np.log(run["weight_decay"] / 0.14 * f**0.5) ** 2)
            rows.append(run)
    (cell,) = cells_of([*rows, at(weight_decay=0.0, warmup_tokens=2e6)])
    decay, rate = cell.best("weight_decay"), cell.best("lr")
    assert decay is not None
    assert rate is not None
    assert decay[0] == pytest.approx(0.14, rel=1e-3)
    assert rate[0] == pytest.approx(0.01, rel=0.15)
    assert cell.best("warmup") is None
    (usual,) = cells_of([row for row in rows if row["weight_decay"] * row["lr"] == pytest.approx(1e-3)])
    assert usual.grid("weight_decay") is None  # it only follows the rate
    assert usual.grid("lr") is not None


def test_a_warm_up_is_a_share_of_the_run() -> None:
    rows = [
        at(tokens=tokens, warmup_tokens=round(share * tokens), seed=seed)
        | {"loss": 2.0 * np.exp(0.03 * seed + 0.01 * np.log(share / 0.12) ** 2)}
        for tokens in (2e7, 8e7)
        for share in (0.02, 0.05, 0.1, 0.2, 0.4)
        for seed in (0, 1)
    ]
    for cell in cells_of(rows):
        best = cell.best("warmup")
        assert best is not None
        assert best[0] == pytest.approx(0.12, rel=1e-3)
        assert cell.to_dict()["warmup"] == best[0]
        assert cell.to_dict()["lr"] is None
    short = cells_of([row for row in rows if row["warmup_tokens"] <= 0.11 * row["tokens"]])
    assert [cell.reason for cell in short] == ["the best warmup is at the edge of those tried"] * 2

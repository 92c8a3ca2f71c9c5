"""Groups of runs: trunks, whose branches are correlated, and FLOP budgets."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.stats import clusters

# Runs of one budget differ by a step or by how their FLOPs are rounded; budgets differ by far more.
SAME_BUDGET = 1.2


def trunks(rows: pd.DataFrame) -> Int[np.ndarray, " rows"]:
    """Trunk number (rows,) of each row: by ``trunk_id``, else by run, else a trunk of its own."""
    trunk = rows["run_id"].astype("str")
    if "trunk_id" in rows:
        trunk = rows["trunk_id"].astype("str").where(rows["trunk_id"].notna(), trunk)
    number = np.asarray(pd.factorize(trunk)[0], dtype=np.int64)
    alone = number < 0
    number[alone] = number.max() + 1 + np.arange(alone.sum())
    return number


def budgets_of(log_flops: Float[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """FLOP budget (rows,) of each row, numbered from 0 at the lowest.

    A budget holds the runs with up to 20 % more FLOPs than its smallest run; the next one begins beyond.
    """
    return clusters(log_flops, float(np.log(SAME_BUDGET)))

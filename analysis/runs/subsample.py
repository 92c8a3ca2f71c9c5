"""Representative subsamples of long tables."""

import numpy as np
import pandas as pd

from analysis.runs.groups import SAME_BUDGET, trunks

# A law's few parameters learn next to nothing from more rows; a fit's time and memory grow with every one.
MOST_ROWS = 4000


def representative(rows: pd.DataFrame, most: int = MOST_ROWS) -> pd.DataFrame:
    """A representative subsample: all rows, or at most so many of them.

    Each bin of FLOPs, a factor of 1.2 wide, keeps the same number of rows, or all that it has. Within a bin one row of
    every trunk comes before a second row of any. The choice depends on the values of the rows, not on their order.

    Args:
        rows: with ``run_id params tokens flops loss``, and ``trunk_id`` where it is known.
        most: rows that are kept.
    """
    if len(rows) <= most:
        return rows
    log_flops = np.log(rows["flops"].to_numpy())
    # Pseudo-random, but the same for the same row.
    key = np.zeros(len(rows), np.uint64)
    for name in ("params", "tokens", "loss"):
        key = key * np.uint64(31) + pd.util.hash_array(rows[name].to_numpy())
    order = pd.DataFrame({"trunk": trunks(rows), "key": key})
    order["bin"] = np.floor((log_flops - log_flops.min()) / np.log(SAME_BUDGET))
    order["first"] = order.groupby("trunk")["key"].transform("min")
    order["turn"] = order.sort_values("key", kind="stable").groupby(["bin", "trunk"]).cumcount()
    order["place"] = order.sort_values(["turn", "first"], kind="stable").groupby("bin").cumcount()
    total = np.cumsum(np.bincount(order["place"]))  # rows, if every bin keeps 1, 2, ... of its own
    return rows[(order["place"] < np.searchsorted(total, most, side="right")).to_numpy()]

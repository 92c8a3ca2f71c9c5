"""Checkpoints: of runs that were measured at many lengths, a few lengths, the same for all mixtures."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.diagnostics.codes import Diagnostic

_MOST_LENGTHS = 6
_REACH = 10.0  # times by which the kept lengths differ at most: before that a run has hardly begun
_COMMON = 0.9


def thinned(
    params: Float[np.ndarray, " rows"],
    tokens: Float[np.ndarray, " rows"],
    run: Int[np.ndarray, " rows"],
    complete: Bool[np.ndarray, " rows"],
) -> tuple[Bool[np.ndarray, " rows"], list[Diagnostic]]:
    """Mask (rows,) of the rows to keep, and a warning if some are left out.

    Of each size whose runs have more than six lengths, lengths spread by their logarithms over the last tenfold that
    most of these runs have; runs of few lengths stay as they are.

    Args:
        params: of the models.
        tokens: of training, up to the checkpoint.
        run: a number that tells runs of one size apart.
        complete: mask (rows,) of the rows that have every loss.
    """
    rows = pd.DataFrame({"params": params, "tokens": tokens, "run": run})
    many = (rows.groupby(["params", "run"])["tokens"].transform("nunique") > _MOST_LENGTHS).to_numpy()
    if not many.any():
        return many == many, []
    keep = ~many
    for size in rows["params"][many & complete].unique():
        here = many & complete & (rows["params"] == size).to_numpy()
        keep |= here & np.isin(tokens, _lengths(rows[here]))
    message = (
        f"{int(many.sum())} rows lie along {rows[many].groupby(['params', 'run']).ngroups} runs at more than "
        f"{_MOST_LENGTHS} lengths each, which are correlated: {int((keep & many).sum())} of them are kept, at the same "
        "lengths of all mixtures; before a run's end its learning rate has perhaps not decayed"
    )
    return keep, [Diagnostic("correlated-rows", message)]


def _lengths(rows: pd.DataFrame) -> Float[np.ndarray, " lengths"]:
    """At most six lengths that most runs of one size have, the longest of these among them."""
    having = rows.groupby("tokens")["run"].nunique()
    common = having.index[having >= _COMMON * having.max()].to_numpy(float)
    common = common[common >= common.max() / _REACH]
    wanted = np.geomspace(common.min(), common.max(), _MOST_LENGTHS)
    nearest = abs(np.log(common[None, :] / wanted[:, None])).argmin(axis=1)
    return common[np.unique(nearest)]

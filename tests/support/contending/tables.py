"""Tables of two contenders of a known law, whose runs of one size, length and seed share some of their noise."""

import numpy as np
import pandas as pd

from analysis.comparing.contenders import Contender
from analysis.runs.table import RunTable

SIZES = (1e5, 2e5, 4e5, 8e5)
RATIOS = (10.0, 20.0, 40.0)


def loss_of(params: float, tokens: float) -> float:
    """The known law."""
    return float(1.2 + 400 / params**0.34 + 1000 / tokens**0.33)


def frame(
    trial: int, name: str, multiplier: float = 1.0, noise: float = 0.004, seeds: int = 2, shared: float = 0.5
) -> pd.DataFrame:
    """Runs of one contender, which does with C what the law does with ``multiplier`` times C.

    Args:
        trial: of the noise.
        name: of the contender, whose own noise is by it.
        multiplier: of compute, at the same tokens per parameter.
        noise: standard deviation of one run's log loss.
        seeds: runs of each size and length.
        shared: share of the variance that contenders have in common.
    """
    rows = []
    for size in SIZES:
        for ratio in RATIOS:
            for seed in range(seeds):
                cell = (trial, int(size), int(ratio), seed)
                common = np.random.default_rng(cell).standard_normal()
                own = np.random.default_rng((*cell, *name.encode())).standard_normal()
                error = noise * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
                grown = np.sqrt(multiplier)
                loss = loss_of(size * grown, size * ratio * grown) * np.exp(error)
                rows.append({"params": size, "tokens": size * ratio, "loss": loss, "seed": seed})
    made = pd.DataFrame(rows)
    return made.assign(flops=6 * made["params"] * made["tokens"])


def contender(name: str, rows: pd.DataFrame) -> Contender:
    """A contender of some rows."""
    return Contender(name, RunTable.from_frame(rows, f"{name}.csv"))

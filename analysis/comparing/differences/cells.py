"""The cells of a contender: its runs of one size and length, at its best setting there."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.laws import Inputs
from analysis.runs.arrays import RunArrays, inputs_at
from analysis.runs.schema import RECIPE


@dataclass(frozen=True)
class Cells:
    """Cells of one contender, from the lowest FLOPs.

    Attributes:
        inputs: log parameters, tokens and FLOPs of each.
        log_loss: mean log loss of its runs.
        runs: how many there are.
        by_seed: log loss of each by seed; empty where the table has no seeds.
    """

    inputs: Inputs
    log_loss: Float[np.ndarray, " cells"]
    runs: Int[np.ndarray, " cells"]
    by_seed: tuple[dict[float, float], ...]

    def __len__(self) -> int:
        return len(self.log_loss)

    def take(self, keep: Bool[np.ndarray, " cells"]) -> "Cells":
        """Some of the cells, by a mask."""
        seeds = tuple(each for each, kept in zip(self.by_seed, keep, strict=True) if kept)
        return Cells(self.inputs.take(keep), self.log_loss[keep], self.runs[keep], seeds)

    @property
    def arrays(self) -> RunArrays:
        """The cells as runs, each a cluster of its own."""
        number = np.arange(len(self))
        return RunArrays(self.inputs, self.log_loss, number, number)


def cells_of(rows: pd.DataFrame) -> tuple[Cells, bool]:
    """The cells of a contender's finished runs, and whether the best of several settings was taken in some.

    Args:
        rows: with ``params tokens flops loss``, and maybe ``seed`` and settings of the recipe.
    """
    keys = ["params", "tokens"]
    rows = rows.assign(_log=np.log(rows["loss"].to_numpy(np.float64)))
    settings = [name for name in RECIPE if name in rows and len(rows[name].unique()) > 1]
    chosen = rows
    if settings:
        # A setting's mean, so that one of many seeds is not taken for its luck.
        means = rows.groupby([*keys, *settings], dropna=False, sort=True)["_log"].transform("mean")
        least = means.groupby([rows[key] for key in keys]).transform("min")
        chosen = rows[means <= least]
        first = chosen.groupby([*keys, *settings], dropna=False, sort=True).ngroup()
        chosen = chosen[first == first.groupby([chosen[key] for key in keys]).transform("min")]
    cells = chosen.groupby(keys, sort=True)
    frame = cells.agg(flops=("flops", "mean"), log_loss=("_log", "mean"), runs=("_log", "size")).reset_index()
    seeds: list[dict[float, float]] = [{} for _ in range(len(frame))]
    if "seed" in chosen and chosen["seed"].notna().any():
        by_seed = chosen.dropna(subset="seed").groupby([*keys, "seed"], sort=True)["_log"].mean().reset_index()
        place = {cell: i for i, cell in enumerate(zip(frame["params"], frame["tokens"], strict=True))}
        for row in by_seed.to_dict("records"):
            seeds[place[row["params"], row["tokens"]]][float(row["seed"])] = float(row["_log"])
    order = frame["flops"].to_numpy().argsort(kind="stable")
    frame = frame.iloc[order]
    found = Cells(
        inputs_at(frame["params"], frame["tokens"], frame["flops"]),
        frame["log_loss"].to_numpy(np.float64),
        frame["runs"].to_numpy(np.int64),
        tuple(seeds[i] for i in order),
    )
    return found, len(chosen) < len(rows)

"""Rows of runs as the arrays that a fit needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.laws import Inputs

# Runs of one budget differ by a step or by how their FLOPs are rounded; budgets differ by far more.
_SAME_BUDGET = 1.2


@dataclass(frozen=True)
class Points:
    """Runs as arrays, one entry per row.

    Attributes:
        inputs: log parameters, log tokens, log FLOPs.
        log_loss: log of nats per token.
        cluster: runs that share a number share a trunk, so their errors are correlated.
        cell: runs that share a number differ by their seed alone.
    """

    inputs: Inputs
    log_loss: Float[np.ndarray, " rows"]
    cluster: Int[np.ndarray, " rows"]
    cell: Int[np.ndarray, " rows"]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "Points":
        """From rows with ``run_id params tokens flops loss``, and ``trunk_id`` and recipe where told."""
        trunk = rows["run_id"].astype(str)
        if "trunk_id" in rows:
            trunk = rows["trunk_id"].astype(str).where(rows["trunk_id"].notna(), trunk)
        recipe = [c for c in ("params", "tokens", "lr", "batch_tokens", "corpus", "unique_tokens") if c in rows]
        cells = rows.groupby(recipe, dropna=False, sort=False).ngroup()
        return cls(
            inputs_at(rows["params"], rows["tokens"], rows["flops"], _unique(rows)),
            np.log(rows["loss"].to_numpy()),
            np.asarray(pd.factorize(trunk)[0], dtype=np.int64),
            cells.to_numpy(np.int64),
        )

    def __len__(self) -> int:
        return len(self.log_loss)

    def subset(self, keep: Bool[np.ndarray, " rows"]) -> "Points":
        """The rows to keep."""
        return Points(self.inputs.take(keep), self.log_loss[keep], self.cluster[keep], self.cell[keep])

    @property
    def cells(self) -> int:
        """How many different (parameters, tokens, recipe) there are."""
        return len(np.unique(self.cell))

    @cached_property
    def budget(self) -> Int[np.ndarray, " rows"]:
        """The number of each row's FLOP budget, from the cheapest: budgets lie more than 20 % apart."""
        order = np.argsort(self.inputs.c, kind="stable")
        numbers = np.zeros(len(self), np.int64)
        number, first = -1, -np.inf
        for row in order:
            if self.inputs.c[row] > first + np.log(_SAME_BUDGET):
                number, first = number + 1, float(self.inputs.c[row])
            numbers[row] = number
        return numbers


def training_cost(inputs: Inputs, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
    """Training FLOPs per parameter and token at given log parameters, as runs count them: 6 under 6ND.

    Between the sizes of the runs it is interpolated, as head and attention weigh less the larger the model is;
    beyond them it stays what the nearest size has.
    """
    sizes, index, count = np.unique(inputs.n, return_inverse=True, return_counts=True)
    cost = np.bincount(index, np.exp(inputs.c - inputs.n - inputs.d)) / count
    return np.interp(n, sizes, cost)


def inputs_at(params: object, tokens: object, flops: object, unique_tokens: object | None = None) -> Inputs:
    """Inputs from raw counts, scalars or arrays; without ``unique_tokens`` nothing repeats."""
    counts = (params, tokens, flops, tokens if unique_tokens is None else unique_tokens)
    return Inputs(*(np.log(np.atleast_1d(np.asarray(v, dtype=np.float64))) for v in counts))


def _unique(rows: pd.DataFrame) -> pd.Series:
    """Unique tokens: as given, else tokens / epochs, and never more than the tokens."""
    tokens = rows["tokens"]
    unique = tokens
    if "epochs" in rows:
        unique = (tokens / rows["epochs"].clip(lower=1.0)).fillna(tokens)
    if "unique_tokens" in rows:
        unique = rows["unique_tokens"].where(rows["unique_tokens"] > 0, unique)
    return unique.clip(upper=tokens)

"""Rows of runs as the arrays that a fit needs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.laws import Inputs
from analysis.runs.schema import RECIPE

# A law's few parameters learn next to nothing from more rows; a fit's time and memory grow with every one.
MOST_ROWS = 4000
# Runs of one budget differ by a step or by how their FLOPs are rounded; budgets differ by far more.
SAME_BUDGET = 1.2
# What a run was trained on.
_DATA = ("corpus", "tokenizer", "unique_tokens", "seq_len")


@dataclass(frozen=True)
class RunArrays:
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
    def of(cls, rows: pd.DataFrame) -> "RunArrays":
        """From rows with ``run_id params tokens flops loss``, and ``trunk_id`` and recipe where told.

        Of more than ``MOST_ROWS`` rows only a part: see :func:`representative`.
        """
        rows = representative(rows)
        told = (*_DATA, *RECIPE)
        cells = rows.groupby(["params", "tokens", *(c for c in told if c in rows)], dropna=False, sort=False).ngroup()
        return cls(
            inputs_at(rows["params"], rows["tokens"], rows["flops"], _unique(rows)),
            np.log(rows["loss"].to_numpy()),
            trunks(rows),
            cells.to_numpy(np.int64),
        )

    def __len__(self) -> int:
        return len(self.log_loss)

    def subset(self, keep: Bool[np.ndarray, " rows"]) -> "RunArrays":
        """The rows to keep."""
        return RunArrays(self.inputs.take(keep), self.log_loss[keep], self.cluster[keep], self.cell[keep])

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
            if self.inputs.c[row] > first + np.log(SAME_BUDGET):
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


def beyond(fitted: Inputs, inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """How far runs lie beyond fitted ones: log of the factor by which FLOPs, parameters or tokens exceed the most."""
    over = [getattr(inputs, name) - getattr(fitted, name).max() for name in ("c", "n", "d")]
    return np.maximum(np.max(over, axis=0), 0.0)


def inputs_at(params: object, tokens: object, flops: object, unique_tokens: object | None = None) -> Inputs:
    """Inputs from raw counts, scalars or arrays; without ``unique_tokens`` nothing repeats."""
    counts = (params, tokens, flops, tokens if unique_tokens is None else unique_tokens)
    return Inputs(*(np.log(np.atleast_1d(np.asarray(v, dtype=np.float64))) for v in counts))


def trunks(rows: pd.DataFrame) -> Int[np.ndarray, " rows"]:
    """The number of each row's trunk: its run where no trunk is told, a trunk of its own without either."""
    trunk = rows["run_id"].astype("str")
    if "trunk_id" in rows:
        trunk = rows["trunk_id"].astype("str").where(rows["trunk_id"].notna(), trunk)
    number = np.asarray(pd.factorize(trunk)[0], dtype=np.int64)
    alone = number < 0
    number[alone] = number.max() + 1 + np.arange(alone.sum())
    return number


def representative(rows: pd.DataFrame) -> pd.DataFrame:
    """All rows, or of more than ``MOST_ROWS`` a part that stands for them.

    As many rows are kept from each stretch of FLOPs, and there one of every trunk before a second of any. Which ones
    depends on the rows' values, not on their order.
    """
    if len(rows) <= MOST_ROWS:
        return rows
    trunk = trunks(rows)
    flops = np.log(rows["flops"].to_numpy())
    stretch = np.floor((flops - flops.min()) / np.log(SAME_BUDGET)).astype(np.int64)
    # Shuffled by value: numbers that look random, but are the same for the same row.
    shuffled = np.zeros(len(rows), np.uint64)
    for name in ("params", "tokens", "loss"):
        shuffled = shuffled * np.uint64(31) + pd.util.hash_array(rows[name].to_numpy())
    first = np.full(int(trunk.max()) + 1, np.iinfo(np.uint64).max)
    np.minimum.at(first, trunk, shuffled)
    turn = _place(np.lexsort((shuffled, trunk, stretch)), stretch, trunk) if len(first) < len(rows) else trunk * 0
    place = _place(np.lexsort((first[trunk], turn, stretch)), stretch)
    # The most from each stretch that together are few enough.
    count = np.sort(np.bincount(stretch))
    left = np.arange(len(count), 0, -1)
    used = np.concatenate([[0], np.cumsum(count)[:-1]])
    fair = (MOST_ROWS - used) // left
    return rows.iloc[np.flatnonzero(place < fair[np.argmax(count > fair)])]


def _place(order: Int[np.ndarray, " rows"], *groups: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The place of each row within its group, when the rows are told in an order that keeps groups together."""
    starts = np.ones(len(order), bool)
    starts[1:] = np.any([np.diff(group[order]) != 0 for group in groups], axis=0)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.flatnonzero(starts)[np.cumsum(starts) - 1]
    return place


def _unique(rows: pd.DataFrame) -> pd.Series:
    """Unique tokens: as given, else tokens / epochs, and never more than the tokens."""
    tokens = rows["tokens"]
    unique = tokens
    if "epochs" in rows:
        unique = (tokens / rows["epochs"].clip(lower=1.0)).fillna(tokens)
    if "unique_tokens" in rows:
        unique = rows["unique_tokens"].where(rows["unique_tokens"] > 0, unique)
    return unique.clip(upper=tokens)

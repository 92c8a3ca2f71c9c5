"""Runs as arrays for fits."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.laws import Inputs
from analysis.runs.groups import budgets_of, trunks
from analysis.runs.schema import RECIPE
from analysis.runs.stages import fine_tuning_stage
from analysis.runs.subsample import representative

# What a run was trained on.
_DATA = ("corpus", "tokenizer", "unique_tokens", "seq_len")


@dataclass(frozen=True)
class RunArrays:
    """Runs as arrays, one entry per row.

    Attributes:
        inputs: log parameters, log tokens, log FLOPs, log unique tokens.
        log_loss: log of nats per token.
        cluster: runs that share a number share a trunk, so their errors are correlated.
        cell: runs that share a number differ by their seed alone.
        stage: of fine-tuning that all runs are of, or None.
    """

    inputs: Inputs
    log_loss: Float[np.ndarray, " rows"]
    cluster: Int[np.ndarray, " rows"]
    cell: Int[np.ndarray, " rows"]
    stage: str | None = None

    @classmethod
    def of(cls, rows: pd.DataFrame) -> "RunArrays":
        """Arrays of rows with ``run_id params tokens flops loss``, and ``trunk_id`` and recipe where they are known.

        Of more than ``MOST_ROWS`` rows only a part: see :func:`representative`.
        """
        rows = representative(rows)
        cells = rows.groupby(
            ["params", "tokens", *(c for c in (*_DATA, *RECIPE) if c in rows)], dropna=False, sort=False
        ).ngroup()
        return cls(
            inputs_at(rows["params"], rows["tokens"], rows["flops"], _unique(rows)),
            np.log(rows["loss"].to_numpy()),
            trunks(rows),
            cells.to_numpy(np.int64),
            fine_tuning_stage(rows),
        )

    def __len__(self) -> int:
        return len(self.log_loss)

    def subset(self, keep: Bool[np.ndarray, " rows"]) -> "RunArrays":
        """Arrays of some rows: a mask, or their indices."""
        return RunArrays(self.inputs.take(keep), self.log_loss[keep], self.cluster[keep], self.cell[keep], self.stage)

    @property
    def cells(self) -> int:
        """Number of cells: different (parameters, tokens, recipe)."""
        return len(np.unique(self.cell))

    @cached_property
    def budget(self) -> Int[np.ndarray, " rows"]:
        """FLOP budget (rows,) of each run, numbered from 0 at the lowest: see :func:`budgets_of`."""
        return budgets_of(self.inputs.c)


def training_cost(inputs: Inputs, n: Float[np.ndarray, " sizes"]) -> Float[np.ndarray, " sizes"]:
    """Training FLOPs per parameter and token at given log parameters, interpolated from runs: 6 under 6ND.

    Between the sizes of the runs it is interpolated, as head and attention weigh less the larger the model is;
    beyond them it stays what the nearest size has.
    """
    sizes, index, count = np.unique(inputs.n, return_inverse=True, return_counts=True)
    cost = np.bincount(index, np.exp(inputs.c - inputs.n - inputs.d)) / count
    return np.interp(n, sizes, cost)


def usual_flops(inputs: Inputs, params: float, tokens: float) -> float:
    """Training FLOPs of some parameters and tokens, at the FLOPs per parameter and token of runs of that size."""
    return params * tokens * float(training_cost(inputs, np.log([params]))[0])


def beyond(fitted: Inputs, inputs: Inputs) -> Float[np.ndarray, " rows"]:
    """Log (rows,) of the largest factor by which FLOPs, parameters or tokens exceed the fitted ones; 0 or more."""
    over = [inputs.c - fitted.c.max(), inputs.n - fitted.n.max(), inputs.d - fitted.d.max()]
    return np.maximum(np.max(over, axis=0), 0.0)


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

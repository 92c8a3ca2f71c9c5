"""The best hyperparameters of each cell of a tuning sweep.

A cell is a model size trained to one length at several values of a hyperparameter. Its best value is the minimum of a
quadratic surface of the log loss (:mod:`analysis.tuning.response_surface`): the best run is one of many nearly equal
ones, chosen by noise. Learning rate and batch size interact and share a surface; warm-up and weight decay have one
each. The residuals about the surfaces of all cells estimate the noise, and so the standard error of each optimum.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.runs.schema import RECIPE
from analysis.runs.table import RunTable
from analysis.stats import clusters, pooled_std
from analysis.tuning.response_surface import ResponseSurface, fit_response_surface

Hyperparameter = Literal["lr", "batch_tokens", "warmup", "weight_decay"]
HYPERPARAMETERS: tuple[Hyperparameter, ...] = get_args(Hyperparameter)
JOINT: tuple[Hyperparameter, ...] = ("lr", "batch_tokens")  # share one surface
SEPARATE: tuple[Hyperparameter, ...] = ("warmup", "weight_decay")  # a surface each

_MIN_VALUES = 3
_SAME_LENGTH = 0.02  # whole steps of another batch size make a slightly different number of tokens
_DATA = ("corpus", "tokenizer", "seq_len")
_FAILED = 1.5  # times the loss of the cell's best run
_COLLINEAR = 0.01  # root-mean-square distance of logs from a line that they lie on
_PRIOR_FREEDOM = 4  # degrees of freedom for which the pooled noise counts in the noise of each cell


@dataclass(frozen=True)
class HyperparameterGrid:
    """The runs of one cell over one or two hyperparameters, and the surface through their log losses.

    Attributes:
        names: the hyperparameters with three values or more: the coordinates. Warm-up is a share of the run.
        x: log hyperparameters of each run.
        log_loss: of each run, log nats per token.
        group: runs that share a number share a level: those of one seed.
        surface: the quadratic through them; None if the runs do not determine one.
        reason: why the surface gives no optimum, or None.
    """

    names: tuple[Hyperparameter, ...]
    x: Float[np.ndarray, "rows k"]
    log_loss: Float[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    surface: ResponseSurface | None
    reason: str | None

    def best(self, name: Hyperparameter) -> tuple[float, float | None] | None:
        """The best value of a hyperparameter and the standard error of its log; None if it is not known."""
        if self.surface is None or self.reason is not None:
            return None
        i = self.names.index(name)
        optimum, covariance = self.surface.optimum, self.surface.covariance
        return float(np.exp(optimum[i])), None if covariance is None else float(np.sqrt(covariance[i, i]))

    @property
    def excess(self) -> Float[np.ndarray, " rows"]:
        """Log loss of each run less the minimum of the surface, with the groups' levels subtracted.

        Where the surface gives no optimum, the best setting tried stands in for the minimum.
        """
        if self.surface is None:
            return self.log_loss - self.log_loss.min()
        rise = self.surface.rise(self.x)
        if self.reason is not None:
            rise = rise - self.surface.rise(self.surface.best_setting[None])
        residual = pd.Series(self.log_loss - rise)
        used = residual.where(self.surface.used)
        level = used.groupby(self.group).transform("mean").fillna(used.mean())
        return self.log_loss - level.to_numpy()


@dataclass(frozen=True)
class TunedCell:
    """The runs of one size and length, and the grids of hyperparameters among them.

    Attributes:
        params: parameters.
        tokens: training tokens, the median: other batch sizes differ by part of a step.
        flops: training FLOPs of a run, the median.
        corpus: None where the table has none.
        runs: how many there are.
        failed: how many of them lost half as much again as the best.
        grids: each hyperparameter is in one grid at most.
    """

    params: float
    tokens: float
    flops: float
    corpus: str | None
    runs: int
    failed: int
    grids: tuple[HyperparameterGrid, ...]

    def grid(self, name: Hyperparameter) -> HyperparameterGrid | None:
        """The grid over a hyperparameter; None if the cell has none."""
        return next((grid for grid in self.grids if name in grid.names), None)

    def best(self, name: Hyperparameter) -> tuple[float, float | None] | None:
        """The best value of a hyperparameter and the standard error of its log; None if it is not known."""
        grid = self.grid(name)
        return None if grid is None else grid.best(name)

    @property
    def reason(self) -> str | None:
        """Why a grid gives no optimum, or None where all do."""
        return "; ".join(grid.reason for grid in self.grids if grid.reason is not None) or None

    def to_dict(self) -> dict[str, Any]:
        """A cell in the JSON object of ``scaling recipe fit``."""
        cell: dict[str, Any] = {
            "params": self.params,
            "tokens": self.tokens,
            "flops": self.flops,
            "corpus": self.corpus,
            "runs": self.runs,
        }
        for name in HYPERPARAMETERS:
            value, error = self.best(name) or (None, None)
            cell[name] = value
            cell[f"{name}_stderr"] = None if value is None or error is None else value * error
        return {**cell, "fault": self.reason}


def tuned_cells(table: RunTable) -> tuple[TunedCell, ...]:
    """Finds the cells of a table and their best hyperparameters, in order of FLOPs.

    The best learning rate of a cell with one batch size is the best at that batch size. A learning rate that follows
    the batch size along a line is no hyperparameter of its own. Whatever else varies (warm-up, schedule, shape) is
    taken at its best for each learning rate and batch size. A warm-up or weight decay is the best at the best setting
    of all else that has three values of it. A value of 0 has no log and is skipped. Runs that share a seed are paired.

    Raises:
        InputError: if no cell has three values of a hyperparameter; one line.
    """
    rows = table.fit.drop(columns="warmup", errors="ignore")  # a foreign column of that name may hold anything
    if "warmup_tokens" in rows:
        rows = rows.assign(warmup=rows["warmup_tokens"] / rows["tokens"])
    if not any(name in rows for name in HYPERPARAMETERS):
        raise InputError(
            f"{table.source}: no column 'lr' or 'batch_tokens', 'warmup_tokens' or 'weight_decay'; choose with "
            "`columns` lr=..."
        )
    cells = [cell for each in _by_cell(rows) if (cell := _cell(each)).grids]
    if not cells:
        raise InputError(
            f"{table.source}: no size and length was trained at {_MIN_VALUES} values of lr or batch_tokens, warm-up "
            "or weight decay"
        )
    surfaces = [s for cell in cells for grid in cell.grids if (s := grid.surface) is not None and s.noise is not None]
    noise = pooled_std([s.noise or 0.0 for s in surfaces], [s.freedom for s in surfaces])
    cells = [replace(cell, grids=tuple(_judged(_with_noise(g, noise)) for g in cell.grids)) for cell in cells]
    return tuple(sorted(cells, key=lambda cell: (cell.flops, cell.params)))


def _by_cell(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each size, length and kind of data."""
    for _, size in rows.groupby(["params", *(c for c in _DATA if c in rows)], dropna=False):
        ordered = size.sort_values("tokens", kind="stable")
        length = clusters(np.log(ordered["tokens"].to_numpy(np.float64)), float(np.log1p(_SAME_LENGTH)))
        for _, cell in ordered.groupby(length):
            yield cell


def _cell(rows: pd.DataFrame) -> TunedCell:
    joint = _varied(rows)
    grids = [_grid(_best_of_the_rest(_positive(rows, joint), joint), joint)] if joint else []
    for name in SEPARATE:
        if name in rows and not (tried := _best_slice(_positive(rows, (name,)), name)).empty:
            grids.append(_grid(tried, (name,)))
    return TunedCell(
        params=float(rows["params"].iloc[0]),
        tokens=float(rows["tokens"].median()),
        flops=float(rows["flops"].median()),
        corpus=str(rows["corpus"].iloc[0]) if "corpus" in rows and pd.notna(rows["corpus"].iloc[0]) else None,
        runs=len(rows),
        failed=int((rows["loss"] > _FAILED * rows["loss"].min()).sum()),
        grids=tuple(grids),
    )


def _positive(rows: pd.DataFrame, names: Sequence[Hyperparameter]) -> pd.DataFrame:
    """The rows with positive, finite values of the hyperparameters."""
    return rows[rows[list(names)].apply(lambda values: values.between(0, np.inf, inclusive="neither")).all(axis=1)]


def _varied(rows: pd.DataFrame) -> tuple[Hyperparameter, ...]:
    """Those of learning rate and batch size that have three values or more."""
    names = tuple(k for k in JOINT if k in rows and _positive(rows, (k,))[k].nunique() >= _MIN_VALUES)
    if len(names) == 2:
        x = np.log(_positive(rows, names)[list(names)].drop_duplicates().to_numpy())
        if np.linalg.matrix_rank(x - x.mean(axis=0), tol=_COLLINEAR * np.sqrt(len(x))) < 2:
            return ("batch_tokens",)
    return names


def _best_of_the_rest(rows: pd.DataFrame, names: tuple[Hyperparameter, ...]) -> pd.DataFrame:
    """For each setting of the hyperparameters, the runs at the best of whatever else varies, by mean over seeds."""
    others = [c for c in RECIPE if c in rows and c not in names]
    recipe = rows.groupby([*names, *others], dropna=False).ngroup()
    mean = rows["loss"].groupby(recipe).transform("mean")
    return rows[mean == mean.groupby([rows[k] for k in names]).transform("min")]


def _best_slice(rows: pd.DataFrame, name: Hyperparameter) -> pd.DataFrame:
    """The rows at the best setting of all else, among those with three values of a hyperparameter or more."""
    own = "warmup_tokens" if name == "warmup" else name
    others = [c for c in RECIPE if c in rows and c != own]
    setting = rows.groupby(others, dropna=False).ngroup() if others else pd.Series(0, rows.index)
    tried = rows.groupby(setting)[name].transform("nunique") >= _MIN_VALUES
    mean = rows["loss"].groupby([setting, rows[name]]).transform("mean").where(tried)
    return rows[setting.isin(setting[mean == mean.min()][:1])]


def _grid(rows: pd.DataFrame, names: tuple[Hyperparameter, ...]) -> HyperparameterGrid:
    x, log_loss = np.log(rows[list(names)].to_numpy()), np.log(rows["loss"].to_numpy())
    group = _seed_groups(rows, names)
    try:
        return HyperparameterGrid(names, x, log_loss, group, fit_response_surface(x, log_loss, group), None)
    except InputError as error:
        return HyperparameterGrid(names, x, log_loss, group, None, error.errors[0])


def _seed_groups(rows: pd.DataFrame, names: tuple[Hyperparameter, ...]) -> Int[np.ndarray, " rows"]:
    """Group number of each row by its seed; seeds with one setting alone pair nothing, and share a group."""
    if "seed" not in rows:
        return np.zeros(len(rows), np.int64)
    settings = rows.groupby(list(names)).ngroup().groupby(rows["seed"]).transform("nunique")
    return np.asarray(pd.factorize(rows["seed"].where(settings > 1))[0], dtype=np.int64)


def _with_noise(grid: HyperparameterGrid, pooled: float | None) -> HyperparameterGrid:
    """The grid with its noise shrunk towards the pooled one: of few degrees of freedom it is often small by chance."""
    surface = grid.surface
    if surface is None or pooled is None:
        return grid
    noise = pooled_std([surface.noise or 0.0, pooled], [surface.freedom, _PRIOR_FREEDOM])
    assert noise is not None
    return replace(grid, surface=surface.with_noise(noise, surface.freedom + _PRIOR_FREEDOM))


def _judged(grid: HyperparameterGrid) -> HyperparameterGrid:
    """The grid with the reason why its surface gives no optimum, if there is one."""
    surface = grid.surface
    if surface is None:
        return grid
    error = np.zeros(len(grid.names)) if surface.covariance is None else np.sqrt(np.diag(surface.covariance))
    for name, bracketed, margin, doubt in zip(grid.names, surface.bracketed, surface.margin, error, strict=True):
        if not bracketed:
            return replace(grid, reason=f"the best {name} is at the edge of those tried")
        if not surface.has_minimum:
            return replace(grid, reason="the surface of its loss has no minimum")
        if doubt > margin:
            return replace(grid, reason=f"the best {name} is within its noise of the edge of those tried")
    return grid

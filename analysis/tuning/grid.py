"""The best hyperparameters of each size and length of a tuning sweep.

A size trained to a length at several values of a hyperparameter, a knob, is a cell, and the least of the quadratic
surface of its log loss is its optimum (``response_surface.py``): a best run is one of many nearly equal ones, drawn by
noise. Learning rate and batch depend on each other and share a surface; warm-up and weight decay have one each. What
the runs scatter by about the surfaces of all cells tells how well each optimum is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from analysis.errors import InputError
from analysis.runs.schema import RECIPE
from analysis.runs.table import RunTable
from analysis.tuning.response_surface import ResponseSurface, fit_response_surface

Hyperparameter = Literal["lr", "batch_tokens", "warmup", "weight_decay"]
HYPERPARAMETERS: tuple[Hyperparameter, ...] = get_args(Hyperparameter)
JOINT: tuple[Hyperparameter, ...] = ("lr", "batch_tokens")
SEPARATE: tuple[Hyperparameter, ...] = ("warmup", "weight_decay")

_FEWEST_VALUES = 3
_SAME_LENGTH = 0.02  # whole steps of another batch make a slightly different number of tokens
_DATA = ("corpus", "tokenizer", "seq_len")
_FAILED = 1.5  # times the loss of the cell's best
_ONE_LINE = 0.01  # root-mean-square distance of logs from a line that they lie on
_PRIOR_FREEDOM = 4  # for how many degrees of freedom the noise of all cells counts in that of each


@dataclass(frozen=True)
class HyperparameterGrid:
    """The losses over one or two knobs, and their least.

    Attributes:
        knobs: what was tried at three values or more: the coordinates. A warm-up is a share of the run.
        x: their logs in each run.
        log_loss: of each run.
        group: runs that share a number share a level: those of one seed.
        optimum: of the quadratic through them; None if the runs determine none.
        fault: why there is no optimum to believe, or None.
    """

    knobs: tuple[Hyperparameter, ...]
    x: Float[np.ndarray, "rows k"]
    log_loss: Float[np.ndarray, " rows"]
    group: Int[np.ndarray, " rows"]
    optimum: ResponseSurface | None
    fault: str | None

    def best(self, knob: Hyperparameter) -> tuple[float, float | None] | None:
        """The best value of a knob and the standard error of its log; None if it is not known."""
        if self.optimum is None or self.fault is not None:
            return None
        i = self.knobs.index(knob)
        at, covariance = self.optimum.at, self.optimum.covariance
        return float(np.exp(at[i])), None if covariance is None else float(np.sqrt(covariance[i, i]))

    @property
    def excess(self) -> Float[np.ndarray, " rows"]:
        """By how much each run's log loss exceeds the surface's least, the groups' levels taken out.

        Where that is not to be believed the best setting stands for it.
        """
        if self.optimum is None:
            return self.log_loss - self.log_loss.min()
        surface = self.optimum.above(self.x)
        if self.fault is not None:
            surface = surface - self.optimum.above(self.optimum.best[None])
        rest = pd.Series(self.log_loss - surface)
        used = rest.where(self.optimum.used)
        level = used.groupby(self.group).transform("mean").fillna(used.mean())
        return self.log_loss - level.to_numpy()


@dataclass(frozen=True)
class TunedCell:
    """The runs of one size and length.

    Attributes:
        params: parameters.
        tokens: trained on; the median, as batches of another size differ by a part of a step.
        flops: the median.
        corpus: None where the table tells none.
        runs: how many there are, and
        failed: how many of them lost half as much again as the best.
        surfaces: none has a knob of another.
    """

    params: float
    tokens: float
    flops: float
    corpus: str | None
    runs: int
    failed: int
    surfaces: tuple[HyperparameterGrid, ...]

    def surface(self, knob: Hyperparameter) -> HyperparameterGrid | None:
        """The one that has this knob, if it was tried."""
        return next((surface for surface in self.surfaces if knob in surface.knobs), None)

    def best(self, knob: Hyperparameter) -> tuple[float, float | None] | None:
        """The best value of a knob and the standard error of its log; None if it is not known."""
        surface = self.surface(knob)
        return None if surface is None else surface.best(knob)

    @property
    def fault(self) -> str | None:
        """Why there is an optimum not to believe, or None."""
        return "; ".join(surface.fault for surface in self.surfaces if surface.fault is not None) or None

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {name: getattr(self, name) for name in ("params", "tokens", "flops", "corpus", "runs")}
        for knob in HYPERPARAMETERS:
            value, error = self.best(knob) or (None, None)
            told[knob] = value
            told[f"{knob}_stderr"] = None if value is None or error is None else value * error
        return {**told, "fault": self.fault}


def tuned_cells(table: RunTable) -> tuple[TunedCell, ...]:
    """Finds the cells of a table and their optima, from the cheapest cell.

    A learning rate varied at one batch only is the best at that batch; one that follows the batch along a line is no
    knob of its own. Whatever else was varied (warm-up, schedule, shape) is taken at its best for each learning rate and
    batch. A warm-up or weight decay is the best at the best setting of all else at which three values were tried. A
    value of 0 has no log and is passed over. Runs that share a seed are paired.

    Raises:
        InputError: if no cell has three values of a knob; one line.
    """
    rows = table.fit
    if "warmup_tokens" in rows:
        rows = rows.assign(warmup=rows["warmup_tokens"] / rows["tokens"])
    if not any(knob in rows for knob in HYPERPARAMETERS):
        raise InputError(
            f"{table.source}: no column 'lr' or 'batch_tokens', 'warmup_tokens' or 'weight_decay'; choose with "
            "--columns lr=..."
        )
    cells = [cell for each in _by_cell(rows) if (cell := _cell(each)).surfaces]
    if not cells:
        raise InputError(
            f"{table.source}: no size and length was trained at {_FEWEST_VALUES} values of lr or batch_tokens, warm-up "
            "or weight decay"
        )
    noise = _pooled_noise([surface for cell in cells for surface in cell.surfaces])
    cells = [replace(cell, surfaces=tuple(_judged(_with_noise(s, noise)) for s in cell.surfaces)) for cell in cells]
    return tuple(sorted(cells, key=lambda cell: (cell.flops, cell.params)))


def _by_cell(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each size, length and kind of data."""
    for _, size in rows.groupby(["params", *(c for c in _DATA if c in rows)], dropna=False):
        ordered = size.sort_values("tokens", kind="stable")
        lengths, shortest = [], -np.inf
        for tokens in ordered["tokens"]:
            shortest = tokens if tokens > (1 + _SAME_LENGTH) * shortest else shortest
            lengths.append(shortest)
        for _, cell in ordered.groupby(np.array(lengths)):
            yield cell


def _cell(rows: pd.DataFrame) -> TunedCell:
    together = _varied(rows)
    surfaces = [_surface(_profile(_usable(rows, together), together), together)] if together else []
    for knob in SEPARATE:
        if knob in rows and not (tried := _best_slice(_usable(rows, (knob,)), knob)).empty:
            surfaces.append(_surface(tried, (knob,)))
    return TunedCell(
        params=float(rows["params"].iloc[0]),
        tokens=float(rows["tokens"].median()),
        flops=float(rows["flops"].median()),
        corpus=str(rows["corpus"].iloc[0]) if "corpus" in rows and pd.notna(rows["corpus"].iloc[0]) else None,
        runs=len(rows),
        failed=int((rows["loss"] > _FAILED * rows["loss"].min()).sum()),
        surfaces=tuple(surfaces),
    )


def _usable(rows: pd.DataFrame, knobs: tuple[Hyperparameter, ...]) -> pd.DataFrame:
    """The rows whose knobs have logs."""
    return rows[rows[list(knobs)].apply(lambda values: values.between(0, np.inf, inclusive="neither")).all(axis=1)]


def _varied(rows: pd.DataFrame) -> tuple[Hyperparameter, ...]:
    """Which of learning rate and batch have three values or more."""
    knobs = tuple(k for k in JOINT if k in rows and _usable(rows, (k,))[k].nunique() >= _FEWEST_VALUES)
    if len(knobs) == 2:
        x = np.log(_usable(rows, knobs)[list(knobs)].drop_duplicates().to_numpy())
        if np.linalg.matrix_rank(x - x.mean(axis=0), tol=_ONE_LINE * np.sqrt(len(x))) < 2:
            return ("batch_tokens",)
    return knobs


def _profile(rows: pd.DataFrame, knobs: tuple[Hyperparameter, ...]) -> pd.DataFrame:
    """Of each setting of the knobs, the runs at the best of whatever else was varied, by the mean over seeds."""
    others = [c for c in RECIPE if c in rows and c not in knobs]
    recipe = rows.groupby([*knobs, *others], dropna=False).ngroup()
    mean = rows["loss"].groupby(recipe).transform("mean")
    return rows[mean == mean.groupby([rows[k] for k in knobs]).transform("min")]


def _best_slice(rows: pd.DataFrame, knob: Hyperparameter) -> pd.DataFrame:
    """The rows at the best setting of all else, of those at which three values of a knob or more were tried."""
    own = "warmup_tokens" if knob == "warmup" else knob
    others = [c for c in RECIPE if c in rows and c != own]
    setting = rows.groupby(others, dropna=False).ngroup() if others else pd.Series(0, rows.index)
    tried = rows.groupby(setting)[knob].transform("nunique") >= _FEWEST_VALUES
    mean = rows["loss"].groupby([setting, rows[knob]]).transform("mean").where(tried)
    return rows[setting.isin(setting[mean == mean.min()][:1])]


def _surface(rows: pd.DataFrame, knobs: tuple[Hyperparameter, ...]) -> HyperparameterGrid:
    x, log_loss = np.log(rows[list(knobs)].to_numpy()), np.log(rows["loss"].to_numpy())
    group = _paired(rows, knobs)
    try:
        return HyperparameterGrid(knobs, x, log_loss, group, fit_response_surface(x, log_loss, group), None)
    except InputError as error:
        return HyperparameterGrid(knobs, x, log_loss, group, None, error.errors[0])


def _paired(rows: pd.DataFrame, knobs: tuple[Hyperparameter, ...]) -> Int[np.ndarray, " rows"]:
    """Seeds as groups; seeds that were run at one setting alone pair nothing, and share a group."""
    if "seed" not in rows:
        return np.zeros(len(rows), np.int64)
    settings = rows.groupby(list(knobs)).ngroup().groupby(rows["seed"]).transform("nunique")
    return np.asarray(pd.factorize(rows["seed"].where(settings > 1))[0], dtype=np.int64)


def _pooled_noise(surfaces: list[HyperparameterGrid]) -> float | None:
    known = [(o.freedom, o.noise**2) for s in surfaces if (o := s.optimum) is not None and o.noise is not None]
    if not known:
        return None
    return float(np.sqrt(sum(freedom * square for freedom, square in known) / sum(freedom for freedom, _ in known)))


def _with_noise(surface: HyperparameterGrid, pooled: float | None) -> HyperparameterGrid:
    """Draws a surface's noise towards that of all: one of few degrees of freedom is often small by chance."""
    found = surface.optimum
    if found is None or pooled is None:
        return surface
    freedom = found.freedom + _PRIOR_FREEDOM
    own = found.freedom * (found.noise or 0.0) ** 2
    noise = float(np.sqrt((own + _PRIOR_FREEDOM * pooled**2) / freedom))
    return replace(surface, optimum=found.with_noise(noise, freedom))


def _judged(surface: HyperparameterGrid) -> HyperparameterGrid:
    """The surface with the reason why its optimum is not believed, if there is one."""
    found = surface.optimum
    if found is None:
        return surface
    error = np.zeros(len(surface.knobs)) if found.covariance is None else np.sqrt(np.diag(found.covariance))
    for knob, bracketed, room, doubt in zip(surface.knobs, found.bracketed, found.room, error, strict=True):
        if not bracketed:
            return replace(surface, fault=f"the best {knob} is at the edge of those tried")
        if not found.minimum:
            return replace(surface, fault="the surface of its loss has no least")
        if doubt > room:
            return replace(surface, fault=f"the best {knob} is within its noise of the edge of those tried")
    return surface

"""Laws of the best learning rate and batch: how they follow parameters N, tokens D or training FLOPs C.

    step (2503.04715)        lr = c N^a D^b        batch tokens = d D^e
    deepseek (2401.02954)    lr = c C^a            batch tokens = d C^b

Each size and length that was trained at several learning rates or batches is a cell, and the least of the quadratic
surface of its log loss is its optimum (:mod:`analysis.optimum`): a best run is one of many nearly equal ones, drawn by
noise. The laws are power laws through the cells' optima (:mod:`analysis.powerlaw`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Int

from analysis.checks import of_table
from analysis.errors import InputError
from analysis.optimum import Optimum, find_optimum
from analysis.powerlaw import Form, PowerLaw, fit_power_law
from analysis.schema import RECIPE
from analysis.table import RunTable
from analysis.warning import Warning

Knob = Literal["lr", "batch_tokens"]
FORMS: Mapping[Knob, Mapping[str, Form]] = {
    "lr": {
        "step": Form("lr = c N^a D^b", "2503.04715", ("c", "a", "b"), ("params", "tokens")),
        "deepseek": Form("lr = c C^a", "2401.02954", ("c", "a"), ("flops",)),
    },
    "batch_tokens": {
        "step": Form("batch tokens = d D^e", "2503.04715", ("d", "e"), ("tokens",)),
        "deepseek": Form("batch tokens = d C^b", "2401.02954", ("d", "b"), ("flops",)),
    },
}

_FEWEST_VALUES = 3
_SAME_LENGTH = 0.02  # whole steps of another batch make a slightly different number of tokens
_DATA = ("corpus", "tokenizer", "seq_len")
_TOLD = ("diverged-rows", "pooled-corpora", "tokenizer-mismatch")
_FAILED = np.log(1.5)  # log loss above the cell's best
_LISTED = 6
_PRIOR_FREEDOM = 4  # for how many degrees of freedom the noise of all cells counts in that of each


@dataclass(frozen=True)
class Cell:
    """The runs of one size and length.

    Attributes:
        params: parameters.
        tokens: trained on; the median, as batches of another size differ by a part of a step.
        flops: the median.
        corpus: None where the table tells none.
        runs: how many show the optimum.
        knobs: what was tried at three values or more: the optimum's coordinates.
        optimum: in the logs of the knobs; None if the runs determine none.
        fault: why there is no optimum to believe, or None.
    """

    params: float
    tokens: float
    flops: float
    corpus: str | None
    runs: int
    knobs: tuple[Knob, ...]
    optimum: Optimum | None
    fault: str | None

    def best(self, knob: Knob) -> tuple[float, float | None] | None:
        """The best value of a knob and the standard error of its log; None if it is not known."""
        if self.optimum is None or self.fault is not None or knob not in self.knobs:
            return None
        i = self.knobs.index(knob)
        at, covariance = self.optimum.at, self.optimum.covariance
        return float(np.exp(at[i])), None if covariance is None else float(np.sqrt(covariance[i, i]))

    def to_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {name: getattr(self, name) for name in ("params", "tokens", "flops", "corpus", "runs")}
        for knob in FORMS:
            value, error = self.best(knob) or (None, None)
            told[knob] = value
            told[f"{knob}_stderr"] = None if value is None or error is None else value * error
        return {**told, "fault": self.fault}


@dataclass(frozen=True)
class Tuning:
    """What a table tells about the best learning rate and batch.

    Attributes:
        laws: by knob and form; without those whose knob was varied in too few cells.
        cells: from the cheapest.
        warnings: what to know before using them.
        n_runs: rows of the table to fit.
        table_hash: of these rows.
    """

    laws: Mapping[Knob, Mapping[str, PowerLaw]]
    cells: tuple[Cell, ...]
    warnings: tuple[Warning, ...]
    n_runs: int
    table_hash: str

    def rate(self, params: float, tokens: float) -> tuple[float, float | None]:
        """The best learning rate by Step Law's form, and its standard error; InputError without such a law."""
        return self._step("lr").predict(params, tokens)

    def batch(self, tokens: float) -> tuple[float, float | None]:
        """The best batch in tokens by Step Law's form, and its standard error; InputError without such a law."""
        return self._step("batch_tokens").predict(tokens)

    def _step(self, knob: Knob) -> PowerLaw:
        if "step" not in self.laws[knob]:
            raise InputError(f"the runs tell no law of the best {knob}: too few sizes and lengths were tuned in it")
        return self.laws[knob]["step"]

    def to_dict(self) -> dict[str, Any]:
        laws = {
            knob: {name: of[name].to_dict() if name in of else None for name in FORMS[knob]} if of else None
            for knob, of in self.laws.items()
        }
        return {
            "learning_rate": laws["lr"],
            "batch_tokens": laws["batch_tokens"],
            "cells": [cell.to_dict() for cell in self.cells],
            "warnings": [warning.to_dict() for warning in self.warnings],
            "n_runs": self.n_runs,
            "table_hash": self.table_hash,
        }


def fit_tuning(table: RunTable) -> Tuning:
    """Fits the laws to a table with ``lr``, ``batch_tokens`` or both, varied at several sizes and lengths.

    A learning rate varied at one batch only is the best at that batch. Whatever else was varied (warm-up, schedule,
    shape) is taken at its best for each learning rate and batch. Runs that share a seed are paired.

    Raises:
        InputError: if neither column is there, or no law can be fitted; one line.
    """
    rows = table.fit
    if not any(knob in rows for knob in FORMS):
        raise InputError(f"{table.source}: no column 'lr' or 'batch_tokens'; choose with --columns lr=...")
    tuned = [each for each in _by_cell(rows) if _varied(each)]
    if not tuned:
        raise InputError(
            f"{table.source}: no size and length was trained at {_FEWEST_VALUES} values of lr or batch_tokens"
        )
    cells = [_judged(cell) for cell in _with_pooled_noise([_cell(each) for each in tuned])]
    cells.sort(key=lambda cell: (cell.flops, cell.params))
    laws: dict[Knob, dict[str, PowerLaw]] = {
        knob: {name: law for name, form in forms.items() if (law := _law(knob, form, cells)) is not None}
        for knob, forms in FORMS.items()
    }
    if not any(laws.values()):
        known = sum(cell.fault is None for cell in cells)
        reasons = "".join(f"; {warning.message}" for warning in _left_out(cells))
        raise InputError(f"{table.source}: a law needs optima at two different FLOPs, and there are {known}{reasons}")
    warnings = [warning for warning in of_table(table) if warning.code in _TOLD]
    warnings += [*_failed(tuned), *_left_out(cells), *_of_laws(laws)]
    return Tuning(laws, tuple(cells), tuple(warnings), len(rows), table.hash())


def _by_cell(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each size, length and kind of data."""
    for _, size in rows.groupby(["params", *(c for c in _DATA if c in rows)], dropna=False):
        ordered = size.sort_values("tokens", kind="stable")
        length = (ordered["tokens"].pct_change() > _SAME_LENGTH).cumsum()
        for _, cell in ordered.groupby(length):
            yield cell


def _varied(rows: pd.DataFrame) -> tuple[Knob, ...]:
    """The knobs with three values or more."""
    return tuple(k for k in FORMS if k in rows and rows[k][_usable(rows[k])].nunique() >= _FEWEST_VALUES)


def _usable(values: pd.Series) -> pd.Series:
    return values.between(0, np.inf, inclusive="neither")


def _cell(rows: pd.DataFrame) -> Cell:
    knobs = _varied(rows)
    used = _profile(rows[rows[list(knobs)].apply(_usable).all(axis=1)], knobs)
    optimum, fault = None, None
    try:
        x = np.log(used[list(knobs)].to_numpy())
        optimum = find_optimum(x, np.log(used["loss"].to_numpy()), _paired(used, knobs))
    except InputError as error:
        (fault,) = error.faults
    return Cell(
        params=float(rows["params"].iloc[0]),
        tokens=float(rows["tokens"].median()),
        flops=float(rows["flops"].median()),
        corpus=str(rows["corpus"].iloc[0]) if "corpus" in rows and pd.notna(rows["corpus"].iloc[0]) else None,
        runs=len(used) if optimum is None else optimum.rows,
        knobs=knobs,
        optimum=optimum,
        fault=fault,
    )


def _profile(rows: pd.DataFrame, knobs: tuple[Knob, ...]) -> pd.DataFrame:
    """Of each setting of the knobs, the runs at the best of whatever else was varied, by the mean over seeds."""
    others = [c for c in RECIPE if c in rows and c not in knobs]
    recipe = rows.groupby([*knobs, *others], dropna=False).ngroup()
    mean = rows["loss"].groupby(recipe).transform("mean")
    return rows[mean == mean.groupby([rows[k] for k in knobs]).transform("min")]


def _paired(rows: pd.DataFrame, knobs: tuple[Knob, ...]) -> Int[np.ndarray, " rows"]:
    """Seeds as groups; seeds that were run at one setting alone pair nothing, and share a group."""
    if "seed" not in rows:
        return np.zeros(len(rows), np.int64)
    settings = rows.groupby(list(knobs)).ngroup().groupby(rows["seed"]).transform("nunique")
    return np.asarray(pd.factorize(rows["seed"].where(settings > 1))[0], dtype=np.int64)


def _with_pooled_noise(cells: list[Cell]) -> list[Cell]:
    """Draws each cell's noise towards that of all: one of few degrees of freedom is often small by chance."""
    known = [(o.freedom, o.noise**2) for c in cells if (o := c.optimum) is not None and o.noise is not None]
    if not known:
        return cells
    pooled = sum(freedom * square for freedom, square in known) / sum(freedom for freedom, _ in known)

    def drawn(optimum: Optimum) -> Optimum:
        freedom = optimum.freedom + _PRIOR_FREEDOM
        own = optimum.freedom * (optimum.noise or 0.0) ** 2
        return optimum.with_noise(float(np.sqrt((own + _PRIOR_FREEDOM * pooled) / freedom)), freedom)

    return [cell if cell.optimum is None else replace(cell, optimum=drawn(cell.optimum)) for cell in cells]


def _judged(cell: Cell) -> Cell:
    """The cell with the reason why its optimum is not believed, if there is one."""
    found = cell.optimum
    if found is None:
        return cell
    error = np.zeros(len(cell.knobs)) if found.covariance is None else np.sqrt(np.diag(found.covariance))
    for knob, bracketed, room, doubt in zip(cell.knobs, found.bracketed, found.room, error, strict=True):
        if not bracketed:
            return replace(cell, fault=f"the best {knob} is at the edge of those tried")
        if not found.minimum:
            return replace(cell, fault="the surface of its loss has no least")
        if doubt > room:
            return replace(cell, fault=f"the best {knob} is within its noise of the edge of those tried")
    return cell


def _law(knob: Knob, form: Form, cells: list[Cell]) -> PowerLaw | None:
    known = [(cell, *best) for cell in cells if (best := cell.best(knob)) is not None]
    if not known:
        return None
    inputs = np.array([[getattr(cell, name) for name in form.inputs] for cell, _, _ in known])
    value, error = np.array([(value, error or 0.0) for _, value, error in known]).T
    return fit_power_law(form, inputs, value, error)


def _place(cell: Cell) -> str:
    corpus = f" on {cell.corpus}" if cell.corpus else ""
    return f"{cell.params:.3g} params, {cell.tokens:.3g} tokens{corpus}"


def _failed(tuned: list[pd.DataFrame]) -> Iterator[Warning]:
    failed = sum(int((np.log(rows["loss"] / rows["loss"].min()) > _FAILED).sum()) for rows in tuned)
    if failed:
        yield Warning(
            "diverged-rows",
            f"{failed} runs lost half as much again as the best of their size and length: have they diverged? they "
            "count as values tried, and no surface is fitted to them",
        )


def _left_out(cells: list[Cell]) -> Iterator[Warning]:
    left = [f"{_place(cell)}: {cell.fault}" for cell in cells if cell.fault is not None]
    if left:
        more = f"; and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        yield Warning(
            "not-bracketed",
            f"{len(left)} of {len(cells)} sizes and lengths are left out of the laws, which lean towards what was "
            f"tried where these lie beyond it ({'; '.join(left[:_LISTED])}{more})",
        )


def _of_laws(laws: Mapping[Knob, Mapping[str, PowerLaw]]) -> Iterator[Warning]:
    for knob, of in laws.items():
        if "step" not in of:
            continue
        law = of["step"]
        if law.points < 2 * len(law.form.names):
            told = f"{law.points} sizes and lengths for the {len(law.form.names)} constants of {law.form.formula}"
            yield Warning("few-runs", f"{told}: expect little")
        if law.collinear:
            yield Warning(
                "collinear",
                f"params and tokens move together: the best {knob} is known along their common line only, and not what "
                "it owes to each; tune sizes and lengths off that line",
            )

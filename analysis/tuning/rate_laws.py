"""Laws of the best learning rate and batch: how they follow parameters N, tokens D or training FLOPs C.

    step (2503.04715)        lr = c N^a D^b        batch tokens = d D^e
    deepseek (2401.02954)    lr = c C^a            batch tokens = d C^b

They are power laws (:mod:`analysis.fitting.power_law`) through the optima of the cells (:mod:`analysis.tuning.grid`).

On Step Law's own grid they agree with the paper (lr = 1.79 N^-0.713 D^0.307, batch = 0.58 D^0.571) in part: a, d and e
lie in their 90 % intervals, but b is 0.22 +- 0.03 and c, which is correlated with b, 70 (8 to 640); at the sizes and
lengths of the grid the rate is 0.80 to 1.15 times the paper's, and loses next to nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.diagnostics.checks import check_table
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.power_law import Form, PowerLaw, fit_power_law
from analysis.result import Result
from analysis.runs.table import RunTable
from analysis.tuning.grid import JOINT, SEPARATE, Hyperparameter, TunedCell, tuned_cells
from analysis.tuning.text import tuning_text

ScaledHyperparameter = Literal["lr", "batch_tokens"]
FORMS: Mapping[ScaledHyperparameter, Mapping[str, Form]] = {
    "lr": {
        "step": Form("lr = c N^a D^b", "2503.04715", ("c", "a", "b"), ("params", "tokens")),
        "deepseek": Form("lr = c C^a", "2401.02954", ("c", "a"), ("flops",)),
    },
    "batch_tokens": {
        "step": Form("batch tokens = d D^e", "2503.04715", ("d", "e"), ("tokens",)),
        "deepseek": Form("batch tokens = d C^b", "2401.02954", ("d", "b"), ("flops",)),
    },
}

_RELEVANT = ("diverged-rows", "pooled-corpora", "tokenizer-mismatch")
_LISTED = 6


@dataclass(frozen=True)
class Tuning(Result):
    """The best hyperparameters of a table's cells, and the laws through them.

    Attributes:
        laws: by hyperparameter and form; without those whose hyperparameter varies in too few cells, and so none for a
            table that only tunes warm-up or weight decay.
        cells: in order of FLOPs.
        warnings: what to know before using them.
        n_runs: rows of the table to fit.
        table_hash: of these rows.
    """

    laws: Mapping[ScaledHyperparameter, Mapping[str, PowerLaw]]
    cells: tuple[TunedCell, ...]
    warnings: tuple[Diagnostic, ...]
    n_runs: int
    table_hash: str

    def rate(self, params: float, tokens: float) -> tuple[float, float | None]:
        """The best learning rate by Step Law's form, and its standard error.

        Raises:
            InputError: without such a law.
        """
        return self._step("lr").predict(params, tokens)

    def batch(self, tokens: float) -> tuple[float, float | None]:
        """The best batch size in tokens by Step Law's form, and its standard error.

        Raises:
            InputError: without such a law.
        """
        return self._step("batch_tokens").predict(tokens)

    def _step(self, name: ScaledHyperparameter) -> PowerLaw:
        if "step" not in self.laws[name]:
            raise InputError(f"the runs tell no law of the best {name}: too few sizes and lengths were tuned in it")
        return self.laws[name]["step"]

    def __str__(self) -> str:
        return tuning_text(self)

    def to_frame(self) -> pd.DataFrame:
        """One row per size and length: its best learning rate and batch in tokens, and how many runs it has."""
        rows = []
        for cell in self.cells:
            found = {name: cell.best(name) for name in FORMS}
            best: dict[str, float | None] = {name: None if each is None else each[0] for name, each in found.items()}
            rows.append({"params": cell.params, "tokens": cell.tokens, **best, "runs": cell.runs})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of ``scaling recipe fit``."""
        laws = {
            name: {form: fitted[form].to_dict() if form in fitted else None for form in FORMS[name]} if fitted else None
            for name, fitted in self.laws.items()
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

    Warm-up and weight decay, where they vary, get the best value of each cell but no law.

    Raises:
        InputError: if nothing varies, or only learning rate and batch size do and no law can be fitted; one line.
    """
    cells = tuned_cells(table)
    laws: dict[ScaledHyperparameter, dict[str, PowerLaw]] = {
        name: {key: law for key, form in forms.items() if (law := _law(name, form, cells)) is not None}
        for name, forms in FORMS.items()
    }
    if not any(laws.values()) and not any(cell.grid(name) for cell in cells for name in SEPARATE):
        known = sum(cell.reason is None for cell in cells)
        reasons = "".join(f"; {warning.message}" for warning in _not_bracketed(cells))
        raise InputError(f"{table.source}: a law needs optima at two different FLOPs, and there are {known}{reasons}")
    warnings = [warning for warning in check_table(table) if warning.code in _RELEVANT]
    warnings += [*_failed(cells), *_not_bracketed(cells), *_law_warnings(laws)]
    return Tuning(laws, cells, tuple(warnings), len(table.fit), table.hash())


def _law(name: ScaledHyperparameter, form: Form, cells: Sequence[TunedCell]) -> PowerLaw | None:
    known = [(cell, *best) for cell in cells if (best := cell.best(name)) is not None]
    if not known:
        return None
    inputs = np.array([[getattr(cell, column) for column in form.inputs] for cell, _, _ in known])
    value, error = np.array([(value, error or 0.0) for _, value, error in known]).T
    return fit_power_law(form, inputs, value, error)


def _place(cell: TunedCell) -> str:
    corpus = f" on {cell.corpus}" if cell.corpus else ""
    return f"{cell.params:.3g} params, {cell.tokens:.3g} tokens{corpus}"


def _failed(cells: Sequence[TunedCell]) -> Iterator[Diagnostic]:
    if failed := sum(cell.failed for cell in cells):
        yield Diagnostic(
            "diverged-rows",
            f"{failed} runs lost half as much again as the best of their size and length: have they diverged? they "
            "count as values tried, and no surface is fitted to them",
        )


def _not_bracketed(cells: Sequence[TunedCell]) -> Iterator[Diagnostic]:
    if left_out := _reasons(cells, JOINT):
        tuned = sum(any(cell.grid(name) for name in JOINT) for cell in cells)
        yield Diagnostic(
            "not-bracketed",
            f"{len(left_out)} of {tuned} sizes and lengths are left out of the laws, which lean towards what was tried "
            f"where these lie beyond it ({_listed(left_out)})",
        )
    if left_out := _reasons(cells, SEPARATE):
        yield Diagnostic("not-bracketed", f"not every best warm-up and weight decay is known ({_listed(left_out)})")


def _reasons(cells: Sequence[TunedCell], names: Sequence[Hyperparameter]) -> list[str]:
    """Why grids over these hyperparameters give no optimum, each with its cell."""
    return [
        f"{_place(cell)}: {grid.reason}"
        for cell in cells
        for grid in cell.grids
        if grid.reason is not None and grid.names[0] in names
    ]


def _listed(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - _LISTED} more" if len(reasons) > _LISTED else ""
    return "; ".join(reasons[:_LISTED]) + more


def _law_warnings(laws: Mapping[ScaledHyperparameter, Mapping[str, PowerLaw]]) -> Iterator[Diagnostic]:
    for name, fitted in laws.items():
        if "step" not in fitted:
            continue
        law = fitted["step"]
        if law.points < 2 * len(law.form.names):
            few = f"{law.points} sizes and lengths for the {len(law.form.names)} constants of {law.form.formula}"
            yield Diagnostic("few-runs", f"{few}: expect little")
        if law.collinear:
            hidden = [each for each, known in zip(law.form.inputs, law.known[1:].tolist(), strict=True) if not known]
            if len(hidden) == 1:
                message = f"{hidden[0]} hardly vary: the best {name} is known at these only; tune at others"
            else:
                message = (
                    f"{' and '.join(hidden)} move together: the best {name} is known along their common line only, and "
                    "not what it owes to each; tune sizes and lengths off that line"
                )
            yield Diagnostic("collinear", message)

"""Laws of the best learning rate and batch: how they follow parameters N, tokens D or training FLOPs C.

    step (2503.04715)        lr = c N^a D^b        batch tokens = d D^e
    deepseek (2401.02954)    lr = c C^a            batch tokens = d C^b

They are power laws (:mod:`analysis.fitting.power_law`) through the optima of the sizes and lengths that were tuned
(:mod:`analysis.tuning.grid`).

Of Step Law's own grid they are the paper's (lr = 1.79 N^-0.713 D^0.307, batch = 0.58 D^0.571) in part: a, d and e lie
in their 90 % intervals, but b is 0.22 +- 0.03 and c, which goes with it, 70 (8 to 640); at the sizes and lengths of
the grid the rate is 0.80 to 1.15 times the paper's, and loses next to nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.diagnostics.checks import of_table
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.fitting.power_law import Form, PowerLaw, fit_power_law
from analysis.runs.table import RunTable
from analysis.tuning.grid import JOINT, SEPARATE, Hyperparameter, TunedCell, tuned_cells

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

_TOLD = ("diverged-rows", "pooled-corpora", "tokenizer-mismatch")
_LISTED = 6


@dataclass(frozen=True)
class Tuning:
    """What a table tells about the best hyperparameters.

    Attributes:
        laws: by knob and form; without those whose knob was varied in too few cells, and so none of a table that only
            tunes warm-up or weight decay.
        cells: from the cheapest.
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
        """The best learning rate by Step Law's form, and its standard error; InputError without such a law."""
        return self._step("lr").predict(params, tokens)

    def batch(self, tokens: float) -> tuple[float, float | None]:
        """The best batch in tokens by Step Law's form, and its standard error; InputError without such a law."""
        return self._step("batch_tokens").predict(tokens)

    def _step(self, knob: ScaledHyperparameter) -> PowerLaw:
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

    Of warm-up and weight decay, where they were varied, each cell has the best value; there is no law of them.

    Raises:
        InputError: if nothing was varied, or learning rate and batch alone and no law can be fitted; one line.
    """
    cells = tuned_cells(table)
    laws: dict[ScaledHyperparameter, dict[str, PowerLaw]] = {
        knob: {name: law for name, form in forms.items() if (law := _law(knob, form, cells)) is not None}
        for knob, forms in FORMS.items()
    }
    if not any(laws.values()) and not any(cell.surface(knob) for cell in cells for knob in SEPARATE):
        known = sum(cell.fault is None for cell in cells)
        reasons = "".join(f"; {warning.message}" for warning in _not_bracketed(cells))
        raise InputError(f"{table.source}: a law needs optima at two different FLOPs, and there are {known}{reasons}")
    warnings = [warning for warning in of_table(table) if warning.code in _TOLD]
    warnings += [*_failed(cells), *_not_bracketed(cells), *_of_laws(laws)]
    return Tuning(laws, cells, tuple(warnings), len(table.fit), table.hash())


def _law(knob: ScaledHyperparameter, form: Form, cells: Sequence[TunedCell]) -> PowerLaw | None:
    known = [(cell, *best) for cell in cells if (best := cell.best(knob)) is not None]
    if not known:
        return None
    inputs = np.array([[getattr(cell, name) for name in form.inputs] for cell, _, _ in known])
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
    if left := _faults(cells, JOINT):
        tuned = sum(any(cell.surface(knob) for knob in JOINT) for cell in cells)
        yield Diagnostic(
            "not-bracketed",
            f"{len(left)} of {tuned} sizes and lengths are left out of the laws, which lean towards what was tried "
            f"where these lie beyond it ({_listed(left)})",
        )
    if left := _faults(cells, SEPARATE):
        yield Diagnostic("not-bracketed", f"not every best warm-up and weight decay is known ({_listed(left)})")


def _faults(cells: Sequence[TunedCell], knobs: Sequence[Hyperparameter]) -> list[str]:
    return [
        f"{_place(cell)}: {surface.fault}"
        for cell in cells
        for surface in cell.surfaces
        if surface.fault is not None and surface.knobs[0] in knobs
    ]


def _listed(faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return "; ".join(faults[:_LISTED]) + more


def _of_laws(laws: Mapping[ScaledHyperparameter, Mapping[str, PowerLaw]]) -> Iterator[Diagnostic]:
    for knob, of in laws.items():
        if "step" not in of:
            continue
        law = of["step"]
        if law.points < 2 * len(law.form.names):
            told = f"{law.points} sizes and lengths for the {len(law.form.names)} constants of {law.form.formula}"
            yield Diagnostic("few-runs", f"{told}: expect little")
        if law.collinear:
            hidden = [name for name, known in zip(law.form.inputs, law.known[1:].tolist(), strict=True) if not known]
            if len(hidden) == 1:
                told = f"{hidden[0]} hardly vary: the best {knob} is known at these only; tune at others"
            else:
                told = (
                    f"{' and '.join(hidden)} move together: the best {knob} is known along their common line only, and "
                    "not what it owes to each; tune sizes and lengths off that line"
                )
            yield Diagnostic("collinear", told)

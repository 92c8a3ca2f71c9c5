"""Contenders: each a table of runs, or the rows of one table that share a value of a column."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from analysis.comparing.differences.cells import Cells, cells_of
from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.formatting import format_power, listed
from analysis.runs.filter import closest, quoted_name, select
from analysis.runs.groups import SAME_BUDGET
from analysis.runs.table import RunTable

YARDSTICK = "held_out_sha256"
_FEWEST_CELLS = 2


@dataclass(frozen=True)
class Contender:
    """A contender: its name and its runs.

    Attributes:
        name: in results.
        table: of its runs.
        part: a filter of the rows that are its own, of a table that several share; else None.
    """

    name: str
    table: RunTable
    part: str | None = None

    @cached_property
    def _cells(self) -> tuple[Cells, bool]:
        return cells_of(self.table.fit)

    @property
    def cells(self) -> Cells:
        """Its finished runs to fit by size and length, each at the best setting there."""
        return self._cells[0]

    @property
    def tuned(self) -> bool:
        """Whether the best of several settings was taken somewhere."""
        return self._cells[1]

    @cached_property
    def seconds_per_flop(self) -> pd.Series | None:
        """Seconds per FLOP of each run by its parameters; None where the table has no ``wall_s``."""
        return _per_flop(self.table.fit, "wall_s")

    @cached_property
    def price_per_flop(self) -> pd.Series | None:
        """Money per FLOP of each run by its parameters; None where the table has no ``usd``."""
        return _per_flop(self.table.fit, "usd")


def contenders_by(table: RunTable, by: str) -> list[Contender]:
    """The contenders that a column of one table tells apart.

    Args:
        table: read with the column.
        by: the column.

    Raises:
        InputError: no such column, or one value alone.
    """
    if by not in table.frame:
        known = [str(name) for name in table.frame.columns]
        raise InputError(f"{table.source}: no column {by!r}{closest(by, known)}; there are {', '.join(known)}")
    rows = table.fit
    values = sorted(rows[by].dropna().unique().tolist(), key=_order)
    if len(values) < 2:
        found = f"is {values[0]!r} in every row to fit" if values else "is empty in every row to fit"
        raise InputError(f"{table.source}: column {by!r} {found}: two values or more are compared")
    parts = {_text(value): f"{quoted_name(by)} == {value!r}" for value in values}
    return [Contender(name, part_of(table, part), part) for name, part in parts.items()]


def part_of(table: RunTable, part: str | None) -> RunTable:
    """The rows of a table that are one contender's own, targets among them; all of them without a filter."""
    if part is None:
        return table
    return dataclasses.replace(table, frame=table.frame[select(table.frame, part)])


def check_contenders(contenders: Sequence[Contender], budgets: bool = True) -> tuple[Diagnostic, ...]:
    """Refuses contenders without common ground, and warns of what may mislead.

    Args:
        contenders: two or more.
        budgets: whether every contender must have runs at several budgets, and every two at some of the same.

    Raises:
        InputError: one line per reason: other units, other held-out sets, no budgets in common, too few cells.
    """
    names = [each.name for each in contenders]
    errors: list[str] = []
    if len(names) < 2:
        errors.append("two contenders or more are compared")
    errors += [f"two contenders are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})]
    if errors:
        raise InputError(errors)
    for each in contenders:
        if budgets and each.table.unfit is None and len(each.cells) < _FEWEST_CELLS:
            errors.append(
                f"{each.name}: its finished runs are of one size and length; two or more show what compute does"
            )
        elif each.table.unfit is not None:
            errors.append(f"{each.name}: {each.table.unfit}")
    if errors:
        raise InputError(errors)
    for first, second in combinations(contenders, 2):
        errors += _other_losses(first, second)
        errors += _no_common_budget(first, second) if budgets else []
    if errors:
        raise InputError(errors)
    return tuple(_warnings(contenders))


def _other_losses(first: Contender, second: Contender) -> list[str]:
    """Why two contenders' losses do not compare, if they do not."""
    both = f"{first.name} and {second.name}"
    errors = []
    if first.table.unit != second.table.unit:
        errors.append(
            f"{both}: losses of {first.table.unit} and of {second.table.unit} do not compare; choose one of both "
            "with `columns` loss=COLUMN"
        )
    ours, theirs = _texts(first, "tokenizer"), _texts(second, "tokenizer")
    if ours and theirs and ours != theirs and "byte" not in first.table.unit:
        errors.append(
            f"{both}: tokenizers {listed(ours)} and {listed(theirs)}: a loss per token means something else for each; "
            "compare bits per byte: `columns` loss=bits_per_byte"
        )
    ours, theirs = _texts(first, YARDSTICK), _texts(second, YARDSTICK)
    if ours and theirs and ours != theirs and not _named_set(first) and not _named_set(second):
        common = [name for name in _named_losses(first) if name in _named_losses(second)]
        instead = (
            f"choose a loss on the same text with `columns` loss={common[0]}"
            if common
            else "no loss on the same text is in both: `evaluate` in a sweep file measures one"
        )
        errors.append(f"{both}: losses on different held-out texts do not compare; {instead}")
    return errors


def _no_common_budget(first: Contender, second: Contender) -> list[str]:
    a, b = first.cells.inputs.c, second.cells.inputs.c
    if max(a.min(), b.min()) <= min(a.max(), b.max()) + float(np.log(SAME_BUDGET)):
        return []
    spans = [f"{format_power(float(np.exp(c.min())))} to {format_power(float(np.exp(c.max())))}" for c in (a, b)]
    return [
        f"{first.name} and {second.name}: no budget in common: runs of {spans[0]} and of {spans[1]} FLOPs; train "
        "either at the other's"
    ]


def _warnings(contenders: Sequence[Contender]) -> list[Diagnostic]:
    found = []
    if tuned := [each.name for each in contenders if each.tuned]:
        found.append(
            Diagnostic(
                "best-of-cell",
                f"{listed(tuned)}: of several settings at one size and length the best is compared: the more were "
                "tried, the luckier it is",
            )
        )
    corpora = {each.name: tuple(_texts(each, "corpus")) for each in contenders}
    unknown = [each.name for each in contenders if not _texts(each, YARDSTICK)]
    named = any(_named_set(each) for each in contenders)
    if len(set(corpora.values())) > 1 and unknown and not named:
        found.append(
            Diagnostic(
                "other-yardstick",
                "contenders of different corpora: the table does not say that their losses are on the same held-out "
                "text; unless they are, the difference is that of the texts",
            )
        )
    if several := [name for name, texts in corpora.items() if len(texts) > 1]:
        found.append(
            Diagnostic("pooled-corpora", f"{listed(several)}: runs on several corpora are taken for one contender's")
        )
    return found


def _texts(contender: Contender, column: str) -> list[str]:
    rows = contender.table.fit
    return sorted(map(str, rows[column].dropna().unique())) if column in rows else []


def _named_set(contender: Contender) -> bool:
    """Whether the loss is that on a named set, which is the same text by its name."""
    own: Mapping[str, str] = contender.table.columns or {}
    return own.get("loss", "loss").startswith(("loss_", "bits_per_byte_"))


def _named_losses(contender: Contender) -> list[str]:
    return sorted(
        str(name)
        for name in contender.table.frame.columns
        if str(name).startswith("loss_") and not str(name).startswith("loss_stderr") and "_stderr" not in str(name)
    )


def _per_flop(rows: pd.DataFrame, column: str) -> pd.Series | None:
    if column not in rows or not (rows[column] > 0).any():
        return None
    rows = rows[rows[column] > 0]
    return (rows[column] / rows["flops"]).groupby(rows["params"]).median()


def _order(value: object) -> tuple[bool, object]:
    return isinstance(value, str), value


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)

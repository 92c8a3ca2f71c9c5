"""Checks of the rows that a fit or a score uses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.schema import NUMBERS, REQUIRED, TEXTS
from analysis.runs.stages import FINE_TUNING, stages_of

_NEEDED = (*REQUIRED, "flops")
_PLAIN = ("loss", "loss_stderr", "bits_per_byte")
# Columns that no computation reads as numbers: whatever their cells say tells recipes apart.
_LABELS = frozenset(["width", "depth", "heads", "kv_heads", "ffn"])
# Beyond any count or loss, and far enough from the largest float for products of such numbers.
_LARGEST = 1e60
_MOST_ERRORS = 20


@dataclass(frozen=True)
class ReadNumbers:
    """A frame with the schema's names, whose columns of numbers are in float64.

    Attributes:
        frame: its index is each row's place in the source.
        unread: cells that are no numbers, as they are written, by column.
        extra: further columns of numbers, which the user named.
    """

    frame: pd.DataFrame
    unread: Mapping[str, pd.Series]
    extra: Sequence[str]


def as_numbers(frame: pd.DataFrame, extra: Sequence[str]) -> ReadNumbers:
    """Reads the schema's columns of numbers, and those of ``extra``; a cell that is no number becomes NaN."""
    frame = frame.copy(deep=False)
    unread = {}
    for name in [c for c in dict.fromkeys((*NUMBERS, *extra)) if c in frame]:
        values, wrong = numbers_in(frame[name], plain=name in _PLAIN)
        if wrong.any():
            unread[name] = frame[name][wrong]
        if not (wrong.any() and name in _LABELS):
            frame[name] = values
    return ReadNumbers(frame, unread, extra)


def check_used(read: ReadNumbers, source: str, used: Bool[np.ndarray, " rows"]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """A checked frame, texts as text, and a sentence on each column that is left out as no fit needs it.

    Args:
        read: the frame.
        source: for messages.
        used: the rows that a fit or a score uses, which alone are checked; of these, those with a finite loss.

    Raises:
        InputError: one line per error, with row and column.
    """
    frame, errors, notes = read.frame, [], []
    loss = frame["loss"]
    # NaN, infinite or empty: the run has failed, which is no error of the table.
    used = used & (np.isfinite(loss) | loss.index.isin(_unread(read, "loss").index)).to_numpy(bool)
    for name in [c for c in dict.fromkeys((*NUMBERS, *read.extra)) if c in frame]:
        cells = _unread(read, name)
        cells = cells[cells.index.isin(frame.index[used])]
        if name in _NEEDED or name in read.extra:
            errors += [
                f"{source}:{row}: column {name!r}: {_shown(cell)} is not a number" for row, cell in cells.items()
            ]
        elif len(cells) and name not in _LABELS:
            frame = frame.drop(columns=name)
            notes.append(
                f"column {name!r} is not used: {_shown(cells.iloc[0])} in row {cells.index[0]} is not a number"
            )
        if name in _NEEDED:
            errors += _outside(
                frame[name], used & ~frame.index.isin(cells.index), f"column {name!r}", source, _start(name, frame)
            )
    if errors:
        hidden = len(errors) - _MOST_ERRORS
        raise InputError(errors[:_MOST_ERRORS] + ([f"{source}: {hidden} more errors"] if hidden > 0 else []))
    for name in [c for c in (*TEXTS, *_LABELS) if c in frame]:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            frame[name] = frame[name].astype("str")  # whatever a JSON or Parquet cell holds
    return frame, tuple(notes)


def _unread(read: ReadNumbers, name: str) -> pd.Series:
    return read.unread.get(name, pd.Series(dtype=object))


def _start(name: str, frame: pd.DataFrame) -> str:
    """What a zero means in this column of a table, to end a line with."""
    if name == "tokens" and set(stages_of(frame)) & set(FINE_TUNING):
        return ': a row of the start, before its fine-tuning; leave it out with `where` "tokens > 0"'
    return ""


def _outside(values: pd.Series, used: Bool[np.ndarray, " rows"], column: str, source: str, zero: str) -> Iterator[str]:
    """A line on each used value that is not positive or is too large; ``zero`` ends those on zeros."""
    with np.errstate(invalid="ignore"):
        bad = used & ~values.between(1 / _LARGEST, _LARGEST).to_numpy()
    for row, value in values[bad].items():
        limits = f" between {1 / _LARGEST:g} and {_LARGEST:g}" if 0 < value < np.inf else ""
        yield f"{source}:{row}: {column}: {value} is not a positive number{limits}{'' if value else zero}"


def _shown(cell: object) -> str:
    text = repr(str(cell))
    return text if len(text) <= 40 else f"{text[:36]}...{text[0]}"

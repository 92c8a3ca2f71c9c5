"""Checks of the rows that a fit or a score uses."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError
from analysis.runs.schema import NUMBERS, REQUIRED, TEXTS

_POSITIVE = (*REQUIRED, "flops")
# Beyond any count or loss, and far enough from the largest float for products of such numbers.
_LARGEST = 1e60
_MOST_ERRORS = 20
NO_LOSS = "no loss"
"""Status of a row that would be used, but whose loss is NaN, infinite or missing."""


def checked(frame: pd.DataFrame, source: str, used: Bool[np.ndarray, " rows"], extra: Sequence[str]) -> pd.DataFrame:
    """A checked frame: the schema's names, numbers in float64 and texts as text.

    Used rows without a finite loss get the status ``NO_LOSS``.

    Args:
        frame: its index is each row's place in the source.
        source: for messages.
        used: the rows that a fit or a score uses, which alone are checked.
        extra: further columns of numbers.

    Raises:
        InputError: one line per error, with row and column.
    """
    frame = frame.copy(deep=False)
    errors: list[str] = []
    lossless = np.zeros(len(frame), bool)
    for name in [c for c in dict.fromkeys((*NUMBERS, *extra)) if c in frame]:
        values, texts = _numbers(frame[name], used)
        errors += [f"{source}:{row}: column {name!r}: {_shown(text)} is not a number" for row, text in texts.items()]
        frame[name] = values
        if name == "loss":  # NaN, infinite or empty: the run has failed, which is no error of the table
            lossless = used & ~np.isfinite(values.to_numpy()) & ~frame.index.isin(texts.index)
            used = used & ~lossless
        if name in _POSITIVE:
            errors += _outside(values, used & ~frame.index.isin(texts.index), f"column {name!r}", source)
    if errors:
        hidden = len(errors) - _MOST_ERRORS
        raise InputError(errors[:_MOST_ERRORS] + ([f"{source}: {hidden} more errors"] if hidden > 0 else []))
    if lossless.any():
        given = frame["status"] if "status" in frame else pd.Series("done", frame.index)
        frame["status"] = given.astype(object).where(~lossless, NO_LOSS)  # Parquet may hold it as categories
    for name in [c for c in TEXTS if c in frame]:
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            frame[name] = frame[name].astype("str")  # whatever a JSON or Parquet cell holds
    return frame


def _numbers(values: pd.Series, used: Bool[np.ndarray, " rows"]) -> tuple[pd.Series, pd.Series]:
    """A column in float64, and those of its used cells that are no numbers, as they are written."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("float64"), values[:0]
    # Through text: what pandas would convert includes dates and truth values.
    numbers = pd.to_numeric(values.astype("str"), errors="coerce").astype("float64")
    return numbers, values[used & (numbers.isna() & values.notna()).to_numpy()]


def _outside(values: pd.Series, used: Bool[np.ndarray, " rows"], column: str, source: str) -> Iterator[str]:
    """A line on each used value that is not positive or is too large."""
    with np.errstate(invalid="ignore"):
        bad = used & ~values.between(1 / _LARGEST, _LARGEST).to_numpy()
    for row, value in values[bad].items():
        limits = f" between {1 / _LARGEST:g} and {_LARGEST:g}" if 0 < value < np.inf else ""
        yield f"{source}:{row}: {column}: {value} is not a positive number{limits}"


def _shown(cell: object) -> str:
    text = repr(str(cell))
    return text if len(text) <= 40 else f"{text[:36]}...{text[0]}"

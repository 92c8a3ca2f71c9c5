"""Frames of a file's columns, for all formats."""

from collections.abc import Sequence
from typing import Any

import pandas as pd


def framed(table: Any, known: list[str], first: int) -> pd.DataFrame:
    """Frame of an arrow table; text that is not UTF-8 is decoded with replacement characters.

    Args:
        table: of the columns that were read.
        known: every column of the file, stored in ``attrs["known"]``.
        first: number of the first row, for the index.
    """
    table.validate(full=True)  # damaged text would only be found when it is used
    # pandas' own metadata could make a column the index; arrow's copy of a column goes once pandas has its own.
    frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    for name in [c for c in frame.columns if pd.api.types.is_object_dtype(frame[c].dtype)]:
        frame[name] = frame[name].map(lambda v: v.decode(errors="replace") if isinstance(v, bytes) else v)
    frame.attrs["known"] = known
    frame.index += first
    return frame


def chosen(known: Sequence[str], wanted: set[str] | None) -> list[str]:
    """Columns to read: all, or the wanted ones, each once."""
    return list(dict.fromkeys(name for name in known if wanted is None or name.lower() in wanted))

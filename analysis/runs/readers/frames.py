"""Frames of a file's columns, for all formats."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from analysis.runs.recognition.spelling import normalised, without_unit


def framed(table: Any, known: list[str], first: int) -> pd.DataFrame:
    """Frame of an arrow table; text that is not UTF-8 is decoded with replacement characters.

    Args:
        table: of the columns that were read.
        known: every column of the file, stored in ``attrs["known"]``; blanks around a name do not belong to it.
        first: number of the first row, for the index.
    """
    table.validate(full=True)  # damaged text would only be found when it is used
    # pandas' own metadata could make a column the index; arrow's copy of a column goes once pandas has its own.
    frame = table.to_pandas(ignore_metadata=True, split_blocks=True, self_destruct=True)
    frame = decoded(frame)
    names = [str(name).strip().removeprefix("\ufeff") for name in known]
    frame.columns = pd.Index([dict(zip(known, names, strict=True))[name] for name in frame.columns])
    frame.attrs["known"] = names
    frame.index += first
    return frame


def decoded(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose cells of bytes are text."""
    made = frame.copy(deep=False)
    for place, dtype in enumerate(frame.dtypes):
        if pd.api.types.is_object_dtype(dtype):
            cells = frame.iloc[:, place].map(lambda v: v.decode(errors="replace") if isinstance(v, bytes) else v)
            made.isetitem(place, cells.array)
    return made


def chosen(known: Sequence[str], wanted: set[str] | None) -> list[str]:
    """Columns to read: all, or those whose spelling, or that without a unit, is wanted; each once."""
    return list(dict.fromkeys(name for name in known if wanted is None or is_wanted(name, wanted)))


def is_wanted(name: str, wanted: set[str]) -> bool:
    """Whether a column's spelling, or that without a unit, is wanted."""
    spelling = normalised(name)
    return spelling in wanted or without_unit(spelling)[0] in wanted

"""Excel's workbooks, with openpyxl: the sheet that holds a table of runs."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

import pandas as pd

from analysis.errors import InputError
from analysis.runs.readers.frames import chosen
from analysis.runs.readers.opened import Opened
from analysis.runs.recognition.spelling import is_known
from analysis.runs.schema import REQUIRED

_TITLE_ROWS = 30  # a header is looked for in the first rows: above it may stand a title
_Cells = Sequence[Any]


class _Table(NamedTuple):
    """A sheet's table: its name, how many names of its header are known, the header's row, and the rows from it on."""

    sheet: str
    known: int
    row: int
    rows: list[_Cells]


def read_excel(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a workbook's table; the index is the sheet's row. Of formulas, the values that Excel last kept.

    Raises:
        InputError: if openpyxl is not installed, no sheet holds a table, or several hold one of runs.
    """
    try:
        import openpyxl
    except ImportError:
        raise InputError(f'{source.path} needs: pip install "scaling-law-toolkit[excel]"') from None
    try:
        with source.open() as file:
            book = openpyxl.load_workbook(file, read_only=True, data_only=True)
            tables = [table for sheet in book.worksheets if (table := _table(sheet)) is not None]
            book.close()
    # openpyxl raises what zip, XML and its own parts raise for damaged content.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{source.path}: not a readable workbook of Excel ({reason[:200]})") from None
    return _framed(_only(tables, source), wanted)


def _only(tables: list[_Table], source: Opened) -> _Table:
    if not tables:
        raise InputError(f"{source.path}: no sheet holds a table: names of columns, and rows below them")
    most = max(table.known for table in tables)
    best = [table for table in tables if table.known == most]
    if len(best) > 1 and most >= len(REQUIRED):
        names = ", ".join(repr(table.sheet) for table in best[:6])
        raise InputError(f"{source.path}: several sheets hold a table of runs ({names}); keep one in a file of its own")
    return best[0]


def _table(sheet: Any) -> _Table | None:
    """A sheet's table; None if it has none."""
    sheet.reset_dimensions()  # what other programs write there may be wrong
    rows = sheet.iter_rows(values_only=True)
    first = list(islice(rows, _TITLE_ROWS))
    known = [sum(is_known(cell) for cell in row) for row in first]
    named = [sum(isinstance(cell, str) and bool(cell.strip()) for cell in row) for row in first]
    if not first or max(named) < 2:
        return None
    header = known.index(max(known)) if max(known) >= 2 else next(at for at, count in enumerate(named) if count >= 2)
    table = [*first[header:], *rows]
    return _Table(sheet.title, known[header], header + 1, table) if any(map(_filled, table[1:])) else None


def _filled(row: _Cells) -> bool:
    return any(cell is not None and str(cell).strip() for cell in row)


def _framed(table: _Table, wanted: set[str] | None) -> pd.DataFrame:
    header = ["" if cell is None else str(cell).strip() for cell in table.rows[0]]
    places = [place for place, name in enumerate(header) if name]
    kept = [(number, row) for number, row in enumerate(table.rows[1:], table.row + 1) if _filled(row)]
    known = [header[place] for place in places]
    read = set(chosen(known, wanted))
    index = [number for number, _ in kept]
    columns = [
        pd.Series(
            [row[place] if place < len(row) else None for _, row in kept], index, name=header[place]
        ).infer_objects()
        for place in places
        if header[place] in read
    ]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=index)
    frame.attrs["known"] = known
    return frame

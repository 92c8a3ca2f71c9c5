"""Checks of shares and losses, row by row. Each error begins with the row's place in its source."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from analysis.errors import InputError
from analysis.mixing.reading.patterns import Found
from analysis.runs.recognition.numbers import numbers_in

_MOST_ERRORS = 10
_PERCENT = 100.0
_OFF = 0.02  # by which shares that were rounded may miss their sum
_DIGITS = 12


def numbers_of(rows: pd.DataFrame, found: Found) -> tuple[Float[np.ndarray, "rows names"], list[str]]:
    """The columns as numbers, NaN where a cell is empty or none, and an error for each that is none."""
    values, errors = np.empty((len(rows), len(found.columns))), []
    for place, column in enumerate(found.columns.values()):
        numbers, unread = numbers_in(rows[column])
        values[:, place] = numbers
        errors += [f"{row}: {column}: {str(cell)[:40]!r} is not a number" for row, cell in rows[column][unread].items()]
    return values, errors


def shares_of(rows: pd.DataFrame, found: Found) -> tuple[Float[np.ndarray, "rows sources"], list[str]]:
    """The shares of each row, which sum to 1, and the errors: cells missing or negative, sums other than 1 or 100."""
    values, errors = numbers_of(rows, found)
    if errors:
        return values, errors
    columns, places = list(found.columns.values()), list(rows.index)
    total = values.sum(axis=1)
    # Rows tell together whether they are in percent: one alone may sum to anything.
    given = total[np.isfinite(total)]
    unit = _PERCENT if len(given) and float(np.median(given)) > _PERCENT / 2 else 1.0
    for row, column in np.argwhere(~((values >= 0) & (values < np.inf))):
        cell = values[row, column]
        why = "missing: write 0 where a run has none of it" if np.isnan(cell) else f"{cell:g}, which is no share"
        errors.append(f"{places[row]}: {columns[column]} is {why}")
    errors += [
        f"{places[row]}: the shares {found.pattern} sum to {total[row]:.4g}, not to {unit:g}"
        for row in np.flatnonzero(abs(total / unit - 1) > _OFF)
        if (values[row] >= 0).all() and total[row] < np.inf
    ]
    if errors:
        return values, errors
    # Rounded, so that a table in percent gives the very mixtures of one in shares.
    return np.round(values / total[:, None], _DIGITS), []


def losses_of(rows: pd.DataFrame, found: Found) -> tuple[Float[np.ndarray, "rows domains"], list[str]]:
    """The losses of each row, and the errors: cells missing or not positive."""
    values, errors = numbers_of(rows, found)
    if errors:
        return values, errors
    columns, places = list(found.columns.values()), list(rows.index)
    for row, column in np.argwhere(~((values > 0) & (values < np.inf))):
        cell = values[row, column]
        why = "missing, which other runs have" if np.isnan(cell) else f"{cell:g}: a loss is positive"
        errors.append(f"{places[row]}: {columns[column]} is {why}")
    return values, errors


def check_text(rows: pd.DataFrame, columns: Mapping[str, str], source: str) -> dict[str, str]:
    """The hash of the text of each domain's losses.

    Args:
        rows: all runs in use.
        columns: the table's column of hashes by domain.
        source: of the rows.

    Raises:
        InputError: one line per domain whose losses are on several texts; losses per token of several tokenizers.
    """
    found, errors = {}, []
    for domain, column in columns.items():
        values = rows[column].dropna().astype("str")
        other = (values != values.iloc[0]) if len(values) else values
        if other.any():
            errors.append(
                f"{source}:{other.idxmax()}: {column} is another one than in row {values.index[0]}: losses on "
                "different held-out texts do not compare"
            )
        elif len(values):
            found[domain] = str(values.iloc[0])
    names = sorted(rows["tokenizer"].dropna().astype("str").unique()) if "tokenizer" in rows else []
    if len(names) > 1:
        errors.append(
            f"{source}: runs of tokenizers {', '.join(names[:4])}: a loss per token means something else for each; "
            f'choose one with `where` "tokenizer == {names[0]!r}"'
        )
    if errors:
        raise InputError(errors)
    return found


def refuse(errors: Sequence[str], source: str) -> None:
    """Raises the first ten of some errors, and how many more there are.

    Raises:
        InputError: if there is one.
    """
    if errors:
        raise InputError(_first(errors, source))


def _first(errors: Sequence[str], source: str) -> Iterator[str]:
    yield from (f"{source}:{line}" for line in errors[:_MOST_ERRORS])
    if len(errors) > _MOST_ERRORS:
        yield f"{source}: and {len(errors) - _MOST_ERRORS} more errors"

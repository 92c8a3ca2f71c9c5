"""The options by which every command of ``analysis`` reads a table of runs."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from scaling.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


def table_options(function: F) -> F:
    """Adds ``--where`` and ``--columns``."""
    function = click.option(
        "--where",
        metavar="EXPR",
        help="Fit only rows that meet this: comparisons joined by and, or, not, in.  [default: all rows]",
    )(function)
    return click.option(
        "--columns",
        metavar="NAME=COLUMN,...",
        help="What the file calls a column, such as params=n_nonemb.  [default: the usual names]",
    )(function)


def parse_columns(text: str | None) -> dict[str, str] | None:
    """``params=N,tokens=D`` as a mapping.

    Raises:
        InputError: for a part without an equals sign.
    """
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    faults = [f"--columns: {name!r} is not NAME=COLUMN" for name, sign, own in pairs if not (sign and own.strip())]
    if faults:
        raise InputError(faults)
    return {name.strip(): own.strip() for name, _, own in pairs}

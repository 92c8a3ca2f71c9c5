"""The options by which every command of ``analysis`` reads a table of runs."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from scaling.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])


def table_options(function: F) -> F:
    """Adds ``--where``, ``--columns`` and ``--best``."""
    function = click.option(
        "--best",
        is_flag=True,
        help="Fit only the best of each size and length: reduces a sweep over learning rates.  [default: all rows]",
    )(function)
    return column_options(function)


def column_options(function: F) -> F:
    """Adds ``--where`` and ``--columns``."""
    function = click.option(
        "--where",
        metavar="EXPR",
        help="Fit only rows that meet this: comparisons joined by and, or, not, in.  [default: all rows]",
    )(function)
    return click.option(
        "--columns",
        callback=lambda _context, _option, text: parse_columns(text),
        metavar="NAME=COLUMN,...",
        help="What the file calls a column, such as params=n_nonemb.  [default: the usual names]",
    )(function)


def refuse_options(names: Sequence[str], source: str, reason: str) -> None:
    """Refuses options that were given but could only be ignored.

    Args:
        names: of the command's parameters.
        source: the argument that they do not go with.
        reason: what it is, for the message.

    Raises:
        InputError: one line per option that was given.
    """
    context = click.get_current_context()
    given = [
        option.opts[-1]
        for option in context.command.params
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise InputError(f"{option}: does not apply to {source}, which is {reason}" for option in given)


def parse_columns(text: str | None) -> dict[str, str] | None:
    """``params=N,tokens=D`` as a mapping.

    Raises:
        InputError: for a part without an equals sign.
    """
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if wrong := [name for name, sign, own in pairs if not (sign and own.strip())]:
        raise InputError(f"--columns: {name!r} is not NAME=COLUMN" for name in wrong)
    return {name.strip(): own.strip() for name, _, own in pairs}

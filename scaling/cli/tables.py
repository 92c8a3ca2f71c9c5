"""The options by which every command of ``analysis`` reads a table of runs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from scaling.errors import InputError

# What lies between commas, of which those in backticks part nothing.
_PART = re.compile(r"(?:`(?:[^`]|``)*`|[^,`]|`)+")
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
        help="Fit only rows that meet this: comparisons joined by and, or, not, in; names that are no words stand in "
        "backticks.  [default: all rows]",
    )(function)
    return click.option(
        "--columns",
        multiple=True,
        callback=lambda _context, _option, given: parse_columns(given),
        metavar="NAME=COLUMN,...",
        help="What the file calls a column, such as params=n_nonemb or 'loss=`final, nats`'; or a YAML file of such "
        "names.  [default: the usual names]",
    )(function)


def with_loss(columns: Mapping[str, str] | None, loss: str | None) -> Mapping[str, str] | None:
    """The user's names of columns, with that of ``--loss`` for the loss.

    Raises:
        InputError: both name it.
    """
    if loss is None:
        return columns
    if columns and "loss" in columns:
        raise InputError("`loss`: `columns` names the loss already; leave out one of the two")
    return {**(columns or {}), "loss": loss}


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


def parse_columns(given: Sequence[str]) -> dict[str, str] | None:
    """``params=N,tokens=D`` and files of such names as one mapping; a name in backticks may hold any sign.

    Raises:
        InputError: one line for each part that is no NAME=COLUMN, and each name that is given twice.
    """
    found: dict[str, str] = {}
    errors = []
    for text in given:
        file = text.strip().endswith((".yaml", ".yml")) and "=" not in text
        for name, own in _pairs_of_file(text.strip()) if file else _pairs(text):
            if name in found:
                errors.append(f"--columns: {name!r} is given twice")
            elif own is None:
                errors.append(f"--columns: {name!r} is not NAME=COLUMN; a column with a comma stands in backticks")
            else:
                found[name] = own
    if errors:
        raise InputError(errors)
    return found or None


def _pairs(text: str) -> Iterator[tuple[str, str | None]]:
    """Each NAME=COLUMN of an option; None for the column of what is no such pair."""
    for part in _PART.findall(text):
        name, sign, own = part.partition("=")
        own = own.strip()
        if len(own) > 1 and own[0] == own[-1] == "`":
            own = own[1:-1].replace("``", "`")
        if part.strip():
            yield name.strip(), own if sign and own else None


def _pairs_of_file(path: str) -> Iterator[tuple[str, str | None]]:
    """Each name and column of a YAML file.

    Raises:
        InputError: as ``file:line:column: message``.
    """
    from scaling.sweep.spec.violations import lines_of, read_mapping
    from scaling.sweep.spec.yaml_locations import read_file

    _, items, violations = read_mapping(read_file(path, "file of columns"), path, "file of columns")
    pairs = {name: item.plain() for name, item in items.items()}
    violations += [
        (items[name].location, f"{name}: {own!r} is no name of a column")
        for name, own in pairs.items()
        if not isinstance(own, str)
    ]
    if violations:
        raise InputError(lines_of(violations))
    yield from ((name, str(own)) for name, own in pairs.items())

"""Values by the name of a source or a domain as arguments: ``code=30%,docs=70%``."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from scaling.errors import InputError
from scaling.quantity import parse_quantity

_EPOCHS = re.compile(r"\s*(epochs?|times|x)$", re.IGNORECASE)


class NamedValues(click.ParamType):
    """``NAME=NUMBER,...`` as a mapping; a unit of words after the number is left out."""

    name = "values"

    def __init__(self, unit: re.Pattern[str] | None = None) -> None:
        self._unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, float]:  # noqa: ARG002
        """The values by name.

        Raises:
            InputError: one line per part that is no NAME=NUMBER, and per name that is given twice.
        """
        if not isinstance(value, str):
            return value
        option = param.opts[0] if param is not None else "value"
        found: dict[str, float] = {}
        errors = []
        for part in filter(str.strip, value.split(",")):
            name, sign, number = (text.strip() for text in part.partition("="))
            try:
                amount = parse_quantity(self._unit.sub("", number) if self._unit else number)
            except ValueError as error:
                errors.append(
                    f"{option} {part.strip()}: {error}" if sign else f"{option} {part.strip()}: no NAME=NUMBER"
                )
                continue
            if not name:
                errors.append(f"{option} {part.strip()}: no NAME=NUMBER")
            elif name in found:
                errors.append(f"{option}: {name!r} is given twice")
            elif amount <= 0:
                errors.append(f"{option} {part.strip()}: {number} is not positive")
            found[name] = amount
        if errors or not found:
            raise InputError(errors or f"{option}: is empty; NAME=NUMBER,... is expected")
        return found


VALUES = NamedValues()
EPOCHS = NamedValues(_EPOCHS)


def pattern_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--mix`` and ``--losses``."""
    function = click.option(
        "--losses",
        metavar="PATTERN",
        help="Columns of the losses by domain, nats per token: a name with one asterisk for the domain.  [default: "
        "those that begin with loss_, or end with _loss]",
    )(function)
    return click.option(
        "--mix",
        metavar="PATTERN",
        help="Columns of the sources' shares: a name with one asterisk for the source.  [default: those that begin "
        "with mix_, or else p_, weight_, share_ or train_]",
    )(function)

"""What the commands share: the ``--json`` option, quantities as arguments, results and errors as text."""

import functools
import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from scaling.cli.folders import SWEEP_FOLDER
from scaling.errors import InputError
from scaling.quantity import parse_quantity

if TYPE_CHECKING:
    from analysis.result import Result

# How the command line calls the parameters of the front door that it does not call --name, with dashes.
_OPTIONS = {
    "output": "-o",
    "objective": "--for",
    "compile=False": "--no-compile",
}


class Quantity(click.ParamType):
    """A positive number as people write it: ``3e18``, ``15T``, ``40%``."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = parse_quantity(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if number <= 0:
            self.fail(f"{value!r} is not positive", param, ctx)
        return number


QUANTITY = Quantity()

json_option: Callable[..., Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object on stdout; progress goes to stderr."
)


def note(line: str) -> None:
    """Prints a line of progress on stderr."""
    click.echo(line, err=True)


def emit(result: "Result", as_json: bool) -> None:
    """Prints a command's result: the JSON object with ``--json``, the text otherwise; warnings go to stderr."""
    if as_json:
        click.echo(json.dumps(result.to_dict(), allow_nan=False))
        return
    click.echo(str(result))
    for warning in result.warnings:
        click.echo(f"warning: {warning.message} [{warning.code}]", err=True)


def emit_plain(content: dict[str, Any], as_json: bool, text: str | Callable[[], str]) -> None:
    """As :func:`emit`, for what has no function at the front door: the JSON object, and its text."""
    if as_json:
        click.echo(json.dumps(content, allow_nan=False))
        return
    click.echo(text() if callable(text) else text)
    for warning in content.get("warnings", ()):
        click.echo(f"warning: {warning['message']} [{warning['code']}]", err=True)


def collected(request: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command so that it takes one frozen request in place of an argument for each option."""
    names = [field.name for field in fields(request)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(**options: Any) -> None:
            made = request(**{name: options.pop(name) for name in names})
            command(made, **options)

        return called

    return decorate


def as_options(line: str) -> str:
    """A library's message, which names Python's parameters as `` `name` ``, in terms of the command's options."""
    return re.sub(
        r"`([a-z_]+(?:=False)?)`", lambda found: _OPTIONS.get(found[1]) or f"--{found[1].replace('_', '-')}", line
    )


def errors_of(error: Exception) -> tuple[str, ...] | None:
    """The lines that say what is wrong with the input; None if the error is a mistake in this program."""
    if isinstance(error, click.ClickException):
        return (error.format_message().replace("\n", " "),)
    if isinstance(error, InputError):
        return tuple(map(as_options, error.errors))
    if isinstance(error, OSError) and error.strerror is not None:  # a disk that is full, or not ours to write
        return (f"{error.filename}: {error.strerror}" if error.filename else error.strerror,)
    return None


def printable(text: str) -> str:
    """A text as one line, in which nothing moves a terminal's cursor or turns the direction of what follows."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def stoppable(command: Callable[..., None]) -> Callable[..., None]:
    """A command that trains: on SIGTERM or Ctrl-C it saves what it trains, and ends at once on the second."""

    @functools.wraps(command)
    def called(*args: Any, **kwargs: Any) -> None:
        from scaling.sweep.workers.local import kill_workers
        from scaling.train.stop import stopping_on_signals

        with stopping_on_signals(kill_workers):
            command(*args, **kwargs)

    return called


workers_option: Callable[..., Any] = click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="N",
    help="Processes that train at once.  [default: one per core, or one if there is an accelerator]",
)

out_option: Callable[..., Any] = click.option(
    "--out",
    type=SWEEP_FOLDER,
    metavar="DIR|URL",
    help="The sweep's folder, or one in shared storage: gs://, s3://, file:///.  [default: runs/<sweep name>]",
)

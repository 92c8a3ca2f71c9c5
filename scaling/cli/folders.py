"""Folders and tables as arguments: on the disk, or in shared storage by their URL."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from scaling.errors import InputError

_FILES = (".csv", ".parquet", ".jsonl", ".json")
# A name of a contender before its table; a path with a sign of equality has a separator before it.
_NAMED = re.compile(r"([^=/\\:]+)=(.+)", re.DOTALL)


class Place(click.Path):
    """A path; or the URL of a sweep's folder in shared storage, or of a table's file there, of which a copy is used.

    The copy of a folder is as new as the storage, is kept so while the command works, and what the command changes is
    stored.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, of the copy where a URL is given; InputError where that cannot be reached."""
        if isinstance(value, str) and "://" in value and ctx is not None:
            from scaling.sweep.storage.mirror import fetched, shared

            if value.startswith("memory:"):
                raise InputError(f"{value}: memory:// lives in one process, and a command has several")
            is_file = value.endswith(_FILES)
            value = str(fetched(value) if is_file else ctx.with_resource(shared(value)))
        return super().convert(value, param, ctx)


SWEEP_FOLDER = Place(file_okay=False, path_type=Path)
TABLE = Place(path_type=str)


class NamedTable(click.ParamType):
    """A table, or NAME=TABLE: the name, or None, and its path."""

    name = "table"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str | None, str]:
        """The name and the path, of a copy where a URL is given."""
        if isinstance(value, tuple):
            return value
        named = _NAMED.fullmatch(value)
        if named is None or Path(value).exists():
            return None, str(TABLE.convert(value, param, ctx))
        return named[1].strip(), str(TABLE.convert(named[2], param, ctx))


CONTENDERS = NamedTable()


def named_tables(given: Sequence[tuple[str | None, str]]) -> list[str | Mapping[str, str]]:
    """What the front door takes for some tables, those with a name as mappings.

    Raises:
        InputError: a name that is given twice.
    """
    names = [name for name, _ in given if name is not None]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two contenders are called {name!r}" for name in repeated)
    return [table if name is None else {name: table} for name, table in given]


def one_table(given: Sequence[tuple[str | None, str]], beside: str | None = None) -> str:
    """The one table of a command that takes several for contenders alone.

    Args:
        given: the tables.
        beside: the file that the command reads first, if any.

    Raises:
        InputError: that file is not there.
        UsageError: no table, or several.
    """
    if not given:
        if beside is not None and not Path(beside).exists():
            raise InputError(f"{beside}: no such file")
        raise click.UsageError("Missing argument 'TABLE'.")
    if len(given) > 1 or given[0][0] is not None:
        extra = " ".join(table if name is None else f"{name}={table}" for name, table in given[1:] or given)
        raise click.UsageError(f"one TABLE is expected, of runs; several are those of contenders: {extra}")
    return given[0][1]

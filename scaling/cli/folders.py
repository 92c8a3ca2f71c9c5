"""Folders and tables as arguments: on the disk, or in shared storage by their URL."""

from pathlib import Path
from typing import Any

import click

from scaling.errors import InputError

_FILES = (".csv", ".parquet", ".jsonl", ".json")


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

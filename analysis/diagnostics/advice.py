"""Options that a warning advises, as one types them in a shell."""

import json
import shlex

from analysis.runs.filter import quoted_name


def where_option(column: str, value: object) -> str:
    """The option that keeps the rows with a value in a column, as one types it in a shell."""
    name = quoted_name(column)
    plain = not any(sign in f"{name}{value}" for sign in "`$!\"'\\")
    if plain:
        return f'--where "{name} == {value!r}"'
    return f"--where {shlex.quote(f'{name} == {json.dumps(value) if isinstance(value, str) else repr(value)}')}"


def columns_option(name: str, column: str) -> str:
    """The option that takes a column of the schema from one of the file."""
    spelled = column if column.replace("_", "").replace("/", "").replace(".", "").isalnum() else quoted_name(column)
    return f"--columns {shlex.quote(f'{name}={spelled}')}"

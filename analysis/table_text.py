"""Tables as plain text: the same on a terminal, in a pipe and in a file."""

import io
from collections.abc import Iterable, Sequence
from typing import Literal

_ALIGNMENTS: dict[str, Literal["left", "right"]] = {"l": "left", "r": "right"}
_NO_WRAP = 100_000  # columns: wider than any table, so that rich never wraps or cuts a cell


def table_text(align: str, head: Sequence[str], rows: Iterable[Sequence[str]], indent: int = 0, gap: int = 2) -> str:
    """Text in columns under their titles; each column is as wide as its widest cell, and nothing is coloured.

    Args:
        align: one letter a column, ``l`` for left and ``r`` for right, as in LaTeX's ``tabular``.
        head: the titles of the columns; all empty for a table without titles.
        rows: the cells of each row; later columns may be left out.
        indent: spaces before each line.
        gap: spaces between columns.

    Returns:
        The lines, without spaces at their ends.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=any(head), header_style="", pad_edge=False, padding=(0, gap, 0, 0))
    for letter, title in zip(align, head, strict=True):
        table.add_column(title, justify=_ALIGNMENTS[letter], no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(
        file=io.StringIO(), width=_NO_WRAP, color_system=None, markup=False, force_terminal=False, force_jupyter=False
    )
    with console.capture() as captured:
        console.print(table)
    return "\n".join(" " * indent + line.rstrip() for line in captured.get().splitlines())

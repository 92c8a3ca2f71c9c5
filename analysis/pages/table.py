"""A table of a page as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """A cell that is set as code, such as a hash."""

    text: str


@dataclass(frozen=True)
class Table:
    """A titled table.

    Attributes:
        name: of its section in the page.
        title: heading of the section.
        head: titles of the columns; none for a table of keys and values.
        rows: the cells, as text.
        sortable: whether the page sorts its rows by the column that is clicked.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Code, ...], ...]
    sortable: bool = False

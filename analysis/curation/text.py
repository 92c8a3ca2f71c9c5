"""A curation as plain text, for a terminal."""

from analysis.curation.dropped import Dropped, Row
from analysis.curation.funnel import Funnel, label
from analysis.curation.numbers import counted, share, value_of
from analysis.curation.sentences import of_sample, verdict
from analysis.curation.tables import sources_table, steps_table
from analysis.formatting import listed
from analysis.pages.signs import visible
from analysis.pages.table import Table
from analysis.table_text import table_text

_EXCERPT, _NAMED = 100, 3  # characters of a text, reasons of a heading


def funnel_text(funnel: Funnel) -> str:
    """What came of a curation: a sentence, what is left of each source, and what each step dropped."""
    tables = [sources_table(funnel), *([steps_table(funnel)] if funnel.steps else [])]
    said = [f"{funnel.name}: {verdict(funnel)}", of_sample(funnel)]
    return "\n\n".join([visible(" ".join(line for line in said if line)), *map(_lines, tables)])


def _lines(table: Table) -> str:
    rows = [[_one_line(cell if isinstance(cell, str) else cell.text) for cell in row] for row in table.rows]
    return table_text("l" + "r" * (len(table.head) - 1), table.head, rows, indent=2)


def dropped_text(found: Dropped, funnel: Funnel) -> str:
    """The documents that went under a name, each with the beginning of its text where that is known."""
    part = f" ({share(found.documents, funnel.dropped)} of what is dropped)" if found.documents else ""
    head = f"{listed(found.reasons, _NAMED) or found.name}: {counted(found.documents)}{part}"
    if found.documents and not found.reasons:
        head += ", of which there is no list"
    elif len(found.rows) < found.documents:
        head += f"; the first {len(found.rows)} by id"
    if not found.rows:
        return visible(head)
    limits = {label(step, reason): reason.thresholds for step in funnel.steps for reason in step.reasons}
    columns = {
        "id": [row.id for row in found.rows],
        "source": [row.source for row in found.rows],
        "file": [row.file for row in found.rows],
        "reason": [row.reason if len(found.reasons) > 1 else "" for row in found.rows],
        "value": ["" if row.value is None else value_of(row.value, limits[row.reason]) for row in found.rows],
        "repeats": [_twin(row) for row in found.rows],
    }
    columns = {name: [_one_line(cell) for cell in cells] for name, cells in columns.items() if any(cells)}
    align = "".join("r" if name == "value" else "l" for name in columns)
    lines = table_text(align, list(columns), zip(*columns.values(), strict=True), indent=2).splitlines()
    text = [visible(head), lines[0]]
    for line, row in zip(lines[1:], found.rows, strict=True):
        text += [line, *([f"      {_one_line(row.text)[:_EXCERPT]}"] if row.text else [])]
    return "\n".join(text)


def _twin(row: Row) -> str:
    return "" if row.twin is None else "the same text" if row.twin == row.id else row.twin


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))

"""Sources as bars: what is kept of each, and what each step dropped of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from analysis.curation.funnel import Funnel
from analysis.curation.numbers import counted, share
from analysis.curation.sentences import title_of

_MOST = 12


@dataclass(frozen=True)
class Stack:
    """A source as a bar: what is kept of its documents, then what each step dropped of them.

    Attributes:
        name: of the source.
        parts: number of the colour, width in percent, and what it is.
        text: what is kept.
    """

    name: str
    parts: tuple[tuple[int, str, str], ...]
    text: str


def stacks(funnel: Funnel) -> tuple[tuple[Stack, ...], tuple[tuple[int, str], ...]]:
    """The sources as bars, and the colours of what is in them."""
    steps = [step for step in funnel.steps if step.documents]
    rows = [
        (source.name, source.read.documents, source.kept.documents, [step.by_source[place].documents for step in steps])
        for place, source in enumerate(funnel.sources)
    ]
    if len(rows) > _MOST:
        rows.sort(key=lambda row: -row[1])
        rest = rows[_MOST - 1 :]
        sums = [sum(column) for column in zip(*(row[3] for row in rest), strict=True)]
        rows = rows[: _MOST - 1]
        rows.append((f"{len(rest)} other sources", sum(row[1] for row in rest), sum(row[2] for row in rest), sums))
    named = ["kept", *map(title_of, steps)]
    bars = [
        Stack(name, tuple(_parts([kept, *dropped], read, named)), _kept(kept, read))
        for name, read, kept, dropped in rows
    ]
    return tuple(bars), tuple(enumerate(named))


def _parts(counts: Sequence[int], whole: int, names: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    for number, (count, name) in enumerate(zip(counts, names, strict=True)):
        if count:
            yield number, f"{100 * count / whole:.3f}", f"{name}: {counted(count)} ({share(count, whole)})"


def _kept(kept: int, read: int) -> str:
    return f"{share(kept, read)} of {counted(read)} kept" if read else "no documents"

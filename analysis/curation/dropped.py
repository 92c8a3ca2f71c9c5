"""Documents that a step or a rule dropped, from the table of a curated folder."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.curation.funnel import Funnel, label
from analysis.errors import InputError
from analysis.files import readable
from analysis.formatting import listed

TABLE = "dropped.parquet"
_COLUMNS = ["id", "source", "file", "step", "reason", "value", "twin"]
_NEAREST = 5


@dataclass(frozen=True)
class Row:
    """A dropped document.

    Attributes:
        id: of the document.
        source: name.
        file: of the source.
        reason: with its step, such as ``rules.gopher.words``.
        value: that was judged, or None.
        twin: id of the document that it repeats, or None.
        text: how it begins, where the funnel has it, else None.
    """

    id: str
    source: str
    file: str
    reason: str
    value: float | None
    twin: str | None
    text: str | None


@dataclass(frozen=True)
class Dropped:
    """What was dropped under a name.

    Attributes:
        name: of a step or rule.
        reasons: that the name stands for, each with its step.
        documents: dropped for them; of a step that keeps no reasons, such as one for empty documents, all that it
            dropped.
        rows: the first of these documents, by id.
    """

    name: str
    reasons: tuple[str, ...]
    documents: int
    rows: tuple[Row, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``scaling data inspect --dropped`` prints as JSON."""
        return {
            "name": self.name,
            "reasons": list(self.reasons),
            "documents": self.documents,
            "rows": [asdict(row) for row in self.rows],
        }


def read_dropped(folder: str | Path, funnel: Funnel, name: str, most: int) -> Dropped:
    """The documents that a step or a rule dropped.

    Args:
        folder: the curated folder.
        funnel: its counts.
        name: of a step, or of a rule with or without its step and set: ``rules``, ``rules.gopher.bullets``,
            ``gopher.bullets``, ``rules.bullets``, ``bullets``.
        most: how many documents to show.

    Raises:
        InputError: if nothing goes by the name, or the table is missing or damaged.
    """
    wanted = reasons_of(funnel, name)
    if not wanted:
        return Dropped(name, (), sum(step.documents for step in funnel.steps if step.name == name), ())
    path = Path(folder) / TABLE
    if not path.is_file():
        raise InputError(f"{path}: no such file; `scaling data curate` writes it")
    with readable(path, "table of dropped documents"):
        documents, first = _first(path, set(wanted), most)
    texts = {
        (label(step, reason), example.id): example.text
        for step in funnel.steps
        for reason in step.reasons
        for example in reason.dropped
    }
    rows = tuple(
        Row(
            each["id"],
            each["source"],
            each["file"],
            reason,
            each["value"],
            each["twin"],
            texts.get((reason, each["id"])),
        )
        for each in first
        for reason in [wanted[each["step"], each["reason"]]]
    )
    return Dropped(name, tuple(wanted.values()), documents, rows)


def reasons_of(funnel: Funnel, name: str) -> dict[tuple[str, str], str]:
    """The reasons that a name stands for: step and reason, and what both are called together.

    Raises:
        InputError: naming the nearest names, if there is none.
    """
    known: dict[str, dict[tuple[str, str], str]] = {}
    for step in funnel.steps:
        known.setdefault(step.name, {})
        for reason in step.reasons:
            whole = label(step, reason)
            for each in _names(step.name, reason.name, whole):
                known.setdefault(each, {})[step.name, reason.name] = whole
    if name in known:
        return known[name]
    near = get_close_matches(name, known, n=_NEAREST, cutoff=0.5)
    steps = listed([step.name for step in funnel.steps], 20) or "none"
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise InputError(f"`dropped` {name}: no step or rule of this curation{hint}; its steps: {steps}")


def _names(step: str, reason: str, whole: str) -> Iterable[str]:
    """All that a reason goes by; of its step's name, every reason of the step."""
    last = reason.rpartition(".")[2]
    return dict.fromkeys([step, reason, last, whole, f"{step}.{last}"])


def _first(path: Path, wanted: set[tuple[str, str]], most: int) -> tuple[int, list[dict[str, Any]]]:
    """How many rows have one of the reasons, and the first of them by id."""
    documents, first = 0, None
    for batch in _batches(path, wanted):
        documents += len(batch)
        joined = batch if first is None else pa.concat_tables([first, batch])
        first = joined.take(pc.sort_indices(joined, sort_keys=[("id", "ascending")])).slice(0, most)
    return documents, [] if first is None else first.to_pylist()


def _batches(path: Path, wanted: set[tuple[str, str]]) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as table:
        for batch in table.iter_batches(columns=_COLUMNS):
            masks = [pc.and_(pc.equal(batch["step"], each), pc.equal(batch["reason"], name)) for each, name in wanted]
            yield pa.table(batch.filter(reduce(pc.or_, masks)))

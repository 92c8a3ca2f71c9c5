"""Cuts lines that stand in many places of the corpus, such as menus and notices of cookies."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import LinesSpec
from scaling.data.curate.text.lines import lines_of, without

_HASHES, _COUNTS, _ABOUT = "hashes.npy", "counts.npy", "about.json"
_MUCH = 0.05
"""Share of a source's text of which it is told that it goes."""
_AT_ONCE = 2**22
"""Lines whose counts are added up by one task."""


def run(stage: Stage) -> None:
    """Cuts all occurrences of the lines that are seen too often; drops documents of which none is left.

    A source where the step is off is neither counted nor cut.
    """
    views = [view for view in stage.parts if stage.options[view.source] is not None]
    documents = sum(view.count for view in views)
    least = min(allowed(each, documents) for each in stage.options if each is not None)
    counted = stage.survey("counted", count)
    lines = sum(len(np.load(folder / _HASHES, mmap_mode="r")) for folder in counted)
    ranges = 1 + lines // _AT_ONCE
    found = stage.tasks("added", add, [(counted, number, ranges, least) for number in range(ranges)])
    [often] = stage.tasks("often", join, [(found, documents)])
    stage.filter(decide, often, reasons, texts_change=True)
    _warn_of_much(stage)


def _warn_of_much(stage: Stage) -> None:
    """Warns of the sources that lose much of their text."""
    total = np.zeros((len(stage.names), 2), np.int64)
    for tally in stage.tallies():
        gone = tally["changed_bytes"] + sum(reason["bytes"] for reason in tally["reasons"])
        total[tally["source"]] += gone, tally["reached_bytes"]
    for name, (gone, size) in zip(stage.names, total.tolist(), strict=True):
        if gone > _MUCH * size:
            why = "code and tables repeat lines by their nature, and lines: off keeps them"
            stage.warn("over-filtered", f"lines cuts {gone / size:.1%} of the text of source {name}: {why}")


def allowed(options: LinesSpec, documents: int) -> int:
    """How often a line may be seen among documents."""
    return int(options.seen * max(1.0, documents / options.among))


def reasons(options: LinesSpec, source: int) -> list[Reason]:  # noqa: ARG001
    """The one reason: every line is cut."""
    return [Reason("lines", "Llama 3 (2407.21783)")]


def count(folder: Path, view: PartView, options: LinesSpec | None) -> None:
    """Writes the hashes of a part's lines, sorted, and how often each is there."""
    hashes, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for batch in () if options is None else view.batches():
        lines = lines_of(batch.texts)
        hashes.append(lines.hashes[lines.counted])
        counts.append(np.ones(len(hashes[-1]), np.int64))
        if sum(map(len, hashes[1:])) > _AT_ONCE:
            known, total = _added(np.concatenate(hashes), np.concatenate(counts))
            hashes, counts = [known], [total]
    known, total = _added(np.concatenate(hashes), np.concatenate(counts))
    np.save(folder / _HASHES, known)
    np.save(folder / _COUNTS, total)


def add(folder: Path, counted: Sequence[Path], number: int, ranges: int, least: int) -> None:
    """Writes the lines of a range of hashes that are there more often than ``least``, of all parts, and their counts.

    Args:
        folder: to write into.
        counted: what ``count`` has written.
        number: of the range.
        ranges: of the hashes, of equal width.
        least: of counts, which are not written.
    """
    hashes, counts = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for part in counted:
        own = np.load(part / _HASHES, mmap_mode="r")
        begin = int(np.searchsorted(own, np.uint64(number * 2**64 // ranges)))
        stop = len(own)
        if number + 1 < ranges:
            stop = int(np.searchsorted(own, np.uint64((number + 1) * 2**64 // ranges)))
        hashes.append(np.array(own[begin:stop]))
        counts.append(np.array(np.load(part / _COUNTS, mmap_mode="r")[begin:stop]))
    known, total = _added(np.concatenate(hashes), np.concatenate(counts))
    np.save(folder / _HASHES, known[total > least])
    np.save(folder / _COUNTS, total[total > least])


def join(folder: Path, found: Sequence[Path], documents: int) -> None:
    """Writes the lines of all ranges, and the number of documents."""
    for name in (_HASHES, _COUNTS):
        np.save(folder / name, np.concatenate([np.load(each / name) for each in found]))
    (folder / _ABOUT).write_text(json.dumps({"documents": documents}))


def decide(batch: Batch, options: LinesSpec, state: Path) -> Decision:
    """Cuts the lines of a batch.

    Args:
        batch: of documents.
        options: how often a line may be seen.
        state: what ``join`` has written.
    """
    documents = json.loads((state / _ABOUT).read_text())["documents"]
    lines = lines_of(batch.texts)
    cut = lines.counted & _seen(state, lines.hashes, allowed(options, documents))
    found = np.diff(np.append(0, np.cumsum(cut))[lines.bounds])
    left = np.diff(np.append(0, np.cumsum(lines.counted & ~cut))[lines.bounds])
    texts = list(batch.texts)
    for place in np.flatnonzero(found).tolist():
        own = cut[lines.bounds[place] : lines.bounds[place + 1]]
        texts[place] = without(texts[place], own) if left[place] else ""
    size = sum(
        len(batch.texts[place].encode()) - len(texts[place].encode()) for place in np.flatnonzero(found).tolist()
    )
    dropped = (found > 0) & (left == 0)
    return Decision(
        np.where(dropped, 0, -1).astype(np.int16),
        texts=texts,
        notes={"lines cut": int(cut.sum()), "bytes cut": size},
    )


def _seen(state: Path, hashes: UInt64[np.ndarray, " lines"], most: int) -> Bool[np.ndarray, " lines"]:
    """Whether lines are there more often than ``most``."""
    often = np.load(state / _HASHES, mmap_mode="r")
    if not len(often):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(often, hashes), len(often) - 1)
    return (often[places] == hashes) & (np.load(state / _COUNTS, mmap_mode="r")[places] > most)


def _added(
    hashes: UInt64[np.ndarray, " hashes"], counts: Int64[np.ndarray, " hashes"]
) -> tuple[UInt64[np.ndarray, " sorted"], Int64[np.ndarray, " sorted"]]:
    """Sorted hashes, once each, and the sums of their counts."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    first = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - np.uint64(1)))
    return ordered[first], np.add.reduceat(counts[order], first) if len(first) else counts

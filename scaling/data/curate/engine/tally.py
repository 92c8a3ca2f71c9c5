"""Counts, histograms and examples of what a step decides, which add up over batches and parts in any order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason

EXAMPLES, NEAR, BINS = 10, 0.05, 40
EXCERPT = 600
"""Characters of an example."""


class Tally:
    """What a step decides of the documents of a part.

    Args:
        reasons: of the step.
    """

    def __init__(self, reasons: Sequence[Reason]) -> None:
        self._reasons = [_OfReason(reason) for reason in reasons]
        self._counts = dict.fromkeys(("reached", "reached_bytes", "changed", "changed_bytes"), 0)
        self._notes: dict[str, int] = {}

    def add(self, batch: Batch, decision: Decision, sizes: np.ndarray) -> None:
        """Adds a batch.

        Args:
            batch: the documents.
            decision: on them.
            sizes: bytes of the texts as the step leaves them.
        """
        stays = decision.reasons < 0
        changed = np.array(decision.texts is not None and [a != b for a, b in zip(decision.texts, batch.texts)])  # noqa: B905
        self._counts["reached"] += len(batch)
        self._counts["reached_bytes"] += int(batch.sizes.sum())
        self._counts["changed"] += int((stays & changed).sum())
        self._counts["changed_bytes"] += int((batch.sizes - sizes)[stays].sum())
        for name, count in decision.notes.items():
            self._notes[name] = self._notes.get(name, 0) + int(count)
        for number, reason in enumerate(self._reasons):
            reason.add(batch, decision, decision.reasons == number, stays)

    def content(self, source: int, files: Sequence[str]) -> dict[str, Any]:
        """The tally as JSON."""
        reasons = [reason.content(source, files) for reason in self._reasons]
        return {**self._counts, "source": source, "notes": self._notes, "reasons": reasons}


class _OfReason:
    def __init__(self, reason: Reason) -> None:
        self._reason = reason
        self._documents = self._bytes = self._near = self._judged = self._below = self._above = 0
        low, high = reason.span
        self._edges = np.geomspace(low, high, BINS + 1) if reason.log else np.linspace(low, high, BINS + 1)
        self._counts: np.ndarray | None = None
        self._dropped: list[tuple[Any, ...]] = []
        self._kept: list[tuple[Any, ...]] = []

    def add(self, batch: Batch, decision: Decision, dropped: np.ndarray, stays: np.ndarray) -> None:
        self._documents += int(dropped.sum())
        self._bytes += int(batch.sizes[dropped].sum())
        values = decision.values.get(self._reason.name)
        far = np.zeros(len(batch)) if values is None else self._histogram(values)
        self._dropped = _first(self._dropped, batch, decision, np.flatnonzero(dropped), values, np.zeros(len(batch)))
        if values is not None and np.isfinite(far).any():
            self._kept = _first(self._kept, batch, decision, np.flatnonzero(stays & np.isfinite(far)), values, far)

    def _histogram(self, values: np.ndarray) -> np.ndarray:
        """Counts the values; returns how far each is from the nearest threshold beyond 5 % of it, NaN if not judged."""
        judged = values[np.isfinite(values)]
        if self._counts is None:
            self._counts = np.zeros(BINS, np.int64)
        self._judged += len(judged)
        self._below += int((judged < self._edges[0]).sum())
        self._above += int((judged > self._edges[-1]).sum())
        self._counts += np.histogram(judged, self._edges)[0]
        limits = [limit for limit in (self._reason.least, self._reason.most) if limit is not None]
        if not limits:
            return np.full(len(values), np.nan)
        distance = np.min([np.abs(values - limit) / max(abs(limit), 1e-12) for limit in limits], axis=0)
        self._near += int((distance <= NEAR).sum())
        return np.where(np.isfinite(values), np.maximum(distance - NEAR, 0.0), np.nan)

    def content(self, source: int, files: Sequence[str]) -> dict[str, Any]:
        reason, counts = self._reason, self._counts
        histogram = None
        if counts is not None:
            edges = [float(f"{edge:.6g}") for edge in self._edges]
            histogram = {
                "edges": edges, "counts": counts.tolist(), "below": self._below, "above": self._above, "log": reason.log
            }  # fmt: skip
        limits = None if reason.least is None and reason.most is None else [reason.least, reason.most]
        return {
            "name": reason.name,
            "source": reason.source,
            "unit": reason.unit,
            "documents": self._documents,
            "bytes": self._bytes,
            "limits": limits,
            "judged": self._judged,
            "near": self._near,
            "histogram": histogram,
            "dropped": [_example(example, source, files) for example in self._dropped],
            "kept": [_example(example, source, files) for example in self._kept],
        }


def _first(
    known: list[tuple[Any, ...]],
    batch: Batch,
    decision: Decision,
    places: np.ndarray,
    values: np.ndarray | None,
    far: np.ndarray,
) -> list[tuple[Any, ...]]:
    """The first examples by distance and id, of those known and of documents at places of a batch."""
    order = np.lexsort((batch.ids[places], far[places]))[:EXAMPLES]
    found = list(known)
    for place in places[order].tolist():
        value = None if values is None or not np.isfinite(values[place]) else float(values[place])
        twin = b"" if decision.twins is None else decision.twins[place]
        text = excerpt(batch.texts[place])
        found.append((float(far[place]), hex_of(batch.ids[place]), value, text, hex_of(twin), int(batch.files[place])))
    return sorted(found, key=lambda example: example[:2])[:EXAMPLES]


def _example(example: tuple[Any, ...], source: int, files: Sequence[str]) -> dict[str, Any]:
    far, id, value, text, twin, file = example
    content = {"id": id, "source": source, "file": files[file], "value": value, "text": text, "far": far}
    return content | ({"twin": twin} if twin else {})


def excerpt(text: str) -> str:
    """The beginning of a text, cut between words, so that nothing to be masked is cut."""
    if len(text) <= EXCERPT:
        return text
    words = text[:EXCERPT].rsplit(maxsplit=1)
    return words[0] if len(words) > 1 and len(words[0]) > EXCERPT // 2 else text[:EXCERPT]


def hex_of(id: bytes) -> str:
    """An id as text; empty for none."""
    return id.ljust(16, b"\0").hex() if id else ""


def merged(tallies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The tallies of a step's parts as one; the thresholds are those of the first."""
    total: dict[str, Any] = {}
    for tally in tallies:
        if not total:
            total = {**tally, "notes": dict(tally["notes"]), "reasons": [dict(each) for each in tally["reasons"]]}
            continue
        for name in ("reached", "reached_bytes", "changed", "changed_bytes"):
            total[name] += tally[name]
        for name, count in tally["notes"].items():
            total["notes"][name] = total["notes"].get(name, 0) + count
        known = {reason["name"]: reason for reason in total["reasons"]}
        for reason in tally["reasons"]:
            if reason["name"] in known:
                _merge(known[reason["name"]], reason)
            else:
                total["reasons"].append(dict(reason))
    return total


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name in ("documents", "bytes", "near", "judged"):
        into[name] += other[name]
    for name in ("dropped", "kept"):
        into[name] = sorted([*into[name], *other[name]], key=lambda each: (each["far"], each["id"]))[:EXAMPLES]
    one, two = into["histogram"], other["histogram"]
    if one is None or two is None:
        into["histogram"] = one or two
        return
    into["histogram"] = {
        **one,
        "counts": [a + b for a, b in zip(one["counts"], two["counts"], strict=True)],
        "below": one["below"] + two["below"],
        "above": one["above"] + two["above"],
    }

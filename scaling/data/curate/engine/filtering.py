"""A step applied to a part: what it keeps, what it drops, and the counts and examples for the page."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.curate.engine.batch import ID, Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.store import TextWriter
from scaling.data.curate.engine.tally import Tally
from scaling.data.curate.engine.view import KEPT, SCORES, PartView

DROPPED, TALLY = "dropped.npy", "tally.json"
DROPPED_ROW = np.dtype(
    [("id", ID), ("file", "<i4"), ("reason", "<i2"), ("value", "<f8"), ("bytes", "<i8"), ("twin", ID)]
)
"""A row of the documents that a step drops."""


def filter_part(
    folder: Path,
    view: PartView,
    decide: Callable[[Batch, Any, Path | None], Decision],
    options: Any,
    state: Path | None,
    reasons: Sequence[Reason],
    texts_change: bool,
) -> None:
    """Applies a step to a part's documents.

    Args:
        folder: to write into.
        view: the documents.
        decide: what the step decides of a batch.
        options: of the step, for the part's source; None keeps every document.
        state: what the step has prepared.
        reasons: why it drops documents.
        texts_change: whether it changes texts.
    """
    tally = Tally(reasons)
    kept: list[np.ndarray] = [np.empty(0, bool)]
    scores: dict[str, list[np.ndarray]] = {}
    dropped: list[np.ndarray] = [np.empty(0, DROPPED_ROW)]
    writer = TextWriter(folder) if texts_change else None
    for batch in view.batches():
        decision = _of(batch, decide, options, state)
        stays = decision.reasons < 0
        kept.append(stays)
        for name, values in decision.scores.items():
            scores.setdefault(name, []).append(values)
        texts = batch.texts if decision.texts is None else decision.texts
        sizes = batch.sizes if decision.texts is None else np.array([len(text.encode()) for text in texts], np.int64)
        tally.add(batch, decision, sizes)
        dropped.append(_dropped(batch, decision, reasons))
        if writer is not None:
            left = [text for text, here in zip(texts, stays.tolist(), strict=True) if here]
            writer.add(batch.ids[stays], batch.files[stays], left, sizes[stays])
    if writer is not None:
        writer.close()
    np.save(folder / KEPT, np.concatenate(kept))
    np.save(folder / DROPPED, np.concatenate(dropped))
    for name, arrays in scores.items():
        np.save(folder / f"{SCORES}{name}.npy", np.concatenate(arrays))
    (folder / TALLY).write_text(json.dumps(tally.content(view.source, view.files)))


def _of(batch: Batch, decide: Callable[..., Decision], options: Any, state: Path | None) -> Decision:
    if options is None:
        return Decision(np.full(len(batch), -1, np.int16))
    decision = decide(batch, options, state)
    assert len(decision.reasons) == len(batch)
    return decision


def _dropped(batch: Batch, decision: Decision, reasons: Sequence[Reason]) -> np.ndarray:
    places = np.flatnonzero(decision.reasons >= 0)
    rows = np.zeros(len(places), DROPPED_ROW)
    rows["id"], rows["file"], rows["bytes"] = batch.ids[places], batch.files[places], batch.sizes[places]
    rows["reason"], rows["value"] = decision.reasons[places], np.nan
    for number, reason in enumerate(reasons):
        if reason.name in decision.values:
            own = rows["reason"] == number
            rows["value"][own] = decision.values[reason.name][places[own]]
    if decision.twins is not None:
        rows["twin"] = decision.twins[places]
    return rows

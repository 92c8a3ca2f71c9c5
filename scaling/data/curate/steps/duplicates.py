"""The first step: of documents with the same text, one stays."""

from pathlib import Path

import numpy as np

from scaling.data.curate.engine.batch import Batch
from scaling.data.curate.engine.decision import Decision, Reason
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import PartView

_AT_ONCE = 2**22


def run(stage: Stage) -> None:
    """Drops documents whose text an earlier one has, by the order of the sources."""
    parts = sorted(stage.parts, key=lambda view: (stage.sources.preference(view.source), view.number))
    ranges = 1 + sum(view.count for view in parts) // _AT_ONCE
    folders = stage.tasks("found", find, [(parts, number, ranges) for number in range(ranges)])
    states = stage.tasks("masks", mask, [(view, folders) for view in stage.parts])
    stage.filter_by_part(decide, states, lambda *_: [Reason("duplicates")])


def find(folder: Path, parts: list[PartView], number: int, ranges: int) -> None:
    """Writes which documents have the id of an earlier one, of those whose ids are of a range.

    Args:
        folder: to write into: an array of places for each part that has such documents.
        parts: the documents, in order of preference.
        number: of the range.
        ranges: of ids.
    """
    ids, owners, places = [], [], []
    for owner, view in enumerate(parts):
        own = view.ids()
        at = np.flatnonzero(_numbers(own)[:, 0] % np.uint64(ranges) == number)
        ids.append(_numbers(own[at]))
        owners.append(np.full(len(at), owner))
        places.append(at)
    keys, owner_of, place = np.concatenate(ids), np.concatenate(owners), np.concatenate(places)
    order = np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))
    repeated = np.zeros(len(keys), bool)
    repeated[order[1:]] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    for index in np.unique(owner_of[repeated]).tolist():
        np.save(folder / f"{parts[index].number:06}.npy", np.sort(place[repeated & (owner_of == index)]))


def mask(folder: Path, view: PartView, found: list[Path]) -> None:
    """Writes the mask of a part's repeated documents."""
    repeated = np.zeros(view.count, bool)
    for path in (each / f"{view.number:06}.npy" for each in found):
        if path.exists():
            repeated[np.load(path)] = True
    np.save(folder / "repeated.npy", repeated)


def decide(batch: Batch, options: object, state: Path) -> Decision:  # noqa: ARG001
    """Drops the documents of the mask; their twins have the same id."""
    repeated = np.load(state / "repeated.npy", mmap_mode="r")[batch.first : batch.first + len(batch)]
    return Decision(np.where(repeated, 0, -1).astype(np.int16), twins=batch.ids)


def _numbers(ids: np.ndarray) -> np.ndarray:
    """Ids (documents,) as pairs of numbers (documents, 2)."""
    return np.ascontiguousarray(ids).view("<u8").reshape(-1, 2)

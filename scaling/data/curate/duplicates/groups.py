"""What becomes of each part's documents, by their ids, and the largest groups of near-duplicates with their texts."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scaling.data.curate.duplicates.assign import FATES
from scaling.data.curate.duplicates.candidates import distinct, places_in
from scaling.data.curate.duplicates.check import NOBODY
from scaling.data.curate.duplicates.keys import RankedPart
from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.tally import hex_of
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import NearDuplicatesSpec

DECISIONS, GROUPS, TEXTS = "decisions.npy", "groups.json", "texts.json"
DECISION = np.dtype([("reason", "<i2"), ("value", "<f8"), ("twin", ID)])
"""Of a document: 0 or 1, the kind of the pair for which it is dropped, or -1; the value; the id of its twin."""
EXCERPT = 2000
"""Characters of a text of a group."""
_GROUPS, _SHOWN = 10, 3
_NAMES, _IDS = "names.npy", "ids.npy"


def write_names(folder: Path, decided: Path, views: Sequence[PartView], ranked: Mapping[int, RankedPart]) -> None:
    """Writes the largest groups, and the ids of all twins.

    Args:
        folder: to write into.
        decided: folder of what becomes of each document.
        views: the parts that are compared.
        ranked: by the number of a part.
    """
    twins = np.load(decided / FATES)["twin"]
    sizes = np.bincount(twins[twins != NOBODY], minlength=0)
    stars = np.flatnonzero(sizes)
    sizes = sizes[stars]
    largest = stars[np.lexsort((stars, -sizes))][:_GROUPS]
    members = [np.flatnonzero(twins == star).astype(np.uint32) for star in largest]
    names = distinct(np.sort(np.concatenate([stars, *members]).astype(np.uint32)))
    ids, sources = np.zeros(len(names), ID), np.zeros(len(names), np.int64)
    for view in views:
        places, found = places_in(names, ranked[view.number].read_ranks())
        ids[places], sources[places] = view.ids()[found], view.source
    np.save(folder / _NAMES, names)
    np.save(folder / _IDS, ids)
    values = np.load(decided / FATES)["value"]
    groups = []
    for star, own in zip(largest.tolist(), members, strict=True):
        first = sorted((hex_of(ids[place]), place) for place in np.searchsorted(names, own).tolist())[:_SHOWN]
        kept = int(np.searchsorted(names, star))
        dropped = [
            {"id": id, "source": int(sources[place]), "similarity": float(values[names[place]])} for id, place in first
        ]
        groups.append(
            {
                "size": len(own) + 1,
                "kept": {"id": hex_of(ids[kept]), "source": int(sources[kept])},
                "dropped": dropped,
            }
        )
    (folder / GROUPS).write_text(json.dumps(groups))


def write_decisions(
    folder: Path,
    view: PartView,
    options: NearDuplicatesSpec | None,
    ranked: Mapping[int, RankedPart],
    decided: Path,
    named: Path,
) -> None:
    """Writes what becomes of a part's documents; see ``DECISION``.

    Args:
        folder: to write into.
        view: the documents.
        options: None where the documents are not compared.
        ranked: by the number of a part.
        decided: folder of what becomes of each document.
        named: folder of the ids of twins.
    """
    if options is None:
        return
    fates = np.load(decided / FATES, mmap_mode="r")[ranked[view.number].read_ranks()]
    decisions = np.zeros(len(fates), DECISION)
    dropped = fates["twin"] != NOBODY
    decisions["reason"] = np.where(dropped, fates["kind"].astype(np.int16), -1)
    decisions["value"] = fates["value"]
    names, ids = np.load(named / _NAMES), np.load(named / _IDS)
    decisions["twin"][dropped] = ids[np.searchsorted(names, fates["twin"][dropped])]
    np.save(folder / DECISIONS, decisions)


def write_texts(folder: Path, view: PartView, options: NearDuplicatesSpec | None, ids: np.ndarray) -> None:  # noqa: ARG001
    """Writes the beginnings of texts, by their ids in hexadecimal digits.

    Args:
        folder: to write into.
        view: the documents.
        options: of their source.
        ids: of the documents whose texts are wanted.
    """
    texts: dict[str, str] = {}
    if np.isin(view.ids(), ids).any():
        for batch in view.batches():
            for place in np.flatnonzero(np.isin(batch.ids, ids)).tolist():
                texts[hex_of(batch.ids[place])] = batch.texts[place][:EXCERPT]
    (folder / TEXTS).write_text(json.dumps(texts))


def ids_of(groups: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """The ids (S16) of the documents that groups show."""
    shown = [document["id"] for group in groups for document in (group["kept"], *group["dropped"])]
    return np.array([bytes.fromhex(id) for id in shown], ID)


def told(groups: Sequence[Mapping[str, Any]], texts: Mapping[str, str], sources: Sequence[str]) -> list[dict[str, Any]]:
    """Groups with the texts of their documents and the names of their sources.

    Args:
        groups: as they are written.
        texts: by id.
        sources: names.
    """

    def document(content: Mapping[str, Any]) -> dict[str, Any]:
        return {**content, "source": sources[content["source"]], "text": texts[content["id"]]}

    return [
        {
            "size": group["size"],
            "kept": document(group["kept"]),
            "dropped": [document(each) for each in group["dropped"]],
        }
        for group in groups
    ]

"""The step on texts, with its tasks in this process."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.filtering import DROPPED
from scaling.data.curate.engine.stage import Sources, Stage
from scaling.data.curate.engine.store import TextWriter
from scaling.data.curate.engine.tasks import do
from scaling.data.curate.engine.view import KEPT, SCORES, PartView
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.steps import near_duplicates


@dataclass(frozen=True)
class Deduplicated:
    """What the step leaves: of each source the places of the documents that stay, and the twin of each that goes.

    Attributes:
        kept: places of the documents of each source.
        twins: source and place of a dropped document, and of the one that it repeats.
        values: how alike they are.
        reasons: place of the reason.
        notes: for the page.
        tallies: counts and examples.
        views: what is left.
    """

    kept: list[list[int]]
    twins: dict[tuple[int, int], tuple[int, int]]
    values: dict[tuple[int, int], float]
    reasons: dict[tuple[int, int], int]
    notes: dict[str, Any]
    tallies: list[dict[str, Any]]
    views: Sequence[PartView]


def id_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()[:16]


@pytest.fixture
def deduplicate(tmp_path: Path) -> Callable[..., Deduplicated]:
    """The step on sources, each a list of different texts."""
    calls: list[int] = []

    def call(
        *sources: list[str],
        options: Sequence[NearDuplicatesSpec | None] | None = None,
        part: int = 10**9,
        quality: Sequence[Sequence[float] | None] | None = None,
        only: Sequence[str | None] | None = None,
        empty_parts: Sequence[int] = (),
    ) -> Deduplicated:
        calls.append(0)
        folder = tmp_path / f"call{len(calls)}"
        views: list[PartView] = []
        for source, texts in enumerate(sources):
            for begin in range(0, len(texts), part):
                view = _stored(folder / f"texts{len(views)}", len(views), source, texts[begin : begin + part])
                scores = quality[source] if quality else None
                views.append(view if scores is None else _scored(view, folder, scores[begin : begin + part]))
        for source in empty_parts:
            views.append(_stored(folder / f"texts{len(views)}", len(views), source, []))
        names = tuple(f"source {source}" for source in range(len(sources)))
        stage = Stage(
            "near_duplicates",
            tuple(options or [NearDuplicatesSpec()] * len(sources)),
            Sources(names, tuple(only or [None] * len(sources)), 0.01),
            views,
            folder / "step",
            lambda _, tasks: [do(task) for task in tasks] and None,
        )
        near_duplicates.run(stage)
        places = {id_of(text).rstrip(b"\0"): (s, p) for s, texts in enumerate(sources) for p, text in enumerate(texts)}
        rows = np.concatenate([np.load(view.history[-1] / DROPPED) for view in stage.left])
        ids = [places[row["id"]] for row in rows]
        kept: list[list[int]] = [[] for _ in sources]
        for view in stage.left:
            kept[view.source] += [places[id][1] for id in view.ids().tolist()]
        return Deduplicated(
            kept,
            {id: places[row["twin"]] for id, row in zip(ids, rows, strict=True)},
            {id: float(row["value"]) for id, row in zip(ids, rows, strict=True)},
            {id: int(row["reason"]) for id, row in zip(ids, rows, strict=True)},
            stage.notes["duplicates"],
            list(stage.tallies()),
            stage.left,
        )

    return call


def _stored(folder: Path, number: int, source: int, texts: Sequence[str]) -> PartView:
    folder.mkdir(parents=True)
    writer = TextWriter(folder)
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    writer.add(np.array([id_of(text) for text in texts], ID), np.zeros(len(texts), np.int64), texts, sizes)
    writer.close()
    return PartView(number, source, ("file",), len(texts), int(sizes.sum()), folder)


def _scored(view: PartView, folder: Path, scores: Sequence[float]) -> PartView:
    earlier = folder / f"scores{view.number}"
    earlier.mkdir()
    np.save(earlier / KEPT, np.ones(view.count, bool))
    np.save(earlier / f"{SCORES}quality.npy", np.array(scores, np.float32))
    return replace(view, masks=(earlier,), history=(earlier,))

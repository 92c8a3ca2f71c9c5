"""Which sources a step takes as references, which it judges by them, and samples of both."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.stage import Stage
from scaling.data.curate.engine.view import KEPT, PartView
from scaling.data.curate.text.words import Words, words_of
from scaling.errors import InputError

EXCERPT = 600
_IDS, _HASHES, _BOUNDS, _EXCERPTS = "ids.npy", "hashes.npy", "bounds.npy", "excerpts.json"


@dataclass(frozen=True)
class Group:
    """Sources whose options name the same references.

    Attributes:
        names: of the references.
        references: their places.
        sources: places of those with these options.
    """

    names: tuple[str, ...]
    references: tuple[int, ...]
    sources: tuple[int, ...]

    @property
    def judged(self) -> tuple[int, ...]:
        """Places of the sources to judge."""
        return tuple(source for source in self.sources if source not in self.references)


def groups_of(stage: Stage) -> list[Group]:
    """The groups of a step.

    Raises:
        InputError: a group has no documents on one side any more.
    """
    found: dict[tuple[int, ...], list[int]] = {}
    for source, options in enumerate(stage.options):
        if options is not None:
            references = tuple(place for place, name in enumerate(stage.names) if name in options.like)
            found.setdefault(references, []).append(source)
    groups = [Group(tuple(stage.names[place] for place in places), places, tuple(own)) for places, own in found.items()]
    errors = []
    for group in groups:
        like = f"{stage.step}: like: {', '.join(group.names)}"
        if not count_of(stage, group.references):
            errors.append(f"{like}: no document of the references is left after the steps before")
        elif not count_of(stage, group.judged):
            errors.append(f"{like}: no document of another source is left to judge")
    if errors:
        raise InputError(errors)
    return groups


def count_of(stage: Stage, sources: Sequence[int]) -> int:
    """Documents of sources."""
    return sum(view.count for view in stage.parts if view.source in sources)


def lowest_ids(share: Fraction) -> int:
    """The number below which about a share of the ids are, by their first eight bytes."""
    return min(int(share * 2**64), 2**64)


def sample(folder: Path, view: PartView, options: object, below: Sequence[int], characters: int) -> None:  # noqa: ARG001
    """Writes the words of a part's documents with the lowest ids, and how they begin.

    Args:
        folder: to write into.
        view: the documents.
        options: of the source.
        below: of each source, the number that the ids taken are below.
        characters: of a document that are taken.
    """
    taken = _below(view.ids(), below[view.source])
    np.save(folder / KEPT, taken)
    ids, hashes, bounds, excerpts = [np.empty(0, ID)], [np.empty(0, np.uint64)], [np.zeros(1, np.int64)], []
    for batch in view.after(folder, int(taken.sum()), 0).batches() if taken.any() else ():
        words = words_of([text[:characters] for text in batch.texts])
        ids.append(batch.ids)
        hashes.append(words.hashes)
        bounds.append(words.bounds[1:] + bounds[-1][-1])
        excerpts += [text[:EXCERPT] for text in batch.texts]
    np.save(folder / _IDS, np.concatenate(ids))
    np.save(folder / _HASHES, np.concatenate(hashes))
    np.save(folder / _BOUNDS, np.concatenate(bounds))
    (folder / _EXCERPTS).write_text(json.dumps(excerpts))


@dataclass(frozen=True)
class Sample:
    """Documents of a sample, in the order of their ids.

    Attributes:
        ids: of the documents.
        words: of their beginnings.
        sources: place of each document's source.
        excerpts: how each begins.
    """

    ids: np.ndarray
    words: Words
    sources: Int64[np.ndarray, " documents"]
    excerpts: list[str]


def gathered(folders: Sequence[tuple[int, Path]], below: int, most: int) -> Sample:
    """The sample of several parts.

    Args:
        folders: of samples, each with the place of its source.
        below: the number that the ids taken are below.
        most: words to take, in the order of the ids; the last document is cut.
    """
    ids = [np.load(folder / _IDS) for _, folder in folders]
    starts = [np.load(folder / _BOUNDS) for _, folder in folders]
    owners = np.repeat(np.arange(len(folders)), [len(each) for each in ids])
    all_ids, begins = np.concatenate(ids), np.concatenate([each[:-1] for each in starts])
    lengths = np.concatenate([np.diff(each) for each in starts])
    order = np.argsort(all_ids, kind="stable")
    order = order[_below(all_ids[order], below)]
    ends = np.minimum(np.cumsum(lengths[order]), most)
    order = order[: int(np.searchsorted(ends, most)) + 1]
    bounds = np.concatenate([np.zeros(1, np.int64), ends[: len(order)]])
    hashes, excerpts = np.empty(bounds[-1], np.uint64), [""] * len(order)
    for owner, (_, folder) in enumerate(folders):
        own = np.flatnonzero(owners[order] == owner)
        counts = np.diff(bounds)[own]
        steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        known = np.load(folder / _HASHES, mmap_mode="r")
        hashes[np.repeat(bounds[own], counts) + steps] = known[np.repeat(begins[order[own]], counts) + steps]
        texts, before = json.loads((folder / _EXCERPTS).read_text()), int(np.searchsorted(owners, owner))
        for place, number in zip(own.tolist(), (order[own] - before).tolist(), strict=True):
            excerpts[place] = texts[number]
    sources = np.array([source for source, _ in folders], np.int64)
    return Sample(all_ids[order], Words(hashes, bounds), sources[owners[order]], excerpts)


def numbers_of(ids: np.ndarray) -> UInt64[np.ndarray, " documents two"]:
    """Ids as two numbers each."""
    return np.ascontiguousarray(ids).view(">u8").reshape(-1, 2).astype(np.uint64)


def _below(ids: np.ndarray, number: int) -> Bool[np.ndarray, " documents"]:
    if number >= 2**64:
        return np.ones(len(ids), bool)
    return numbers_of(ids)[:, 0] < np.uint64(number)

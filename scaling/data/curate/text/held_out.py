"""The documents that a build holds out, on disk: to find those like them, or that repeat them, in bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, UInt32

from scaling.data.building.leaks import ALIKE, text_signature, text_signatures
from scaling.data.curate.duplicates.sketch import BINS, band_keys
from scaling.data.curate.engine.batch import ID
from scaling.data.curate.text.contamination import Grams, Index, distinct_grams, empty_slots, set_slots
from scaling.data.curate.text.words import Words, words_of

SAMPLED = 128
"""N-grams of a held-out document that are looked for at most: a sample by hash."""
LEAST_WORDS = 50
"""Of a held-out document whose n-grams are looked for: shorter ones are phrases that many pages have."""
_ROWS, _MOST, _LONG = 5, 1000, 2**20
_RANGE, _BLOCK = 2**24, 2**14
_IDS, _SKETCHES, _KEYS, _PLACES = "ids.npy", "sketches.npy", "keys.npy", "places.npy"


def signatures_of(texts: Sequence[str], words: Words) -> UInt32[np.ndarray, "documents 128"]:
    """Signatures of texts with these words, as a build makes them: of a long one, only of its beginning."""
    made = text_signatures(words)
    for place, text in enumerate(texts):
        if len(text) > _LONG:
            made[place] = text_signature(text.encode())
    return made


class Gatherer:
    """Writes the held-out documents of a part.

    Args:
        folder: to write into.
        lengths: numbers of words of the n-grams to look for.
    """

    def __init__(self, folder: Path, lengths: Sequence[int]) -> None:
        self._folder = folder
        self._ids = [np.empty(0, ID)]
        self._sketches = [np.empty((0, BINS), np.uint32)]
        self._grams: dict[int, list[Grams]] = {length: [] for length in lengths}

    def add(self, ids: np.ndarray, texts: Sequence[str]) -> None:
        """Adds held-out documents: ids and texts."""
        words = words_of(texts)
        self._ids.append(ids)
        self._sketches.append(signatures_of(texts, words))
        for length, grams in self._grams.items():
            grams.append(distinct_grams(words, length, words.counts >= LEAST_WORDS, SAMPLED))

    def close(self) -> None:
        """Writes what was added."""
        np.save(self._folder / _IDS, np.concatenate(self._ids))
        np.save(self._folder / _SKETCHES, np.concatenate(self._sketches))
        for length, several in self._grams.items():
            counts = [len(grams.totals) for grams in several]
            firsts = np.cumsum(counts) - counts
            owners = [grams.owners + first for grams, first in zip(several, firsts.tolist(), strict=True)]
            grams = np.concatenate([np.empty(0, np.uint64), *(each.grams for each in several)])
            order = np.argsort(grams, kind="stable")
            np.save(self._folder / f"grams.{length}.npy", grams[order])
            np.save(self._folder / f"owners.{length}.npy", np.concatenate([np.empty(0, np.int32), *owners])[order])
            totals = np.concatenate([np.empty(0, np.int32), *(each.totals for each in several)])
            np.save(self._folder / f"totals.{length}.npy", totals)


def merge(folder: Path, gathered: Sequence[Path], lengths: Sequence[int]) -> None:
    """Writes what :class:`HeldOut` reads, from the folders of all parts; documents are sorted by id.

    Args:
        folder: to write into.
        gathered: folders that a Gatherer has written.
        lengths: numbers of words of the n-grams.
    """
    parts = [np.load(part / _IDS) for part in gathered]
    ids = np.concatenate([np.empty(0, ID), *parts])
    order = np.argsort(ids, kind="stable")
    ranks = np.empty(len(ids), np.int32)
    ranks[order] = np.arange(len(ids))
    np.save(folder / _IDS, ids[order])
    own = np.split(ranks, np.cumsum([len(part) for part in parts])[:-1]) if parts else []
    _merge_sketches(folder, gathered, own)
    for length in lengths:
        (folder / str(length)).mkdir()
        _merge_grams(folder / str(length), gathered, own, length)


def _merge_sketches(folder: Path, gathered: Sequence[Path], ranks: Sequence[np.ndarray]) -> None:
    count = sum(map(len, ranks))
    bands = BINS // _ROWS
    sketches = np.lib.format.open_memmap(folder / _SKETCHES, "w+", np.uint32, (count, BINS))
    for part, own in zip(gathered, ranks, strict=True):
        sketches[own] = np.load(part / _SKETCHES, mmap_mode="r")
    keys = np.lib.format.open_memmap(folder / _KEYS, "w+", np.uint64, (bands, count))
    places = np.lib.format.open_memmap(folder / _PLACES, "w+", np.int32, (bands, count))
    for begin in range(0, count, _BLOCK):
        keys[:, begin : begin + _BLOCK] = band_keys(np.array(sketches[begin : begin + _BLOCK]), _ROWS)
    for band in range(bands):
        order = np.argsort(keys[band], kind="stable")
        places[band], keys[band] = order, keys[band][order]
    for array in (sketches, keys, places):
        array.flush()


def _merge_grams(folder: Path, gathered: Sequence[Path], ranks: Sequence[np.ndarray], length: int) -> None:
    """Writes an index, a range of n-grams at a time."""
    files = [
        [np.load(part / f"{name}.{length}.npy", mmap_mode="r") for name in ("grams", "owners", "totals")]
        for part in gathered
    ]
    count = sum(len(grams) for grams, *_ in files)
    ranges = 1 + count // _RANGE
    cuts = np.array([2**64 * number // ranges for number in range(1, ranges)], np.uint64)
    bounds = [[0, *np.searchsorted(grams, cuts).tolist(), len(grams)] for grams, *_ in files]
    totals, slots = np.zeros(sum(map(len, ranks)), np.int32), empty_slots(count)
    for (*_, own), ranked in zip(files, ranks, strict=True):
        totals[ranked] = own
    all_grams = np.lib.format.open_memmap(folder / "grams.npy", "w+", np.uint64, (count,))
    all_owners = np.lib.format.open_memmap(folder / "owners.npy", "w+", np.int32, (count,))
    begin = 0
    for number in range(ranges):
        some, whose = [np.empty(0, np.uint64)], [np.empty(0, np.int32)]
        for (grams, owners, _), ranked, bound in zip(files, ranks, bounds, strict=True):
            some.append(grams[bound[number] : bound[number + 1]])
            whose.append(ranked[owners[bound[number] : bound[number + 1]]])
        gram, owner = np.concatenate(some), np.concatenate(whose)
        order = np.lexsort((owner, gram))
        stop = begin + len(gram)
        all_grams[begin:stop], all_owners[begin:stop] = gram[order], owner[order]
        set_slots(slots, gram)
        begin = stop
    all_grams.flush()
    all_owners.flush()
    np.save(folder / "totals.npy", totals)
    np.save(folder / "lengths.npy", np.full(1 if count else 0, length, np.int64))
    np.save(folder / "slots.npy", slots)


@dataclass(frozen=True)
class HeldOut:
    """The held-out documents of a folder; they stay on disk, and processes share them.

    Attributes:
        folder: that :func:`merge` has written.
    """

    folder: Path

    @cached_property
    def ids(self) -> np.ndarray:
        """Of the documents, sorted."""
        return np.load(self.folder / _IDS, mmap_mode="r")

    def index(self, length: int) -> Index:
        """Their n-grams of so many words."""
        return Index.load(self.folder / str(length))

    def alike(
        self, own: UInt32[np.ndarray, "documents 128"]
    ) -> tuple[Float64[np.ndarray, " documents"], Int64[np.ndarray, " documents"]]:
        """How alike each document and the most similar held-out one are, by the measure of a build's leaks.

        Args:
            own: signatures of the documents.

        Returns:
            Similarities, NaN where no band agrees; and places of the held-out documents, -1 where none is a
            near-duplicate: the first by id of those with the same similarity.
        """
        documents, places = self._candidates(own)
        similar = np.empty(len(documents))
        for begin in range(0, len(documents), _BLOCK):
            pairs = slice(begin, begin + _BLOCK)
            similar[pairs] = (own[documents[pairs]] == self._sketches[places[pairs]]).mean(axis=1)
        order = np.lexsort((places, -similar, documents))
        first = order[np.flatnonzero(np.diff(documents[order], prepend=-1))]
        values, twins = np.full(len(own), np.nan), np.full(len(own), -1)
        values[documents[first]] = similar[first]
        near = first[similar[first] >= ALIKE]
        twins[documents[near]] = places[near]
        return values, twins

    def _candidates(
        self, own: UInt32[np.ndarray, "documents 128"]
    ) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
        """Pairs of a document and a held-out one with a band in common, once each; not of those without words."""
        keys = np.load(self.folder / _KEYS, mmap_mode="r")
        ordered = np.load(self.folder / _PLACES, mmap_mode="r")
        pairs = [np.empty(0, np.int64)]
        count = max(len(self.ids), 1)
        for band, wanted in enumerate(band_keys(own, _ROWS)):
            first = np.searchsorted(keys[band], wanted, side="left")
            lengths = np.minimum(np.searchsorted(keys[band], wanted, side="right") - first, _MOST)
            at = np.repeat(first - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())
            pairs.append(np.repeat(np.arange(len(wanted)), lengths) * count + ordered[band][at])
        both = np.unique(np.concatenate(pairs))
        both = both[own[both // count].any(axis=1)]
        return both // count, both % count

    @cached_property
    def _sketches(self) -> UInt32[np.ndarray, "held_out 128"]:
        return np.load(self.folder / _SKETCHES, mmap_mode="r")

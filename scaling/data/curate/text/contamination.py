"""Documents that repeat the n-grams of other texts, such as those that a benchmark asks about."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8, UInt64

from scaling.data.curate.text.words import Words

_GRAM = np.uint64(0xD6E8FEB86659FD93)
_SPREADS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))
_BITS = np.uint8(1) << np.arange(8, dtype=np.uint8)
_WINDOWS = 2**16
_POSTINGS = 2**22
_FIELDS = ("grams", "owners", "totals", "lengths", "slots")


@dataclass(frozen=True)
class Grams:
    """Distinct n-grams of texts, sorted by n-gram and text.

    Attributes:
        grams: hash of the n-gram, once for each text that has it.
        owners: that text.
        totals: how many each text has; 0 of one that is not looked for.
        lengths: numbers of words that n-grams have.
    """

    grams: UInt64[np.ndarray, " postings"]
    owners: Int32[np.ndarray, " postings"]
    totals: Int32[np.ndarray, " texts"]
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Repeated:
    """What documents repeat of the texts of an index.

    Attributes:
        shares: the largest share of a text's n-grams that each document has.
        documents: those that have as large a share as was asked for, once for each text that they repeat so.
        texts: these texts; of a document, the one with the largest share first.
    """

    shares: Float64[np.ndarray, " documents"]
    documents: Int64[np.ndarray, " found"]
    texts: Int32[np.ndarray, " found"]


def distinct_grams(
    words: Words, count: int, wanted: Bool[np.ndarray, " texts"] | None = None, most: int | None = None
) -> Grams:
    """The n-grams by which texts are found: of a shorter text, all its words are one.

    Args:
        words: of the texts.
        count: of the words of an n-gram.
        wanted: mask of the texts to look for; None for all that have a word.
        most: how many a text has at most: those with the least hashes, which are a random sample; None for all.
    """
    lengths = np.minimum(words.counts, count)
    lengths = lengths if wanted is None else np.where(wanted, lengths, 0)
    known = tuple(length for length in np.unique(lengths).tolist() if length)
    grams, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for begin, length, values in _windows(words, known):
        at, documents = _inside(words, begin, np.arange(len(values)), length)
        own = lengths[documents] == length
        grams.append(values[at[own]])
        owners.append(documents[own])
    gram, owner = _once(np.concatenate(owners), np.concatenate(grams))
    if most is not None:
        ranks = np.arange(len(owner)) - np.searchsorted(owner, owner)
        gram, owner = gram[ranks < most], owner[ranks < most]
    order = np.lexsort((owner, gram))
    totals = np.bincount(owner, minlength=len(lengths)).astype(np.int32)
    return Grams(gram[order], owner[order].astype(np.int32), totals, known)


@dataclass(frozen=True)
class Index:
    """The n-grams of texts, to look up those of documents.

    Attributes:
        grams: sorted; the fields are those of Grams.
        owners: of each.
        totals: by text.
        lengths: numbers of words that n-grams have.
        slots: bits at the hashes of all n-grams, so that most others need not be looked up.
    """

    grams: UInt64[np.ndarray, " postings"]
    owners: Int32[np.ndarray, " postings"]
    totals: Int32[np.ndarray, " texts"]
    lengths: Int64[np.ndarray, " lengths"]
    slots: UInt8[np.ndarray, " bytes"]

    @classmethod
    def of(cls, grams: Grams) -> "Index":
        """The index of n-grams."""
        slots = empty_slots(len(grams.grams))
        set_slots(slots, grams.grams)
        return cls(grams.grams, grams.owners, grams.totals, np.array(grams.lengths, np.int64), slots)

    def save(self, folder: Path) -> None:
        """Writes the index into a folder."""
        for name in _FIELDS:
            np.save(folder / f"{name}.npy", getattr(self, name))

    @classmethod
    def load(cls, folder: Path) -> "Index":
        """The index in a folder; its arrays stay on disk, and processes share them."""
        return cls(**{name: np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in _FIELDS})

    def repeated(self, words: Words, share: float) -> Repeated:
        """What documents repeat.

        Args:
            words: of the documents.
            share: of a text's n-grams from which a document is told to repeat it.
        """
        shares = np.zeros(len(words.bounds) - 1)
        found, texts = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
        for documents, owners, hits in self._hits(words):
            part = hits / self.totals[owners]
            order = np.lexsort((owners, -part, documents))
            documents, owners, part = documents[order], owners[order], part[order]
            first = np.flatnonzero(np.diff(documents, prepend=-1))
            shares[documents[first]] = part[first]
            found.append(documents[part >= share])
            texts.append(owners[part >= share])
        return Repeated(shares, np.concatenate(found), np.concatenate(texts))

    def _hits(
        self, words: Words
    ) -> Iterator[tuple[Int64[np.ndarray, " hits"], Int32[np.ndarray, " hits"], Int64[np.ndarray, " hits"]]]:
        """Documents, texts, and how many n-grams both have; all of a document at once."""
        documents, first, last = self._matches(words)
        lengths, texts = last - first, len(self.totals)
        starts = np.flatnonzero(np.diff(documents, prepend=-1))
        groups = (np.cumsum(lengths) - lengths)[starts] // _POSTINGS
        cuts = starts[np.flatnonzero(np.diff(groups, prepend=-1))].tolist()
        for begin, stop in pairwise([*cuts, len(documents)]):
            own = lengths[begin:stop]
            at = np.repeat(first[begin:stop] - (np.cumsum(own) - own), own) + np.arange(own.sum())
            keys = np.repeat(documents[begin:stop], own) * texts + self.owners[at]
            keys, hits = np.unique(keys, return_counts=True)
            yield keys // texts, (keys % texts).astype(np.int32), hits

    def _matches(
        self, words: Words
    ) -> tuple[Int64[np.ndarray, " matches"], Int64[np.ndarray, " matches"], Int64[np.ndarray, " matches"]]:
        """Documents with the places, first and behind the last, of each n-gram that is known, once a document."""
        owners, grams = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
        for begin, length, values in _windows(words, self.lengths.tolist()):
            at = may_have(self.slots, values)
            places = np.minimum(np.searchsorted(self.grams, values[at]), max(len(self.grams) - 1, 0))
            at, documents = _inside(words, begin, at[self.grams[places] == values[at]], length)
            grams.append(values[at])
            owners.append(documents)
        gram, owner = _once(np.concatenate(owners), np.concatenate(grams))
        return owner, np.searchsorted(self.grams, gram), np.searchsorted(self.grams, gram, side="right")


def empty_slots(grams: int) -> UInt8[np.ndarray, " bytes"]:
    """Bits for so many n-grams: 32 to 64 for each."""
    return np.zeros(1 << max((32 * grams).bit_length() - 3, 3), np.uint8)


def set_slots(slots: UInt8[np.ndarray, " bytes"], grams: UInt64[np.ndarray, " grams"]) -> None:
    """Sets two bits for each n-gram."""
    for factor in _SPREADS:
        places = _places(slots, grams, factor)
        np.bitwise_or.at(slots, places >> 3, _BITS[places & 7])


def may_have(slots: UInt8[np.ndarray, " bytes"], grams: UInt64[np.ndarray, " grams"]) -> Int64[np.ndarray, " some"]:
    """Places of the n-grams whose two bits are set: of others than those that were set, one in 256 to 1024."""
    at = np.flatnonzero(_is_set(slots, grams, _SPREADS[0]))
    return at[_is_set(slots, grams[at], _SPREADS[1])]


def _is_set(
    slots: UInt8[np.ndarray, " bytes"], grams: UInt64[np.ndarray, " grams"], factor: np.uint64
) -> Bool[np.ndarray, " grams"]:
    places = _places(slots, grams, factor)
    return (slots[places >> 3] & _BITS[places & 7]) != 0


def _places(
    slots: UInt8[np.ndarray, " bytes"], grams: UInt64[np.ndarray, " grams"], factor: np.uint64
) -> Int64[np.ndarray, " grams"]:
    places = grams * factor
    places >>= np.uint64(65 - (8 * len(slots)).bit_length())
    return places.view(np.int64)


def _windows(words: Words, lengths: Sequence[int]) -> Iterator[tuple[int, int, UInt64[np.ndarray, " windows"]]]:
    """Hashes of all runs of some numbers of words, over the ends of documents too, in pieces.

    Args:
        words: of documents.
        lengths: the numbers of words, increasing.

    Yields:
        The place of the first run, the number of words, and hashes, which the next item changes.
    """
    for begin in range(0, len(words.hashes) if lengths else 0, _WINDOWS):
        hashes = words.hashes[begin : begin + _WINDOWS + lengths[-1] - 1]
        values, done = np.zeros(min(len(hashes), _WINDOWS), np.uint64), 0
        for length in lengths:
            for offset in range(done, length):
                values = values[: max(len(hashes) - offset, 0)]
                values *= _GRAM
                values += hashes[offset : offset + len(values)]
            done = length
            yield begin, length, values


def _inside(
    words: Words, begin: int, at: Int64[np.ndarray, " windows"], length: int
) -> tuple[Int64[np.ndarray, " inside"], Int64[np.ndarray, " inside"]]:
    """Those windows that are within a document, and the document of each."""
    documents = np.searchsorted(words.bounds, at + begin, side="right") - 1
    inside = at + begin + length <= words.bounds[documents + 1]
    return at[inside], documents[inside]


def _once(
    owners: Int64[np.ndarray, " grams"], grams: UInt64[np.ndarray, " grams"]
) -> tuple[UInt64[np.ndarray, " distinct"], Int64[np.ndarray, " distinct"]]:
    """Each n-gram of each owner once, sorted by owner and n-gram."""
    order = np.lexsort((grams, owners))
    grams, owners = grams[order], owners[order]
    new = np.ones(len(grams), bool)
    new[1:] = (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])
    return grams[new], owners[new]

"""The exact check of pairs: n-grams in common, of the sets of all n-grams of both documents."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float64, Int64, UInt32

from scaling.data.curate.duplicates.candidates import cut_pairs, distinct, places_in
from scaling.data.curate.duplicates.keys import RankedPart
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.text.words import Words, grams_of, words_of

MATCHES, CLOSE = "matches.npy", "close.npy"
MATCH = np.dtype([("better", "<u4"), ("worse", "<u4"), ("kind", "u1"), ("value", "<f8")])
"""A pair of near-duplicates by their ranks; kind 0 and their similarity, or kind 1 and the share contained."""
CLOSE_ROW = np.dtype([("rank", "<u4"), ("value", "<f8")])
"""A document and its highest similarity to a preferred one, of those that are not near-duplicates."""
_HASHES, _SETS = "hashes.bin", "sets.npy"
_SET = np.dtype([("rank", "<u4"), ("begin", "<i8"), ("length", "<i8")])
"""Where the set of a document is in the file of hashes."""
NOBODY = np.uint32(2**32 - 1)
_AT_ONCE = 2**22
"""N-grams of the pairs that are compared at once."""
_LONG = 256


@dataclass(frozen=True)
class Limits:
    """From when on documents are near-duplicates, by the source of the worse one.

    Attributes:
        first: rank of each source's first document, in order.
        alike: least similarity.
        contained: least share of its n-grams in the other; above 1 where that does not count.
    """

    first: tuple[int, ...]
    alike: tuple[float, ...]
    contained: tuple[float, ...]

    def source_of(self, ranks: UInt32[np.ndarray, " ranks"]) -> Int64[np.ndarray, " ranks"]:
        """Place of each document's source in the order of preference."""
        return np.searchsorted(np.array(self.first), ranks, side="right") - 1


def sets_of(grams: Words) -> tuple[Int64[np.ndarray, " hashes"], Int64[np.ndarray, " documents_1"]]:
    """The set of n-grams of each document: sorted hashes of 63 bits, each once, and bounds as those of words."""
    hashes = (grams.hashes >> np.uint64(1)).view(np.int64)
    bounds = grams.bounds.tolist()
    for begin, stop in pairwise(bounds):
        hashes[begin:stop].sort()
    new = np.ones(len(hashes), bool)
    np.not_equal(hashes[1:], hashes[:-1], out=new[1:])
    new[grams.bounds[:-1][grams.counts > 0]] = True
    ends = np.zeros(len(bounds), np.int64)
    ends[1:] = np.cumsum([int(np.count_nonzero(new[begin:stop])) for begin, stop in pairwise(bounds)])
    return hashes[new], ends


def in_common(
    hashes: Int64[np.ndarray, " hashes"],
    bounds: Int64[np.ndarray, " documents_1"],
    one: Int64[np.ndarray, " pairs"],
    two: Int64[np.ndarray, " pairs"],
) -> Int64[np.ndarray, " pairs"]:
    """How many hashes two sets have in common.

    Args:
        hashes: of the sets, as :func:`sets_of` gives them.
        bounds: of the sets.
        one: place of the first set of each pair.
        two: of the second.
    """
    # A sparse row has a column for each hash; the product of two rows is merged as sorted lists are.
    rows = sparse.csr_array((np.ones(len(hashes), np.int8), hashes, bounds), shape=(len(bounds) - 1, 2**63 - 1))
    rows.has_canonical_format = True
    return np.diff(rows[one].multiply(rows[two]).indptr).astype(np.int64)


def write_sets(
    folder: Path, view: PartView, options: NearDuplicatesSpec | None, ranked: Mapping[int, RankedPart], compared: Path
) -> None:
    """Writes the sets of a part's documents that are in a pair.

    Args:
        folder: to write into.
        view: the documents.
        options: None where the documents are not compared.
        ranked: by the number of a part.
        compared: folder of the mask of their ranks.
    """
    if options is None:
        return
    ranks = ranked[view.number].read_ranks()
    wanted = np.load(compared / "compared.npy", mmap_mode="r")[ranks]
    lengths = [np.empty(0, np.int64)]
    with (folder / _HASHES).open("wb") as file:
        for batch in view.batches() if wanted.any() else ():
            own = np.flatnonzero(wanted[batch.first : batch.first + len(batch)]).tolist()
            hashes, ends = sets_of(grams_of(words_of([batch.texts[place] for place in own]), options.words))
            hashes.tofile(file)
            lengths.append(np.diff(ends))
    table = np.empty(int(wanted.sum()), _SET)
    table["rank"], table["length"] = ranks[wanted], np.concatenate(lengths)
    table["begin"] = np.cumsum(table["length"]) - table["length"]
    np.save(folder / _SETS, table[np.argsort(table["rank"])])


def check_pairs(
    folder: Path, found: Sequence[Path], number: int, count: int, sets: Sequence[Path], limits: Limits
) -> None:
    """Writes the pairs that are near-duplicates, of a share of those found.

    Args:
        folder: to write into.
        found: folders of pairs.
        number: of the share.
        count: of shares.
        sets: folders of the documents' n-grams.
        limits: from when on documents are near-duplicates.
    """
    pairs = cut_pairs(found, number, count)
    better, worse = (pairs >> np.uint64(32)).astype(np.uint32), pairs.astype(np.uint32)
    ranks = distinct(np.sort(np.concatenate([better, worse])))
    read = _Sets(sets, ranks)
    matches, close = [np.empty(0, MATCH)], [np.empty(0, CLOSE_ROW)]
    one, two = np.searchsorted(ranks, better), np.searchsorted(ranks, worse)
    for begin, stop in _runs(read.lengths[one] + read.lengths[two]):
        places = np.concatenate([one[begin:stop], two[begin:stop]])
        own = distinct(np.sort(places))
        places = np.searchsorted(own, places)
        hashes, bounds = read.read(own)
        common = in_common(hashes, bounds, places[: stop - begin], places[stop - begin :])
        kept = compared(
            better[begin:stop], worse[begin:stop], common, read.lengths[one[begin:stop]], read.lengths[two[begin:stop]],
            limits,
        )  # fmt: skip
        matches.append(kept[0])
        close.append(kept[1])
    np.save(folder / MATCHES, np.concatenate(matches))
    np.save(folder / CLOSE, highest(np.concatenate(close)))


def compared(
    better: UInt32[np.ndarray, " pairs"],
    worse: UInt32[np.ndarray, " pairs"],
    common: Int64[np.ndarray, " pairs"],
    of_better: Int64[np.ndarray, " pairs"],
    of_worse: Int64[np.ndarray, " pairs"],
    limits: Limits,
) -> tuple[np.ndarray, np.ndarray]:
    """Near-duplicates (see ``MATCH``) of pairs, and how alike the others are (see ``CLOSE_ROW``).

    Args:
        better: rank of the preferred document.
        worse: of the other.
        common: n-grams of both.
        of_better: n-grams of the preferred document.
        of_worse: of the other.
        limits: from when on they are near-duplicates.
    """
    similarity: Float64[np.ndarray, " pairs"] = common / (of_better + of_worse - common)
    share: Float64[np.ndarray, " pairs"] = common / of_worse
    sources = limits.source_of(worse)
    alike = similarity >= np.array(limits.alike)[sources]
    contained = ~alike & (share >= np.array(limits.contained)[sources])
    matches = np.empty(len(better), MATCH)
    matches["better"], matches["worse"], matches["kind"] = better, worse, contained
    matches["value"] = np.where(contained, share, similarity)
    close = np.empty(len(better), CLOSE_ROW)
    close["rank"], close["value"] = worse, similarity
    return matches[alike | contained], highest(close[~alike & (similarity > 0)])


def highest(close: np.ndarray) -> np.ndarray:
    """Each document once, with its highest value."""
    close = close[np.lexsort((-close["value"], close["rank"]))]
    return close[np.diff(close["rank"], prepend=NOBODY) != 0]


class _Sets:
    """The n-grams of documents in the files of many parts.

    Args:
        folders: of the parts; those of parts without documents are empty.
        ranks: of the documents, sorted.
    """

    def __init__(self, folders: Sequence[Path], ranks: UInt32[np.ndarray, " documents"]) -> None:
        self.lengths = np.zeros(len(ranks), np.int64)
        self._begins = np.zeros(len(ranks), np.int64)
        self._owners = np.full(len(ranks), -1)
        self._files: list[Path] = []
        for folder in folders:
            if not (folder / _SETS).exists():
                continue
            table = np.load(folder / _SETS, mmap_mode="r")
            places, found = places_in(table["rank"], ranks)
            own = table[places]
            self._owners[found], self._begins[found], self.lengths[found] = (
                len(self._files),
                own["begin"],
                own["length"],
            )
            self._files.append(folder / _HASHES)
        assert (self._owners >= 0).all()

    def read(self, places: Int64[np.ndarray, " some"]) -> tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " some_1"]]:
        """Hashes of some of the documents, and their bounds."""
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths[places])])
        hashes = np.empty(bounds[-1], np.int64)
        owners = self._owners[places]
        for owner in distinct(np.sort(owners)).tolist():
            # One file at a time, as a process may not have as many open as there are parts.
            own = np.flatnonzero(owners == owner)
            file = np.asarray(np.memmap(self._files[owner], np.int64, "r"))
            begins, lengths = self._begins[places[own]], self.lengths[places[own]]
            if lengths.mean() > _LONG:
                for start, begin, length in zip(bounds[own].tolist(), begins.tolist(), lengths.tolist(), strict=True):
                    hashes[start : start + length] = file[begin : begin + length]
                continue
            within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            hashes[np.repeat(bounds[own], lengths) + within] = file[np.repeat(begins, lengths) + within]
        return hashes, bounds


def _runs(sizes: Int64[np.ndarray, " pairs"]) -> Iterator[tuple[int, int]]:
    """Begin and stop of pairs that are compared at once, one at least."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(sizes):
        done = int(ends[begin - 1]) if begin else 0
        stop = max(int(np.searchsorted(ends, done + _AT_ONCE, side="right")), begin + 1)
        yield begin, stop
        begin = stop

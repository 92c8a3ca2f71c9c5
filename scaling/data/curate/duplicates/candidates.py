"""Candidates for near-duplicates: pairs of documents that share a key, in rounds with bounded work.

A bucket is all documents with the same key. A round compares all pairs of a small bucket; of a larger one it compares
the most preferred documents, the leaders, with all the others. What then matches one that stays is dropped, and the
next round has smaller buckets. Where rounds no longer help, as among a million forms that differ too much to be
near-duplicates, larger buckets are split by further keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt32, UInt64

from scaling.data.curate.duplicates.keys import BAND, RankedPart
from scaling.data.curate.text.words import mixed

PAIRS, REST, BOUNDED, STATE = "pairs.npy", "rest.npy", "bounded.npy", "state.npy"
SMALL, LEADERS = 16, 2
"""Documents of a bucket that a round compares as a whole; those of a larger one that it compares with the others."""
LARGEST = 32
"""Documents of a bucket that is not split in the end."""
ROW = np.dtype([("key", "<u8"), ("rank", "<u4")])
"""A document in a larger bucket."""
_DEPTH, _STRIDES = 4, (1, 2, 3)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_RANK = np.uint64(2**32 - 1)


@dataclass(frozen=True)
class Buckets:
    """Documents that share a key with another, sorted by key and rank.

    Attributes:
        keys: of the documents.
        ranks: of the documents.
        places: of each in its bucket.
        sizes: of the bucket of each.
    """

    keys: UInt64[np.ndarray, " rows"]
    ranks: UInt32[np.ndarray, " rows"]
    places: Int64[np.ndarray, " rows"]
    sizes: Int64[np.ndarray, " rows"]

    def where(self, mask: Bool[np.ndarray, " rows"]) -> "Buckets":
        """Some of the buckets, by a mask of their documents."""
        return Buckets(self.keys[mask], self.ranks[mask], self.places[mask], self.sizes[mask])


def buckets_of(keys: UInt64[np.ndarray, " rows"], ranks: UInt32[np.ndarray, " rows"]) -> Buckets:
    """The buckets of documents, by a key and the rank of each; those of a single document are left out."""
    ordered = np.sort(keys)
    shared = distinct(ordered[1:][ordered[1:] == ordered[:-1]])
    numbers, found = places_in(shared, keys)
    # One sort of a number and a rank in one is many times as fast as one by two keys.
    rows = np.sort(numbers.astype(np.uint64) << np.uint64(32) | ranks[found])
    numbers = (rows >> np.uint64(32)).astype(np.int64)
    sizes = np.bincount(numbers, minlength=len(shared))
    starts = np.cumsum(sizes) - sizes
    places = np.arange(len(rows)) - starts[numbers]
    return Buckets(shared[numbers], (rows & _RANK).astype(np.uint32), places, sizes[numbers])


def pairs_of(buckets: Buckets, leaders: int) -> UInt64[np.ndarray, " pairs"]:
    """Pairs of each bucket's first documents with those behind them: 2^32 x the better rank + the worse, sorted."""
    found = [np.empty(0, np.uint64)]
    behind = np.flatnonzero(buckets.places > 0)
    for leader in range(leaders):
        behind = behind[buckets.places[behind] > leader]
        if not len(behind):
            break
        better = buckets.ranks[behind - buckets.places[behind] + leader]
        found.append(better.astype(np.uint64) << np.uint64(32) | buckets.ranks[behind])
    return distinct(np.sort(np.concatenate(found)))


def refined(
    keys: UInt64[np.ndarray, " rows"], ranks: UInt32[np.ndarray, " rows"], band: int, bands: int
) -> UInt64[np.ndarray, " pairs"]:
    """Pairs of a band's buckets, of the larger ones only those that share further keys, up to four.

    The keys are of bands at three distances, so that 99.9 % of the pairs of a similarity of 0.95 share four in a row.

    Args:
        keys: of all bands.
        ranks: of the documents.
        band: whose buckets are paired; the one behind the last is of whole sketches.
        bands: but that of whole sketches.
    """
    of_band = keys & BAND
    own = buckets_of(keys[of_band == band], ranks[of_band == band])
    found = [pairs_of(own.where(own.sizes <= LARGEST), LARGEST)]
    for stride in _STRIDES if band < bands else ():
        large = own.where(own.sizes > LARGEST)
        for step in range(1, _DEPTH):
            other = of_band == (band + step * stride) % bands
            large = _joined(large, keys[other], ranks[other])
            fits = large.sizes <= LARGEST
            found += [pairs_of(large.where(fits), LARGEST), pairs_of(large.where(~fits), LEADERS)]
            large = large.where(~fits)
    return distinct(np.sort(np.concatenate(found)))


def _joined(buckets: Buckets, keys: UInt64[np.ndarray, " rows"], ranks: UInt32[np.ndarray, " rows"]) -> Buckets:
    """Buckets split by further keys of their documents; those without one are left out."""
    order = np.argsort(ranks)
    places, found = places_in(ranks[order], buckets.ranks)
    joined = mixed(buckets.keys[found] * _FACTOR + keys[order[places]])
    return buckets_of(joined, buckets.ranks[found])


def find_pairs(folder: Path, parts: Sequence[RankedPart], bands: Sequence[int], low: int, high: int) -> None:
    """Writes the pairs of the first round, of some bands and a range of keys, and the larger buckets.

    Args:
        folder: to write into.
        parts: with their keys.
        bands: of the keys.
        low: first key.
        high: the key behind the last.
    """
    keys, ranks = [np.empty(0, np.uint64)], [np.empty(0, np.uint32)]
    for part in parts:
        own = part.read_ranks()
        for band in bands:
            found, places = part.read_keys(band, low, high)
            keys.append(found)
            ranks.append(own[places])
    _write_round(folder, np.concatenate(keys), np.concatenate(ranks))


def find_again(folder: Path, before: Path, decided: Path) -> None:
    """Writes the pairs of a further round, and the larger buckets.

    Args:
        folder: to write into.
        before: folder of the round before.
        decided: folder of what is decided by now.
    """
    _write_round(folder, *undecided([before], decided))


def find_refined(folder: Path, before: Sequence[Path], decided: Path, band: int, bands: int) -> None:
    """Writes the last pairs of a band, and the ranks of the documents in buckets that are not compared as a whole.

    Args:
        folder: to write into.
        before: folders of the last round, of all bands.
        decided: folder of what is decided by now.
        band: whose buckets are paired.
        bands: but that of whole sketches.
    """
    keys, ranks = undecided(before, decided)
    np.save(folder / PAIRS, refined(keys, ranks, band, bands))
    own = keys & BAND == band
    buckets = buckets_of(keys[own], ranks[own])
    np.save(folder / BOUNDED, buckets.ranks[buckets.sizes > LARGEST])


def undecided(
    folders: Sequence[Path], decided: Path
) -> tuple[UInt64[np.ndarray, " rows"], UInt32[np.ndarray, " rows"]]:
    """Keys and ranks, from the larger buckets of rounds, of the documents that may stay or go."""
    state = np.load(decided / STATE, mmap_mode="r")
    rests = (np.load(folder / REST) for folder in folders)
    rows = np.concatenate([np.empty(0, ROW), *(rest[state[rest["rank"]] == 0] for rest in rests)])
    return rows["key"].copy(), rows["rank"].copy()


def followers(folders: Sequence[Path]) -> UInt32[np.ndarray, " ranks"]:
    """Ranks of the documents of larger buckets that a round has not compared with all others."""
    found = [np.empty(0, np.uint32)]
    for folder in folders:
        rows = np.load(folder / REST)
        buckets = buckets_of(rows["key"].copy(), rows["rank"].copy())
        found.append(buckets.ranks[buckets.places >= LEADERS])
    return np.concatenate(found)


def cut_pairs(folders: Sequence[Path], number: int, count: int) -> UInt64[np.ndarray, " pairs"]:
    """One of so many shares of the distinct pairs in some folders."""
    files: list[np.ndarray] = [np.load(folder / PAIRS, mmap_mode="r") for folder in folders]
    some = np.sort(np.concatenate([file[:: max(len(file) // 4096, 1)] for file in files]))
    cuts = [some[len(some) * place // count] if 0 < place < count else None for place in (number, number + 1)]
    shares = []
    for file in files:
        begin, stop = (None if cut is None else int(np.searchsorted(file, cut)) for cut in cuts)
        shares.append(np.array(file[begin:stop]))
    return distinct(np.sort(np.concatenate(shares)))


def count_pairs(folders: Sequence[Path]) -> int:
    """Pairs in some folders, those in several as often."""
    return sum(len(np.load(folder / PAIRS, mmap_mode="r")) for folder in folders)


def write_compared(folder: Path, found: Sequence[Path], count: int) -> None:
    """Writes the mask of the ranks that are in a pair.

    Args:
        folder: to write into.
        found: folders of pairs.
        count: of ranks.
    """
    mask = np.zeros(count, bool)
    for path in found:
        pairs = np.load(path / PAIRS)
        mask[pairs >> np.uint64(32)] = True
        mask[pairs & _RANK] = True
    np.save(folder / "compared.npy", mask)


def distinct(ordered: np.ndarray) -> np.ndarray:
    """Sorted values, each once; many times as fast as ``np.unique``."""
    new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered[new]


def places_in(
    ordered: np.ndarray, values: np.ndarray
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
    """Places among sorted values of those others that are there, and the places of these."""
    if not len(ordered):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found = np.flatnonzero(ordered[places] == values)
    return places[found], found


def _write_round(folder: Path, keys: UInt64[np.ndarray, " rows"], ranks: UInt32[np.ndarray, " rows"]) -> None:
    buckets = buckets_of(keys, ranks)
    small = buckets.sizes <= SMALL
    pairs = np.concatenate([pairs_of(buckets.where(small), SMALL), pairs_of(buckets.where(~small), LEADERS)])
    np.save(folder / PAIRS, distinct(np.sort(pairs)))
    rest = np.empty(int((~small).sum()), ROW)
    rest["key"], rest["rank"] = buckets.keys[~small], buckets.ranks[~small]
    np.save(folder / REST, rest)

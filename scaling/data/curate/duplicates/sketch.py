"""Sketches of sets of n-grams, which agree the more, the more the sets do; and the bands by which alike ones meet."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

import numpy as np
from jaxtyping import Int64, UInt8, UInt32, UInt64

from scaling.data.curate.text.words import Words, mixed

BINS = 128
"""Values of a sketch."""
_EMPTY = np.uint32(2**32 - 1)
_MOST_ROWS = 8
_MISSED = 0.02
_BLOCK, _DENSIFIED = 2**18, 2**14
_FACTOR = np.uint64(0xD6E8FEB86659FD93)


def sketches(grams: Words) -> UInt32[np.ndarray, "documents 128"]:
    """Sketches of documents by one permutation: the least hash of each bin (Li, Owen, Zhang 2012).

    A bin without hashes takes the value of another, the first in an order of the bin's own that has some: so two sets
    agree in a value with a probability of their Jaccard similarity, whatever their sizes (optimal densification,
    1703.04664).

    Args:
        grams: hashes of each document's n-grams, in any order and as often as they like.

    Returns:
        Values below 2^31; of a document without n-grams all are 0.
    """
    documents = len(grams.bounds) - 1
    least = np.full((documents, BINS), _EMPTY)
    flat = least.reshape(-1)
    for places, hashes in _blocks(grams):
        bins = (hashes >> np.uint64(57)).astype(np.int64)
        bins += places * BINS
        np.minimum.at(flat, bins, (hashes >> np.uint64(26)).astype(np.uint32) & np.uint32(2**31 - 1))
    _densify(least)
    return least


def rows_for(alike: float) -> int:
    """The rows of a band so that at most 2 % of the pairs of a similarity meet in none: 5 for 0.7.

    Bands of r rows, of which there are 128 // r, miss (1 - s^r)^(128 // r) of the pairs of a similarity s.
    """
    fit = (rows for rows in range(_MOST_ROWS, 1, -1) if (1 - alike**rows) ** (BINS // rows) <= _MISSED)
    return next(fit, 1)


def band_keys(sketches: UInt32[np.ndarray, "documents 128"], rows: int = 5) -> UInt64[np.ndarray, "bands documents"]:
    """Keys of the bands of sketches, 128 // rows of them; documents with a key in common are candidates.

    No two bands have a key in common, but by chance.
    """
    columns = np.ascontiguousarray(sketches.T)
    keys = np.empty((BINS // rows, len(sketches)), np.uint64)
    for band, key in enumerate(keys):
        key[:] = band + 1
        for column in columns[band * rows : (band + 1) * rows]:
            key *= _FACTOR
            key += column
    return mixed(keys)


def _blocks(grams: Words) -> Iterator[tuple[Int64[np.ndarray, " block"], UInt64[np.ndarray, " block"]]]:
    """The document of each hash, and the hashes, so many that they stay in the cache."""
    for begin in range(0, len(grams.hashes), _BLOCK):
        stop = min(begin + _BLOCK, len(grams.hashes))
        first = int(np.searchsorted(grams.bounds, begin, side="right")) - 1
        last = int(np.searchsorted(grams.bounds, stop, side="left"))
        lengths = np.diff(np.clip(grams.bounds[first : last + 1], begin, stop))
        yield np.repeat(np.arange(first, last), lengths), grams.hashes[begin:stop]


def _densify(least: UInt32[np.ndarray, "documents 128"]) -> None:
    """Fills the empty bins, in place."""
    filled = least != _EMPTY
    counts = filled.sum(axis=1)
    least[counts == 0] = 0
    order, places = _orders()
    # Documents with as many filled bins are one array.
    by_count = np.argsort(counts, kind="stable")
    for count, begin, stop in _runs(counts[by_count]):
        if not 0 < count < BINS:
            continue
        step = max(_DENSIFIED // count, 1)
        for at in range(begin, stop, step):
            own = by_count[at : min(at + step, stop)]
            bins = np.nonzero(filled[own])[1].reshape(len(own), count)
            # Of each bin the first in its order that is filled; a filled one is the first of its own.
            donors = order[np.arange(BINS), places[bins].min(axis=1)]
            least[own] = np.take_along_axis(least[own], donors, axis=1)


def _runs(values: Int64[np.ndarray, " values"]) -> Iterator[tuple[int, int, int]]:
    """Runs of equal values: the value, begin and stop."""
    cuts = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    for begin, stop in pairwise(cuts):
        if stop > begin:
            yield int(values[begin]), begin, stop


@lru_cache(maxsize=1)
def _orders() -> tuple[Int64[np.ndarray, "128 128"], UInt8[np.ndarray, "128 128"]]:
    """All bins in a random order of each bin (rows), itself first; and the place of a bin (rows) in each order."""
    bins = np.arange(BINS, dtype=np.uint64)
    ranks = mixed(bins[:, None] * np.uint64(BINS) + bins + np.uint64(1))
    np.fill_diagonal(ranks, 0)
    order = np.argsort(ranks, axis=1)
    return order, np.ascontiguousarray(np.argsort(order, axis=1).T.astype(np.uint8))

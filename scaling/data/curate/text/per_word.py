"""What is known of each word, a slice of the words at a time, and its sums of documents: for texts of any length."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int32, Int64

from scaling.data.curate.text.words import Words

SLICE = 2**16
"""Words of a slice, so that what is computed of them stays near the processor."""


def slices(words: Words) -> Iterator[tuple[int, int]]:
    """The first word of each slice, and the one behind its last."""
    for low in range(0, len(words.hashes), SLICE):
        yield low, min(low + SLICE, len(words.hashes))


def starts_in(words: Words, low: int, high: int) -> Int64[np.ndarray, " starts"]:
    """Places in a slice of the first words of documents."""
    first, stop = np.searchsorted(words.bounds, (low, high))
    return words.bounds[first:stop] - low


def sums_of(values: Int32[np.ndarray, " words"], words: Words) -> Int64[np.ndarray, " documents"]:
    """Sums of the values of each document's words; whole numbers, so that it does not matter where it stands."""
    sums, some = np.zeros(len(words.bounds) - 1, np.int64), words.counts > 0
    if some.any():
        sums[some] = np.add.reduceat(values, words.bounds[:-1][some], dtype=np.int64)
    return sums

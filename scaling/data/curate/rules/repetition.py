"""How much of a text repeats itself: lines and paragraphs that come again, and n-grams of words."""

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, UInt64

from scaling.data.curate.text.words import mixed

TOP_GRAMS, DUPLICATE_GRAMS = (2, 3, 4), (5, 6, 7, 8, 9, 10)
"""Words of the n-grams that Gopher judges by the most frequent one, and by all that come again (2112.11446, A.1)."""
MOST = 2**20
"""Words, and lines, of a text of which repetition is measured: its first."""
_GRAM = np.uint64(0xD6E8FEB86659FD93)
_BITS = np.uint64(MOST.bit_length() - 1)

Bounds = Int64[np.ndarray, " texts_1"]
Totals = Int64[np.ndarray, " texts"]


def repeated(
    hashes: UInt64[np.ndarray, " items"], lengths: Int32[np.ndarray, " items"], bounds: Bounds
) -> tuple[Totals, Totals]:
    """Items of each text that an earlier one of it is equal to: how many, and their characters."""
    owners = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    order = np.argsort(hashes, kind="stable")
    again = (hashes[order[1:]] == hashes[order[:-1]]) & (owners[order[1:]] == owners[order[:-1]])
    later = np.zeros(len(hashes), np.int64)
    later[order[1:][again]] = 1
    return totals(later, bounds), totals(later * lengths, bounds)


def paragraphs(
    lines: UInt64[np.ndarray, " lines"],
    lengths: Int32[np.ndarray, " lines"],
    breaks: Bool[np.ndarray, " lines"],
    bounds: Bounds,
) -> tuple[UInt64[np.ndarray, " paragraphs"], Int32[np.ndarray, " paragraphs"], Bounds]:
    """Hashes and characters of the paragraphs that lines make, and the bounds of the texts in them.

    Args:
        lines: their hashes.
        lengths: of the lines.
        breaks: lines that begin a paragraph.
        bounds: of the texts in the lines.
    """
    first = np.flatnonzero(breaks)
    if not len(first):
        return np.empty(0, np.uint64), np.empty(0, np.int32), np.zeros_like(bounds)
    places = np.arange(len(lines)) - np.repeat(first, np.diff(np.append(first, len(lines))))
    hashes = np.add.reduceat(mixed(lines + places.astype(np.uint64) * _GRAM), first)  # a line's hash by its place
    own = np.searchsorted(first, bounds)
    return hashes, np.add.reduceat(lengths, first, dtype=np.int32), own


def totals(values: Int[np.ndarray, " items"], bounds: Bounds) -> Totals:
    """Sums of the items of each text."""
    return np.diff(np.append(0, np.cumsum(values, dtype=np.int64))[bounds])


def gram_characters(
    words: UInt64[np.ndarray, " words"], lengths: Int32[np.ndarray, " words"], bounds: Bounds
) -> tuple[Int64[np.ndarray, "texts top"], Int64[np.ndarray, "texts duplicate"]]:
    """Characters of each text that are in repeated n-grams of words.

    An n-gram can only come again where both n-grams of one word less in it do: so each n looks at few places, where the
    one before has left some. Places are sorted with 44 bits of the hash of their n-gram in front, and n-grams are equal
    where these are and the text is the same: what is found in a text does not depend on the others.

    Args:
        words: hashes of the words.
        lengths: their characters.
        bounds: of the texts in the words; none has more than ``MOST``, nor all together.

    Returns:
        For each of ``TOP_GRAMS`` the characters of the most frequent n-gram, with the spaces in it, times how often it
        is there, 0 where none is there twice; of equally frequent ones the longest. For each of ``DUPLICATE_GRAMS`` the
        characters of words in n-grams that were there before, each once.
    """
    texts = len(bounds) - 1
    owners = np.repeat(np.arange(texts, dtype=np.int32), np.diff(bounds))
    ends = bounds[1:][owners]
    sums = np.append(0, np.cumsum(lengths, dtype=np.int64))
    top = np.zeros((texts, len(TOP_GRAMS)), np.int64)
    duplicate = np.zeros((texts, len(DUPLICATE_GRAMS)), np.int64)
    places, grams = np.arange(len(words)), words
    for count in range(2, DUPLICATE_GRAMS[-1] + 1):
        inside = places + count <= ends[places]
        places, grams = places[inside], grams[inside]
        grams = grams * _GRAM + words[places + count - 1]
        order, again = _grouped(grams, owners[places])
        ordered = places[order]
        if count in TOP_GRAMS:
            top[:, TOP_GRAMS.index(count)] = _top(ordered, again, count, sums, owners, texts)
        else:
            covered = _covered(ordered[again], count, len(words))
            duplicate[:, DUPLICATE_GRAMS.index(count)] = totals(covered * lengths, bounds)
        repeats = np.zeros(len(words) + 1, bool)
        repeats[ordered[again]] = True
        repeats[ordered[:-1][again[1:]]] = True
        left = repeats[places] & repeats[places + 1]
        places, grams = places[left], grams[left]
    return top, duplicate


def _grouped(
    grams: UInt64[np.ndarray, " places"], owners: Int32[np.ndarray, " places"]
) -> tuple[Int64[np.ndarray, " places"], Bool[np.ndarray, " places"]]:
    """An order in which equal n-grams of a text follow one another as in it; whether one equals that before it."""
    keys = (mixed(grams) >> _BITS << _BITS) | np.arange(len(grams), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(MOST - 1)).astype(np.int64)
    equal = (keys[1:] ^ keys[:-1]) < np.uint64(MOST)
    again = np.zeros(len(grams), bool)
    again[1:] = equal & (owners[order[1:]] == owners[order[:-1]])
    return order, again


def _top(
    ordered: Int64[np.ndarray, " places"],
    again: Bool[np.ndarray, " places"],
    count: int,
    sums: Int64[np.ndarray, " words_1"],
    owners: Int32[np.ndarray, " words"],
    texts: int,
) -> Totals:
    """Characters of the most frequent n-gram of each text, times how often it is there."""
    first = np.flatnonzero(~again)
    often = np.diff(np.append(first, len(again)))
    first, often = ordered[first[often > 1]], often[often > 1]
    long = sums[first + count] - sums[first] + count - 1
    best = np.zeros(texts, np.int64)
    np.maximum.at(best, owners[first], (often << 40) + np.minimum(long, 2**40 - 1))
    return (best >> 40) * (best & (2**40 - 1))


def _covered(begins: Int64[np.ndarray, " grams"], count: int, words: int) -> Bool[np.ndarray, " words"]:
    """Words that are in one of the n-grams."""
    change = np.bincount(begins, minlength=words + 1) - np.bincount(begins + count, minlength=words + 1)[: words + 1]
    return np.cumsum(change[:words]) > 0

"""Words of many texts as one array of hashes, and their n-grams: what all the comparisons of documents rest on."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Int64, UInt8, UInt64

_SEPARATOR, _LETTER, _ALONE, _END = 0, 1, 2, 3
_CHUNK = 2**20
_LAST = 0x33480  # of the code points that are letters or marks; those behind are rare, and count as letters
_ALONE_RANGES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x9FFF),  # Han
    (0xF900, 0xFAFF),
    (0x20000, 0x33480),
)
_FACTOR, _MIX, _GRAM = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0xD6E8FEB86659FD93
_POWERS = np.array([pow(_FACTOR, power, 2**64) for power in range(256)], dtype=np.uint64)


@dataclass(frozen=True)
class Words:
    """Words of several texts, one behind the other.

    Attributes:
        hashes: of each word.
        bounds: of document d the words are hashes[bounds[d] : bounds[d + 1]].
    """

    hashes: UInt64[np.ndarray, " words"]
    bounds: Int64[np.ndarray, " documents_1"]

    @property
    def counts(self) -> Int64[np.ndarray, " documents"]:
        """Words of each document."""
        return np.diff(self.bounds)

    @property
    def documents(self) -> Int64[np.ndarray, " words"]:
        """The document of each word."""
        return np.repeat(np.arange(len(self.bounds) - 1), self.counts)


def words_of(texts: Sequence[str]) -> Words:
    """Words of texts: runs of letters, digits, marks and underscores, without case, in normal form C.

    Scripts that are written without spaces (Chinese, Japanese, Thai, ...) give a word a character.

    Args:
        texts: without NUL characters.
    """
    hashes, ends, found = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)], 0
    joined = "\0".join(texts) + "\0" if texts else ""
    if not unicodedata.is_normalized("NFC", joined):
        joined = unicodedata.normalize("NFC", joined)
    for chunk in _chunks(joined.lower()):
        made, closed = _words_in(chunk)
        hashes.append(made)
        ends.append(closed + found)
        found += len(made)
    return Words(np.concatenate(hashes), np.concatenate(ends))


def grams_of(words: Words, count: int) -> Words:
    """The n-grams of each document's words, in order; a shorter document has one of all its words.

    Args:
        words: of documents.
        count: of the words of an n-gram.
    """
    lengths = words.counts
    grams = np.where(lengths >= count, lengths - count + 1, np.minimum(lengths, 1))
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(grams)])
    whole = len(words.hashes) - count + 1
    rolled = np.zeros(max(whole, 0), np.uint64)
    for offset in range(count if whole > 0 else 0):
        rolled = rolled * np.uint64(_GRAM) + words.hashes[offset : offset + whole]
    first = np.repeat(words.bounds[:-1], grams) + (np.arange(bounds[-1]) - np.repeat(bounds[:-1], grams))
    long = np.repeat(lengths >= count, grams)
    made = np.zeros(len(first), np.uint64)
    made[long] = rolled[first[long]]
    for document in np.flatnonzero((lengths > 0) & (lengths < count)).tolist():
        value = int(lengths[document])  # so that no longer one has its hash
        for word in words.hashes[words.bounds[document] : words.bounds[document + 1]].tolist():
            value = (value * _GRAM + word) % 2**64
        made[bounds[document]] = value
    return Words(mixed(made), bounds)


def mixed(hashes: UInt64[np.ndarray, " hashes"]) -> UInt64[np.ndarray, " hashes"]:
    """The hashes with every bit depending on all bits; different ones stay different (the finalizer of SplitMix64)."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(_MIX)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def _chunks(text: str) -> Iterator[str]:
    """Pieces of about a million characters, cut behind one that is no letter."""
    begin = 0
    while begin < len(text):
        stop = begin + _CHUNK
        if stop < len(text):
            while stop < len(text) and classes()[min(ord(text[stop - 1]), _LAST)] == _LETTER:
                stop += 1
        yield text[begin:stop]
        begin = stop


def _words_in(text: str) -> tuple[UInt64[np.ndarray, " words"], Int64[np.ndarray, " ends"]]:
    """Hashes of the words of a piece, and how many of them are before each NUL."""
    codes = np.frombuffer(text.encode(), np.uint8) if text.isascii() else np.frombuffer(text.encode("utf-32-le"), "<u4")
    kinds = classes()[codes if codes.dtype == np.uint8 else np.minimum(codes, _LAST)]
    letters = kinds == _LETTER
    begins = letters.copy()
    begins[1:] &= ~letters[:-1]
    if codes.dtype != np.uint8:
        alone = kinds == _ALONE
        begins, letters = begins | alone, letters | alone
    at = np.flatnonzero(letters)
    starts = np.flatnonzero(begins)
    first = np.flatnonzero(begins[at])
    lengths = np.diff(np.append(first, len(at)))
    places = np.arange(len(at)) - np.repeat(first, lengths)
    values = (codes[at].astype(np.uint64) + np.uint64(1)) * _POWERS[places % len(_POWERS)]
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(values, dtype=np.uint64)])
    hashes = sums[first + lengths] - sums[first]
    return mixed(hashes), np.searchsorted(starts, np.flatnonzero(kinds == _END)).astype(np.int64)


@lru_cache(maxsize=1)
def classes() -> UInt8[np.ndarray, " points"]:
    """What each code point is: 0 between words, 1 within a word, 2 a word by itself, 3 the end of a text."""
    table = np.zeros(_LAST + 1, np.uint8)
    for point in range(_LAST):
        sign = chr(point)
        table[point] = sign.isalnum() or sign == "_" or unicodedata.category(sign)[0] == "M"
    for low, high in _ALONE_RANGES:
        table[low:high][table[low:high] == _LETTER] = _ALONE
    table[_LAST] = _LETTER
    table[0] = _END
    return table

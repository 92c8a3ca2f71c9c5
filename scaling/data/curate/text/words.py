"""Words of many texts as one array of hashes, and their n-grams: what all the comparisons of documents rest on."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

_SEPARATOR, _LETTER, _ALONE, _END = 0, 1, 2, 3
_PIECE = 2**16
"""Characters that are hashed at once, so that all fits into the cache."""
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

    Scripts that are written without spaces (Chinese, Japanese, Thai, ...) give a word a character. What a text gives
    does not depend on the others. A run of more than 65,536 letters is cut into several words.

    Args:
        texts: without NUL characters.
    """
    hashes, ends, found = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)], 0
    for piece in _pieces(texts):
        made, closed = _words_in(_folded(piece))
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
    long = lengths >= count
    short = np.flatnonzero((lengths > 0) & ~long)
    rolled = _rolled(words, count, int(grams[long].sum()))
    if not len(short):
        return Words(rolled, bounds)
    values = lengths[short].astype(np.uint64)  # so that no longer document has their hashes
    for offset in range(count - 1):
        own = lengths[short] > offset
        values[own] = values[own] * np.uint64(_GRAM) + words.hashes[words.bounds[short[own]] + offset]
    made = np.empty(bounds[-1], np.uint64)
    made[np.repeat(long, grams)] = rolled
    made[bounds[short]] = mixed(values)
    return Words(made, bounds)


def _rolled(words: Words, count: int, total: int) -> UInt64[np.ndarray, " grams"]:
    """The n-grams of the documents that have so many words, a piece at a time."""
    made, end = np.empty(total, np.uint64), 0
    begins = _begins(words, count)
    for first in range(0, len(words.hashes) - count + 1, _PIECE):
        stop = min(first + _PIECE, len(words.hashes) - count + 1)
        rolled = np.zeros(stop - first, np.uint64)
        for offset in range(count):
            rolled *= np.uint64(_GRAM)
            rolled += words.hashes[first + offset : stop + offset]
        own = mixed(rolled[begins[first:stop]])
        made[end : end + len(own)] = own
        end += len(own)
    return made


def _begins(words: Words, count: int) -> Bool[np.ndarray, " words"]:
    """Mask of the words with which an n-gram of their document begins."""
    begins = np.ones(len(words.hashes), bool)
    for offset in range(1, count):
        last = words.bounds[1:] - offset
        begins[last[last >= words.bounds[:-1]]] = False
    return begins


def mixed(hashes: UInt64[np.ndarray, " *hashes"]) -> UInt64[np.ndarray, " *hashes"]:
    """The hashes with every bit depending on all bits; different ones stay different (the finalizer of SplitMix64)."""
    hashes = hashes ^ (hashes >> np.uint64(30))
    hashes *= np.uint64(_MIX)
    hashes ^= hashes >> np.uint64(27)
    hashes *= np.uint64(0x94D049BB133111EB)
    hashes ^= hashes >> np.uint64(31)
    return hashes


def _pieces(texts: Sequence[str]) -> Iterator[str]:
    """Short texts together, and long ones in pieces cut before white space; a NUL closes each text.

    Where a long text is cut depends on it alone.
    """
    waiting: list[str] = []
    size = 0
    for text in texts:
        if len(text) >= _PIECE:
            if waiting:
                yield "\0".join(waiting) + "\0"
                waiting, size = [], 0
            yield from _cut(text)
            continue
        waiting.append(text)
        size += len(text) + 1
        if size >= _PIECE:
            yield "\0".join(waiting) + "\0"
            waiting, size = [], 0
    if waiting:
        yield "\0".join(waiting) + "\0"


def _cut(text: str) -> Iterator[str]:
    begin = 0
    while len(text) - begin > _PIECE:
        stop = begin + _PIECE
        # No word or composed sign goes beyond a space.
        space = max(text.rfind(" ", begin + 1, stop), text.rfind("\n", begin + 1, stop))
        stop = stop if space < 0 else space
        yield text[begin:stop]
        begin = stop
    yield text[begin:] + "\0"


def _folded(text: str) -> str:
    return (text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)).lower()


def _words_in(text: str) -> tuple[UInt64[np.ndarray, " words"], Int64[np.ndarray, " ends"]]:
    """Hashes of the words of a piece, and how many of them are before each NUL.

    The hash of a word of the code points c is the sum of c[i] F^i modulo 2^64, mixed. It comes from the sums of all
    code points up to its begin and up to its end, with i counted from the begin of the piece.
    """
    if text.isascii():
        plain = text.encode()
        codes, kinds = np.frombuffer(plain, np.uint8), np.frombuffer(plain.translate(_ascii_classes()), np.uint8)
    else:
        codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
        kinds = classes()[np.minimum(codes, _LAST)]
    powers, inverses = _powers(len(codes).bit_length())
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.multiply(codes, powers[: len(codes)], out=sums[1:])
    np.cumsum(sums, out=sums)
    letters = np.zeros(len(codes) + 2, bool)
    np.equal(kinds, _LETTER, out=letters[1:-1])
    edges = np.flatnonzero(letters[1:] != letters[:-1])
    starts, stops = edges[::2], edges[1::2]
    if not text.isascii():
        alone = np.flatnonzero(kinds == _ALONE)
        if len(alone):
            starts, stops = np.sort(np.append(starts, alone)), np.sort(np.append(stops, alone + 1))
    hashes = (sums[stops] - sums[starts]) * inverses[starts]
    return mixed(hashes), np.searchsorted(starts, np.flatnonzero(kinds == _END)).astype(np.int64)


@lru_cache(maxsize=8)
def _powers(bits: int) -> tuple[UInt64[np.ndarray, " count"], UInt64[np.ndarray, " count"]]:
    """The powers of the factor from 0 on, 2^bits of them, and their inverses modulo 2^64."""
    factors = [_FACTOR, pow(_FACTOR, -1, 2**64)]
    tables = [np.full(2**bits, factor, np.uint64) for factor in factors]
    for table in tables:
        table[0] = 1
        np.cumprod(table, out=table)
    return tables[0], tables[1]


@lru_cache(maxsize=1)
def _ascii_classes() -> bytes:
    return classes()[:128].tobytes() + bytes(128)


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

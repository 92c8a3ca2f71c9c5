"""Words and lines of many texts as flat arrays, and what is counted of them, in one pass over their characters."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int32, Int64, Shaped, UInt8, UInt64

from scaling.data.curate.rules.kinds import ALONE, BULLET, DIGIT, END, LETTER, OPEN, QUOTES, SIGN, SPACE, kinds
from scaling.data.curate.text.spans import codes_of, span_hashes

SHORT_LINE = 30
"""Characters of a short line, at most, as in FineWeb's program; 2406.17557 says fewer."""
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""English text has two of them at least (Gopher, 2112.11446)."""
_NEWLINE, _HASH, _DOT, _ELLIPSIS = 10, 35, 46, 0x2026

Spans = Int64[np.ndarray, "spans 2"]
Bounds = Int64[np.ndarray, " texts_1"]
Counts = dict[str, Int64[np.ndarray, " texts"]]


@dataclass(frozen=True)
class Flat:
    """Texts as flat arrays; the words of text t are those from bounds[t] to bounds[t + 1], and so are its lines.

    A word is a run without white space that has a letter or a digit, so that neither the operators of a program nor a
    dash count; a line is one that has a word. Scripts without spaces (Chinese, Japanese, Thai, ...) are cut between two
    characters by these alone, every second time: a word has two of them on average, and a phrase that comes again has
    the same words again.

    Attributes:
        counts: of each text, by name.
        stops: how often each of the stop words is there.
        words: hashes of the words.
        lengths: their characters.
        bounds: of the texts in them.
        lines: hashes of the lines, without the white space around them.
        line_lengths: their characters.
        breaks: lines that begin a paragraph: the first, and those behind an empty line.
        line_bounds: of the texts in the lines.
    """

    counts: Counts
    stops: Int64[np.ndarray, "texts stop_words"]
    words: UInt64[np.ndarray, " words"]
    lengths: Int32[np.ndarray, " words"]
    bounds: Bounds
    lines: UInt64[np.ndarray, " lines"]
    line_lengths: Int32[np.ndarray, " lines"]
    breaks: Bool[np.ndarray, " lines"]
    line_bounds: Bounds


@dataclass(frozen=True)
class _Characters:
    """Of several texts, each with a NUL behind it: code points, their bits, the NULs, and runs without white space."""

    codes: Shaped[np.ndarray, " characters"]
    flags: UInt8[np.ndarray, " characters"]
    ends: Int64[np.ndarray, " texts"]
    runs: Spans

    def bounds(self, places: Int64[np.ndarray, " places"]) -> Bounds:
        """How many of the places, which ascend, are before each text and its end."""
        return np.append(0, np.searchsorted(places, self.ends))

    def count(self, places: Int64[np.ndarray, " places"]) -> Int64[np.ndarray, " texts"]:
        """How many of the places, which ascend, are in each text."""
        return np.diff(self.bounds(places))

    def has(self, places: Int64[np.ndarray, " places"], bits: int) -> Bool[np.ndarray, " places"]:
        """Whether the characters at places have one of the bits."""
        return (self.flags[places] & np.uint8(bits)) > 0


def flatten(texts: Sequence[str]) -> Flat:
    """Texts as flat arrays.

    Args:
        texts: without NUL characters, at most ``SPAN`` of them together with their number.
    """
    characters = _characters(texts)
    words, owners, found = _words_in(characters)
    worded = np.zeros(len(characters.runs), bool)
    worded[owners] = True
    lines, breaks, counts = _lines_in(characters, worded)
    hashes, line_hashes = np.split(span_hashes(characters.codes, np.concatenate([words, lines])), [len(words)])
    bounds = characters.bounds(words[:, 0])
    stops = [characters.count(words[hashes == stop, 0]) for stop in _stop_words()] if len(texts) else []
    return Flat(
        counts | _counts(characters, words[:, 0], found),
        np.stack(stops, axis=1) if stops else np.zeros((0, len(STOP_WORDS)), np.int64),
        hashes,
        (words[:, 1] - words[:, 0]).astype(np.int32),
        bounds,
        line_hashes,
        (lines[:, 1] - lines[:, 0]).astype(np.int32),
        breaks,
        characters.bounds(lines[:, 0]),
    )


def _characters(texts: Sequence[str]) -> _Characters:
    codes = codes_of("\0".join(texts) + "\0")
    flags = kinds()[codes if codes.dtype == np.uint8 else np.minimum(codes, len(kinds()) - 1)]
    space = (flags & SPACE) > 0
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    runs = edges if space[0] else np.append(0, edges)
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1) - 1
    return _Characters(codes, flags, ends, runs.reshape(-1, 2))


def _words_in(characters: _Characters) -> tuple[Spans, Int64[np.ndarray, " words"], UInt8[np.ndarray, " words"]]:
    """The words, the run that each is of, and the bits of its characters."""
    codes, flags, runs = characters.codes, characters.flags, characters.runs
    begins, ends, owners = runs[:, 0], runs[:, 1], np.arange(len(runs))
    if codes.dtype != np.uint8 and (alone := (flags & ALONE) > 0).any():
        points = codes.astype(np.uint32)
        pairs = (points[:-1] * np.uint32(0x9E3779B1) + points[1:] * np.uint32(0x85EBCA77)) >> np.uint32(31)
        cut = (alone[1:] != alone[:-1]) | (alone[1:] & (pairs > 0))
        begin = np.append(False, cut & ((flags[1:] | flags[:-1]) & SPACE == 0))
        begin[begins] = True
        begins = np.flatnonzero(begin)
        owners = np.searchsorted(runs[:, 0], begins, "right") - 1
        ends = np.minimum(np.append(begins[1:], len(codes)), ends[owners])
    found = np.bitwise_or.reduceat(flags, begins) if len(begins) else np.empty(0, np.uint8)
    kept = (found & (LETTER | DIGIT)) > 0
    return np.stack([begins[kept], ends[kept]], axis=1), owners[kept], found[kept]


def _counts(characters: _Characters, begins: Int64[np.ndarray, " words"], found: UInt8[np.ndarray, " words"]) -> Counts:
    """What is counted of characters and words.

    Args:
        characters: of texts.
        begins: of the words.
        found: the bits of their characters.
    """
    codes, flags, ends, runs = characters.codes, characters.flags, characters.ends, characters.runs
    starts = np.append(0, ends[:-1] + 1)[: len(ends)]
    spaced = ((flags & (LETTER | DIGIT)) > 0) & ((flags & ALONE) == 0)
    signs = np.flatnonzero(flags & (SIGN | OPEN))
    signs = signs[characters.has(signs, SIGN) | characters.has(signs - 1, LETTER | DIGIT)]
    dots = np.flatnonzero(codes == _DOT)
    ellipses = dots[2:][(dots[2:] - dots[:-2] == 2) & ((dots[:-2] == 0) | (codes[dots[:-2] - 1] != _DOT))]
    return {
        "characters": ends - starts,
        "shown": np.diff(np.append(0, np.cumsum(runs[:, 1] - runs[:, 0]))[characters.bounds(runs[:, 0])]),
        "newlines": characters.count(np.flatnonzero(codes == _NEWLINE)),
        "spaced": np.add.reduceat(spaced.view(np.uint8), starts, dtype=np.int64) if len(starts) else starts,
        "signs": characters.count(signs),
        "hashes": characters.count(np.flatnonzero(codes == _HASH)),
        "ellipses": characters.count(ellipses) + characters.count(np.flatnonzero(codes == _ELLIPSIS)),
        "words": characters.count(begins),
        "lettered": characters.count(begins[(found & LETTER) > 0]),
        "unspaced": characters.count(begins[(found & ALONE) > 0]),
    }


def _lines_in(
    characters: _Characters, worded: Bool[np.ndarray, " runs"]
) -> tuple[Spans, Bool[np.ndarray, " lines"], Counts]:
    """The lines, which of them begin a paragraph, and what is counted of them.

    Args:
        characters: of texts.
        worded: runs that have a word.
    """
    codes, runs = characters.codes, characters.runs
    newlines = np.flatnonzero((codes == _NEWLINE) | (codes == 0))
    numbers = np.searchsorted(newlines, runs[:, 0])
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    begins, finals = runs[first, 0], runs[np.append(first[1:], len(runs))[: len(first)] - 1, 1] - 1
    numbers, owners = numbers[first], np.searchsorted(characters.ends, begins)
    apart = (np.diff(numbers, prepend=-2) > 1) | (np.diff(owners, prepend=-1) > 0)
    words = np.add.reduceat(worded, first, dtype=np.int64) if len(first) else first
    kept, lengths = words > 0, finals + 1 - begins
    indented = begins > np.append(0, newlines + 1)[numbers]
    dotted = (codes[finals] == _DOT) & (codes[finals - 1] == _DOT) & (codes[finals - 2] == _DOT) & (lengths > 2)
    trailing = dotted | (codes[finals] == _ELLIPSIS)
    ended = characters.has(finals, END)
    quoted = np.isin(codes[runs[:, 1] - 1], QUOTES)
    last = np.diff(np.append(first, len(runs))).cumsum() - 1
    sentence = characters.has(runs[:, 1] - 1, END) | (quoted & characters.has(runs[:, 1] - 2, END))
    sentence[last] = True
    whole = (ended | quoted[last]) & ~trailing & (words >= 3)
    sentence &= np.repeat(whole, last + 1 - first)
    counts = {
        "lines": kept,
        "bullets": kept & characters.has(begins, BULLET),
        "trailing": kept & trailing,
        "ended": kept & ended,
        "short": kept & (lengths <= SHORT_LINE),
        "indented": kept & indented & (lengths > SHORT_LINE),
    }
    totals = {name: characters.count(begins[mask]) for name, mask in counts.items()}
    paragraphs = np.cumsum(apart)[kept]
    lines = np.stack([begins[kept], finals[kept] + 1], axis=1)
    return (
        lines,
        np.diff(paragraphs, prepend=0) > 0,
        totals | {"sentences": characters.count(runs[sentence, 0])},
    )


@lru_cache(maxsize=1)
def _stop_words() -> UInt64[np.ndarray, " stop_words"]:
    """Hashes of the stop words."""
    characters = _characters([" ".join(STOP_WORDS)])
    return span_hashes(characters.codes, characters.runs)

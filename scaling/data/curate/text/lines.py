"""Lines of many texts as hashes, compared as CCNet compares paragraphs, and texts without some of their lines."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt32, UInt64

from scaling.data.curate.text.spans import SPAN, codes_of, span_hashes
from scaling.data.curate.text.words import classes

_NEWLINE, _ZERO, _UNDERSCORE = 10, ord("0"), ord("_")


@dataclass(frozen=True)
class Lines:
    """Lines of several texts, one behind the other.

    Attributes:
        hashes: of the lines; equal where lines differ in case, accents, digits, punctuation and white space alone.
        counted: those with a letter or a digit.
        bounds: line l of text t is ``texts[t].split("\\n")[l - bounds[t]]``, from bounds[t] to bounds[t + 1].
    """

    hashes: UInt64[np.ndarray, " lines"]
    counted: Bool[np.ndarray, " lines"]
    bounds: Int64[np.ndarray, " texts_1"]


def lines_of(texts: Sequence[str]) -> Lines:
    """Lines of texts without NUL characters.

    As 1911.00359 has it: lower case, digits as zeros, without punctuation and accents; white space is left out besides.
    A line longer than a quarter of a million characters is compared by these.
    """
    hashes, counted = [np.empty(0, np.uint64)], [np.empty(0, bool)]
    for joined in _blocks(texts):
        found, letters = _hashed(joined)
        hashes.append(found)
        counted.append(letters)
    lengths = np.fromiter((text.count("\n") + 1 for text in texts), np.int64, len(texts))
    return Lines(np.concatenate(hashes), np.concatenate(counted), np.append(0, np.cumsum(lengths)))


def without(text: str, cut: Bool[np.ndarray, " lines"]) -> str:
    """A text without some of its lines; what stays is as it was."""
    return "\n".join([line for line, gone in zip(text.split("\n"), cut.tolist(), strict=True) if not gone])


def _blocks(texts: Sequence[str]) -> Iterator[str]:
    """The lines of all texts in order, several texts at once; of a line that does not fit, the beginning."""
    waiting: list[str] = []
    size = 0
    for text in texts:
        if len(text) >= SPAN:
            if waiting:
                yield "\n".join(waiting)
            waiting, size = [], 0
            yield from _pieces(text)
            continue
        if size + len(text) + 1 > SPAN:
            yield "\n".join(waiting)
            waiting, size = [], 0
        waiting.append(text)
        size += len(text) + 1
    if waiting:
        yield "\n".join(waiting)


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces of whole lines."""
    begin = 0
    while begin <= len(text):
        stop = len(text) if begin + SPAN > len(text) else text.rfind("\n", begin, begin + SPAN)
        if stop < 0:
            end = text.find("\n", begin)
            yield text[begin : begin + SPAN - 1]
            begin = (end if end >= 0 else len(text)) + 1
        else:
            yield text[begin:stop]
            begin = stop + 1


def _hashed(joined: str) -> tuple[UInt64[np.ndarray, " lines"], Bool[np.ndarray, " lines"]]:
    """Hashes of the lines of a piece, and whether they have a letter or a digit."""
    codes = codes_of(joined + "\n")
    table = folded()
    values = table[codes] if codes.dtype == np.uint8 else np.where(codes < len(table), table[codes % len(table)], codes)
    kept = values > 0
    starts = np.append(0, np.flatnonzero(codes == _NEWLINE)[:-1] + 1)
    counts = np.add.reduceat(kept.view(np.uint8), starts, dtype=np.int64)  # none is empty: each has its line end
    bounds = np.append(0, np.cumsum(counts))
    return span_hashes(values[kept], np.stack([bounds[:-1], bounds[1:]], axis=1)), counts > 0


@lru_cache(maxsize=1)
def folded() -> UInt32[np.ndarray, " points"]:
    """What each code point is compared as; 0 where it is left out."""
    known = classes()[:-1]
    table = np.zeros(len(known), np.uint32)
    for point in np.flatnonzero((known == 1) | (known == 2)).tolist():
        sign = chr(point)
        if sign.isdecimal():
            table[point] = _ZERO
        else:
            parts = [each for each in unicodedata.normalize("NFD", sign.lower()) if not "\u0300" <= each <= "\u036f"]
            lower = parts[0] if len(parts) == 1 else sign.lower()[0]  # of a syllable of Korean, the whole
            table[point] = ord(lower) if parts else 0
    table[_UNDERSCORE] = 0
    return table

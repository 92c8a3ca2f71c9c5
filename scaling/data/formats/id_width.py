"""Files of ids that are read as ids of another width: what they would look like, and what they are instead."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from scaling.data.formats.token_files import has_header, map_tokens
from scaling.errors import InputError

# The widest first, as wider ids are also valid narrower ones, with zeros between them.
_LITTLE_ENDIAN = {"int64": "<i8", "uint32": "<u4", "uint16": "<u2"}
_BIG_ENDIAN = {"int64": ">i8", "uint32": ">u4", "uint16": ">u2"}
_SAMPLE = 2**20
_ENOUGH = 32
_HIGH = 31
"""The most that the high half of an id is, with vocabularies of two million ids."""


@dataclass(frozen=True)
class Suspicion:
    """Ids that seem to be of another width or byte order.

    Attributes:
        why: in words, with what to do.
        sure: as they are read, some are not of the vocabulary.
    """

    why: str
    sure: bool


def other_width(path: Path, dtype: str, vocab: int, end: int) -> Suspicion | None:
    """Why the ids of a file without a header seem to be of another width or byte order; None if they do not.

    Args:
        path: of the file.
        dtype: that it would be read as.
        vocab: number of ids.
        end: the id that closes a document.
    """
    if has_header(path):
        return None
    try:
        ids = map_tokens(path, dtype)[:_SAMPLE]
    except InputError:  # no whole number of ids: the reader says so
        return None
    if len(ids) < _ENOUGH:
        return None
    sure = not _valid(ids, vocab)
    wider = _wider(ids)
    if wider is not None:
        most = int(ids[1::2].max())
        seen = "half of all ids are 0" if not most else f"every second id is {most} at most"
        return Suspicion(f"read as {dtype} {seen}, as the upper halves of wider ids are: give dtype: {wider}", sure)
    if not sure and (ids == end).any():
        return None
    content = ids.tobytes()
    for name, code in _LITTLE_ENDIAN.items():
        if name != dtype and _fits(content, code, vocab, end):
            why = f"read as {dtype} its ids are not those of {vocab} with end {end}; as {name} they are: "
            return Suspicion(f"{why}give dtype: {name}", sure)
    for name, code in _BIG_ENDIAN.items():
        if _fits(content, code, vocab, end):
            why = f"its ids seem to be big-endian {name}; write them as little-endian: "
            return Suspicion(f"{why}ids.astype('{_LITTLE_ENDIAN[name]}')", sure)
    return None


def _wider(ids: Integer[np.ndarray, " tokens"]) -> str | None:
    """The dtype whose low and high words the ids alternate between, if they do."""
    if ids.dtype.itemsize == 2 and _alternate(ids, 4):
        return "int64"
    if ids.dtype.itemsize <= 4 and _alternate(ids, 2):
        return "uint32" if ids.dtype.itemsize == 2 else "int64"
    return None


def _alternate(ids: Integer[np.ndarray, " tokens"], words: int) -> bool:
    """Whether ids are wider ones in so many words: low words that vary, then high ones that hardly do."""
    table = ids[: len(ids) // words * words].reshape(-1, words)
    low, high = table[:, 0], table[:, 1:]
    if not high.any():
        return float((low > 0).mean()) >= 0.5
    narrow = ids.dtype.itemsize == 2 and int(high.max()) <= _HIGH and not high[:, 1:].any()
    return narrow and float((low > _HIGH).mean()) >= 0.5


def _fits(content: bytes, code: str, vocab: int, end: int) -> bool:
    """Whether bytes read in another way are ids of the vocabulary, and some document ends."""
    size = np.dtype(code).itemsize
    ids = np.frombuffer(content, code, len(content) // size)
    return _valid(ids, vocab) and bool((ids == end).any())


def _valid(ids: Integer[np.ndarray, " tokens"], vocab: int) -> bool:
    return bool(len(ids)) and int(ids.min()) >= 0 and int(ids.max()) < vocab

"""Files of ids that are read as ids of another width: what they would look like, and what they are instead."""

from pathlib import Path

import numpy as np
from jaxtyping import Integer

from scaling.data.formats.token_files import has_header, map_tokens
from scaling.errors import InputError

DTYPES = {"uint16": "<u2", "uint32": "<u4", "int32": "<i4", "int64": "<i8"}
_BIG_ENDIAN = {">u2": "uint16", ">u4": "uint32", ">i8": "int64"}
_SAMPLE = 2**20
_ENOUGH = 32
_HIGH = 31
"""The most that the high half of an id is, with vocabularies of two million ids."""


def other_width(path: Path, dtype: str, vocab: int, end: int) -> str | None:
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
    content = ids.tobytes()
    wider = _wider(ids)
    if wider is not None:
        share = float((ids[1::2] == 0).mean())
        return f"{share:.0%} of every second {dtype} is 0, as of wider ids: give dtype: {wider}"
    if _plausible(ids, vocab, end):
        return None
    for name, code in DTYPES.items():
        if name != dtype and _fits(content, code, vocab, end):
            return f"as {dtype} they are not those of the vocabulary of {vocab}, as {name} they are: give dtype: {name}"
    for code, name in _BIG_ENDIAN.items():
        if _fits(content, code, vocab, end):
            return f"they seem to be big-endian; write them as little-endian {name}: ids.astype('{DTYPES[name]}')"
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
    size = np.dtype(code).itemsize
    return _plausible(np.frombuffer(content, code, len(content) // size), vocab, end)


def _plausible(ids: Integer[np.ndarray, " tokens"], vocab: int, end: int) -> bool:
    """Whether all ids are of the vocabulary, and some document ends."""
    return bool(len(ids) and int(ids.min()) >= 0 and int(ids.max()) < vocab and (ids == end).any())

"""Hashes of pieces of text as flat arrays of code points."""

from functools import lru_cache

import numpy as np
from jaxtyping import Int64, Shaped, UInt64

from scaling.data.curate.text.words import mixed

SPAN = 2**18
"""Code points of an array, at most: so its powers stay near the processor."""
_BASE = 0xC2B2AE3D27D4EB4F


def codes_of(text: str) -> Shaped[np.ndarray, " characters"]:
    """Code points of a text: of one byte each where all are ASCII, else of four."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def span_hashes(
    codes: Shaped[np.ndarray, " characters"], spans: Int64[np.ndarray, "spans 2"]
) -> UInt64[np.ndarray, " spans"]:
    """Hashes of spans: their code points times powers of a base, by differences of one cumulative sum mod 2^64.

    Args:
        codes: at most ``SPAN`` of them.
        spans: the first of each, and the one behind its last.
    """
    powers, inverses = _powers()
    sums = np.zeros(len(codes) + 1, np.uint64)
    np.cumsum(codes * powers[: len(codes)], out=sums[1:])
    return mixed((sums[spans[:, 1]] - sums[spans[:, 0]]) * inverses[spans[:, 0]])


@lru_cache(maxsize=1)
def _powers() -> tuple[UInt64[np.ndarray, " span"], UInt64[np.ndarray, " span"]]:
    """Powers of the base and of its inverse, mod 2^64."""
    tables = []
    for base in (_BASE, pow(_BASE, -1, 2**64)):
        table = np.full(SPAN + 1, base, np.uint64)
        table[0] = 1
        tables.append(np.cumprod(table, dtype=np.uint64))
    return tables[0], tables[1]

"""Near-duplicates across the split, by MinHash: held-out documents that are almost those trained on."""

import re

import numpy as np
from jaxtyping import Bool, Integer, UInt32, UInt64

HASHES = 32
_BANDS = 8
ALIKE = 0.7
"""Jaccard similarity of shingles from which two documents are near-duplicates, as the signatures estimate it."""
_TEXT_SHINGLE, _TOKEN_SHINGLE = 32, 8
_LONGEST = 2**22
_MOST_SHINGLES = 2**14
_MOST_COMPARED = 1000
_SPACE = re.compile(rb"\s+")

_random = np.random.Generator(np.random.Philox(key=np.array([0, 0], dtype=np.uint64)))
_FACTORS = _random.integers(2**63, size=HASHES, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_BASE = np.uint64(0x9E3779B97F4A7C15)


def text_signature(text: bytes) -> UInt32[np.ndarray, " hashes"]:
    """MinHash signature of a text's shingles of 32 bytes, without case and white space; of its first 4 MiB."""
    folded = _SPACE.sub(b" ", text[:_LONGEST].lower())
    return _signature(np.frombuffer(folded, dtype=np.uint8), _TEXT_SHINGLE)


def token_signature(ids: Integer[np.ndarray, " tokens"]) -> UInt32[np.ndarray, " hashes"]:
    """MinHash signature of a document's shingles of 8 ids; of its first 4 Mi ids."""
    return _signature(ids[:_LONGEST], _TOKEN_SHINGLE)


def _signature(units: Integer[np.ndarray, " units"], width: int) -> UInt32[np.ndarray, " hashes"]:
    """MinHash signature: the least value of each hash over all shingles (Broder 1997).

    Two sets agree in one value with a probability equal to their Jaccard similarity. Of a long document only the
    shingles with the least hashes count.
    """
    shingles = units.astype(np.uint64) + np.uint64(1)
    power, joined = int(_BASE), 1
    while joined < width and len(shingles) > joined:
        # A polynomial of twice as many units from two of the last.
        shingles = shingles[:-joined] * np.uint64(power) + shingles[joined:]
        power, joined = power * power % 2**64, 2 * joined
    if not len(shingles):
        return np.zeros(HASHES, dtype=np.uint32)
    shingles ^= shingles >> np.uint64(29)
    shingles *= _BASE
    if len(shingles) > 2 * _MOST_SHINGLES:
        few = shingles[shingles < np.uint64(2**64 // len(shingles) * 2 * _MOST_SHINGLES)]  # spares sorting all
        shingles = np.unique(few if len(few) else shingles)[:_MOST_SHINGLES]
    least = [((shingles * factor) >> np.uint64(32)).min() for factor in _FACTORS]
    return np.array(least, dtype=np.uint32)


def near_duplicates(
    held_out: UInt32[np.ndarray, "held_out hashes"], train: UInt32[np.ndarray, "train hashes"]
) -> Bool[np.ndarray, " held_out"]:
    """Mask of the held-out documents that have a near-duplicate among those trained on.

    Documents are compared where a band of 4 of their 32 hashes agrees, which 1 - (1 - 0.7^4)^8 = 89 % of those do
    that are alike by 0.7, and 99.9 % of those by 0.9.
    """
    found = np.zeros(len(held_out), dtype=bool)
    if not len(train):
        return found
    for band in range(_BANDS):
        keys = _keys(train, band)
        order = np.argsort(keys, kind="stable")
        wanted = _keys(held_out, band)
        first = np.searchsorted(keys[order], wanted, side="left")
        after = np.minimum(np.searchsorted(keys[order], wanted, side="right"), first + _MOST_COMPARED)
        for number in np.flatnonzero((after > first) & ~found).tolist():
            like = train[order[first[number] : after[number]]]
            found[number] = ((like == held_out[number]).mean(axis=1) >= ALIKE).any()
    return found


def _keys(signatures: UInt32[np.ndarray, "documents hashes"], band: int) -> UInt64[np.ndarray, " documents"]:
    rows = HASHES // _BANDS
    keys = np.zeros(len(signatures), dtype=np.uint64)
    for column in signatures[:, band * rows : (band + 1) * rows].T:
        keys = (keys ^ column) * _BASE + np.uint64(band)
    return keys

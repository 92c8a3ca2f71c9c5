"""Near-duplicates across the split, by sketches: held-out documents that are almost those trained on."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Bool, Int64, Integer, UInt32

from scaling.data.curate.duplicates.sketch import BINS, band_keys, sketches
from scaling.data.curate.text.words import Words, grams_of, mixed, words_of

HASHES = BINS
ALIKE = 0.7
"""Jaccard similarity of n-grams from which two documents are near-duplicates, as their signatures estimate it."""
SIGNATURE = np.dtype(("<u4", (HASHES,)))
"""A signature in a file."""
_WORDS, _IDS = 5, 8
_LONGEST = 2**22
_MOST_COMPARED = 1000
_DOCUMENTS_AT_ONCE, _PAIRS_AT_ONCE, _UNITS_AT_ONCE = 2**16, 2**15, 2**20


def text_signatures(words: Words) -> UInt32[np.ndarray, "documents 128"]:
    """Signatures of the 5-grams of documents' words; two estimate a similarity by the share of values that agree.

    Args:
        words: of documents; the signature of one without words is 0 and like no other.
    """
    return sketches(grams_of(words, _WORDS))


def text_signature(text: bytes) -> UInt32[np.ndarray, "128"]:
    """Signature of a text; of its first 4 MiB."""
    return text_signatures(words_of([_text(text)]))[0]


def token_signature(ids: Integer[np.ndarray, " tokens"]) -> UInt32[np.ndarray, "128"]:
    """Signature of the shingles of 8 ids of a document; of its first 4 Mi ids."""
    return _token_signatures([ids])[0]


def near_duplicates(
    held_out: UInt32[np.ndarray, "held_out 128"],
    train: UInt32[np.ndarray, "train 128"] | Iterable[UInt32[np.ndarray, "_ 128"]],
) -> Bool[np.ndarray, " held_out"]:
    """Mask of the held-out documents that have a near-duplicate among those trained on.

    Documents are compared where a band of 5 of their 128 values agrees, which 1 - (1 - 0.7^5)^25 = 99 % of those do
    that are alike by 0.7. A held-out document is compared with 1,000 at most for each band.

    Args:
        held_out: signatures.
        train: signatures, or blocks of them.
    """
    wordless = (held_out == 0).all(axis=1)
    found = wordless.copy()  # none is looked for
    keys = band_keys(held_out)
    by_key = np.argsort(keys, axis=1)  # in which keys are looked up many times as fast
    compared = np.zeros(keys.shape, np.int64)
    for block in _blocks(train):
        block_keys = band_keys(block)
        for band, (own, wanted) in enumerate(zip(block_keys, keys, strict=True)):
            order = np.argsort(own, kind="stable")
            ordered, left = own[order], by_key[band][~found[by_key[band]]]
            first = np.searchsorted(ordered, wanted[left], side="left")
            counts = np.searchsorted(ordered, wanted[left], side="right") - first
            counts = np.minimum(counts, _MOST_COMPARED - compared[band, left])
            compared[band, left] += counts
            like = counts > 0
            _compare(found, held_out, block, left[like], order, first[like], counts[like])
    return found & ~wordless


class SignatureWriter:
    """Writes signatures of documents, either texts or token ids, one behind the other.

    Args:
        file: to write into.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._texts: list[str] = []
        self._ids: list[Integer[np.ndarray, " tokens"]] = []
        self._units = 0

    def add(self, document: bytes | Integer[np.ndarray, " tokens"]) -> None:
        """Adds the signature of a document."""
        if isinstance(document, bytes):
            self._texts.append(_text(document))
        else:
            self._ids.append(document[:_LONGEST])
        self._units += len(document)
        if self._units + len(self._texts) + len(self._ids) >= _UNITS_AT_ONCE:
            self.finish()

    def finish(self) -> None:
        """Writes what is left."""
        made = text_signatures(words_of(self._texts)) if self._texts else _token_signatures(self._ids)
        self._file.write(made.astype("<u4").tobytes())
        self._texts, self._ids, self._units = [], [], 0


def read_signatures(path: Path, kept: Bool[np.ndarray, " documents"]) -> Iterator[UInt32[np.ndarray, "_ 128"]]:
    """Signatures of a file in blocks.

    Args:
        path: of the file.
        kept: mask of the documents whose signatures are read.
    """
    if kept.any():
        signatures = np.memmap(path, SIGNATURE, "r")
        for begin in range(0, len(kept), _DOCUMENTS_AT_ONCE):
            own = kept[begin : begin + _DOCUMENTS_AT_ONCE]
            yield np.asarray(signatures[begin : begin + len(own)][own]).astype(np.uint32, copy=False)


def _text(document: bytes) -> str:
    return document[:_LONGEST].decode(errors="ignore").replace("\0", " ")


def _token_signatures(documents: list[Integer[np.ndarray, " _"]]) -> UInt32[np.ndarray, "documents 128"]:
    ids = [document[:_LONGEST].astype(np.uint64) for document in documents]
    bounds = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    hashes = mixed(np.concatenate([np.empty(0, np.uint64), *ids]) + np.uint64(1))
    return sketches(grams_of(Words(hashes, bounds), _IDS))


def _blocks(
    train: UInt32[np.ndarray, "train 128"] | Iterable[UInt32[np.ndarray, "_ 128"]],
) -> Iterator[UInt32[np.ndarray, "_ 128"]]:
    for block in [train] if isinstance(train, np.ndarray) else train:
        for begin in range(0, len(block), _DOCUMENTS_AT_ONCE):
            yield block[begin : begin + _DOCUMENTS_AT_ONCE]


def _compare(
    found: Bool[np.ndarray, " held_out"],
    held_out: UInt32[np.ndarray, "held_out 128"],
    train: UInt32[np.ndarray, "train 128"],
    places: Int64[np.ndarray, " some"],
    order: Int64[np.ndarray, " train"],
    first: Int64[np.ndarray, " some"],
    counts: Int64[np.ndarray, " some"],
) -> None:
    """Marks held-out documents that are alike to one of a run of those trained on.

    Args:
        found: the marks.
        held_out: signatures.
        train: signatures.
        places: of the held-out documents.
        order: in which those trained on are.
        first: of each run, its place in the order.
        counts: of each run, how many it has.
    """
    ends = np.cumsum(counts)
    begin = 0
    while begin < len(places):
        done = int(ends[begin - 1]) if begin else 0
        stop = max(int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")), begin + 1)
        run = counts[begin:stop]
        one = np.repeat(places[begin:stop], run)
        within = np.arange(len(one)) - np.repeat(np.cumsum(run) - run, run)
        two = order[np.repeat(first[begin:stop], run) + within]
        found[one[(held_out[one] == train[two]).mean(axis=1) >= ALIKE]] = True
        begin = stop

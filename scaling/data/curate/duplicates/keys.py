"""Keys by which near-duplicates meet, on disk, and the order in which documents are preferred."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt32, UInt64

from scaling.data.curate.duplicates.sketch import BINS, band_keys, sketches
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.text.words import grams_of, mixed

_KEYS, _PLACES, RANKS = "keys.npy", "places.npy", "ranks.npy"
BAND = np.uint64(63)
"""The bits of a key that say its band."""
_NONE = np.uint64(2**64 - 1)
"""The key of a document without words, which is compared with none."""


@dataclass(frozen=True)
class RankedPart:
    """Where the keys and the ranks of a part's documents are.

    Attributes:
        keys: folder of the keys.
        ranks: folder of the ranks of its source's documents.
        first: place of the part's first document among them.
        count: of the part's documents.
    """

    keys: Path
    ranks: Path
    first: int
    count: int

    def read_ranks(self) -> UInt32[np.ndarray, " documents"]:
        """Place of each document in the order of preference, among all documents that are compared; 0 stays."""
        ranks: np.ndarray = np.load(self.ranks / RANKS, mmap_mode="r")
        return np.array(ranks[self.first : self.first + self.count])

    def read_keys(self, band: int, low: int, high: int) -> tuple[UInt64[np.ndarray, " found"], np.ndarray]:
        """Keys of a band from one to another, without it, and the places of their documents in the part."""
        keys = np.load(self.keys / _KEYS, mmap_mode="r")[band]
        begin, stop = np.searchsorted(keys, np.array([low, high], np.uint64)).tolist()
        return np.array(keys[begin:stop]), np.load(self.keys / _PLACES, mmap_mode="r")[band, begin:stop]


def bands_of(rows: int) -> int:
    """Keys of a document: of the bands of so many rows, and of the whole sketch."""
    return BINS // rows + 1


def write_keys(folder: Path, view: PartView, options: NearDuplicatesSpec | None, rows: int) -> None:
    """Writes the keys of a part's documents, each band sorted by itself.

    Args:
        folder: to write into.
        view: the documents.
        options: None where the documents are not compared.
        rows: of a band.
    """
    if options is None:
        return
    # Mapped, as a part of short documents has many.
    shape = (bands_of(rows), view.count)
    keys = np.lib.format.open_memmap(folder / _KEYS, "w+", np.uint64, shape)
    for batch in view.batches():
        grams = grams_of(batch.words, options.words)
        made = band_keys(sketches(grams), rows)
        made = np.concatenate([made, mixed(made.sum(axis=0, dtype=np.uint64))[None]])
        made = made & ~BAND | np.arange(len(made), dtype=np.uint64)[:, None]
        made[:, grams.counts == 0] = _NONE
        keys[:, batch.first : batch.first + len(batch)] = made
    places = np.lib.format.open_memmap(folder / _PLACES, "w+", np.uint32, shape)
    for band in range(len(keys)):
        order = np.argsort(keys[band])
        places[band], keys[band] = order, keys[band][order]
    places.flush()
    keys.flush()


def write_ranks(folder: Path, views: Sequence[PartView], scores: Sequence[np.ndarray | None], base: int) -> None:
    """Writes the ranks of a source's documents: by score, higher first, by length, longer first, and by id.

    Args:
        folder: to write into.
        views: the parts of the source.
        scores: of the quality of each part's documents, where that was judged.
        base: rank of the first.
    """
    ids = np.concatenate([view.ids() for view in views]).view(">u8").reshape(-1, 2)
    sizes = np.concatenate([view.sizes() for view in views])
    quality = np.concatenate(
        [
            np.zeros(view.count) if score is None else np.nan_to_num(score, nan=-np.inf)
            for view, score in zip(views, scores, strict=True)
        ]
    )
    order = np.lexsort((ids[:, 1], ids[:, 0], -sizes, -quality))
    ranks = np.empty(len(order), np.uint32)
    ranks[order] = np.arange(base, base + len(order))
    np.save(folder / RANKS, ranks)

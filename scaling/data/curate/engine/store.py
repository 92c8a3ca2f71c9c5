"""The documents of a part on disk: written once where their text changes, and read through what steps have dropped."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.ipc
from jaxtyping import Bool

from scaling.data.curate.engine.batch import ID, Batch

TEXTS, INDEX = "texts.arrow", "index.npy"
INDEX_ROW = np.dtype([("id", ID), ("file", "<i4"), ("size", "<i8")])
"""A document beside its text: its id, the place of its file among the part's, and the bytes of its text."""
_SCHEMA = pa.schema([("text", pa.large_string())])
_BYTES, _DOCUMENTS = 2**20, 4096
"""What a batch has at most, if it is not a single document."""


class TextWriter:
    """Writes documents into a folder, a batch at a time.

    Args:
        folder: to write into.
    """

    def __init__(self, folder: Path) -> None:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._folder = folder
        self._file = pa.ipc.new_file(str(folder / TEXTS), _SCHEMA, options=options)
        self._texts: list[str] = []
        self._characters = 0
        self._index = [np.empty(0, INDEX_ROW)]

    def add(self, ids: np.ndarray, files: np.ndarray, texts: Sequence[str], sizes: np.ndarray) -> None:
        """Adds documents: ids, places of their files, texts and their bytes."""
        rows = np.empty(len(texts), INDEX_ROW)
        rows["id"], rows["file"], rows["size"] = ids, files, sizes
        self._index.append(rows)
        for text in texts:
            if self._texts and (self._characters + len(text) > _BYTES or len(self._texts) >= _DOCUMENTS):
                self._flush()
            self._texts.append(text)
            self._characters += len(text)

    def close(self) -> None:
        """Writes what is left."""
        if self._texts:
            self._flush()
        self._file.close()
        np.save(self._folder / INDEX, np.concatenate(self._index))

    def _flush(self) -> None:
        self._file.write_batch(pa.record_batch([pa.array(self._texts, type=pa.large_string())], schema=_SCHEMA))
        self._texts, self._characters = [], 0


def read_batches(folder: Path, kept: Bool[np.ndarray, " documents"] | None) -> Iterator[Batch]:
    """Documents of a folder in batches.

    Args:
        folder: that a TextWriter has written.
        kept: mask of the documents to read; None for all.
    """
    index = np.load(folder / INDEX)
    rows = index if kept is None else index[kept]
    waiting: list[pa.RecordBatch] = []
    begin, first, size, count = 0, 0, 0, 0
    for columns in _record_batches(folder / TEXTS):
        stop = begin + len(columns)
        own = columns if kept is None else columns.filter(pa.array(kept[begin:stop]))
        begin = stop
        bytes = int(rows["size"][first + count : first + count + len(own)].sum())
        if waiting and (size + bytes > _BYTES or count + len(own) > _DOCUMENTS):
            yield _batch(waiting, rows, first, count)
            first, waiting, size, count = first + count, [], 0, 0
        if len(own):
            waiting.append(own)
            size, count = size + bytes, count + len(own)
    if waiting:
        yield _batch(waiting, rows, first, count)


def _record_batches(path: Path) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)


def _batch(columns: list[pa.RecordBatch], rows: np.ndarray, first: int, count: int) -> Batch:
    texts = [text for each in columns for text in each.column("text").to_pylist()]
    own = rows[first : first + count]
    return Batch(texts, own["id"].copy(), own["file"].astype(np.int64), own["size"].copy(), first)

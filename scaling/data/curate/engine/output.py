"""What a curation leaves: Parquet files of the documents that stay, and a table of those that went."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scaling.data.curate.engine.filtering import DROPPED
from scaling.data.curate.engine.tally import hex_of
from scaling.data.curate.engine.view import PartView

DROPPED_TABLE = "dropped.parquet"
FILE_BYTES = 2**28
"""Text that a file has about."""
_GROUP_BYTES, _GROUP_ROWS, _DROPPED_ROWS = 2**24, 2**14, 2**17
_TEXT_SCORES = ("language",)
_SCHEMA_OF_DROPPED = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "source", "file", "step", "reason")),
        ("value", pa.float64()),
        ("bytes", pa.int64()),
        ("twin", pa.string()),
    ]
)

Slice = tuple[PartView, int, int]
"""Documents of a part: those from a place to another."""


def slices_of(views: Sequence[PartView]) -> list[list[Slice]]:
    """The documents of a source as files of about ``FILE_BYTES``, cut alike whatever its parts are."""
    files: list[list[Slice]] = [[]]
    size = 0
    for view in views:
        begin = 0
        sizes = view.sizes()
        # The file of each document by the bytes before it.
        numbers = (size + np.cumsum(sizes) - sizes) // FILE_BYTES
        size += int(sizes.sum())
        for cut in [*(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(sizes)]:
            while len(files) <= (numbers[begin] if begin < len(numbers) else 0):
                files.append([])
            if cut > begin:
                files[int(numbers[begin])].append((view, begin, cut))
            begin = cut
    return [file for file in files if file]


def write_documents(folder: Path, slices: Sequence[Slice], source: str, scores: Sequence[str]) -> None:
    """Writes a file of documents, ``documents.parquet``.

    Args:
        folder: to write into.
        slices: the documents.
        source: name of their source.
        scores: columns that steps have made.
    """
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("id", "source", "file", "text")),
            *((name, pa.string() if name in _TEXT_SCORES else pa.float32()) for name in scores),
        ]
    )
    with pq.ParquetWriter(folder / "documents.parquet", schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        group = row = size = 0
        for rows, sizes in _rows(slices, source, scores, schema):
            # A group of rows ends by what is before it in the file, whatever the batches are.
            before = size + np.cumsum(sizes) - sizes
            groups = before // _GROUP_BYTES + (row + np.arange(len(sizes))) // _GROUP_ROWS
            begin = 0
            for cut in [*np.flatnonzero(np.diff(groups, prepend=group)).tolist(), len(sizes)]:
                waiting.append(rows.slice(begin, cut - begin))
                if cut < len(sizes):
                    _write(writer, waiting)
                    waiting = []
                begin = cut
            group, row, size = int(groups[-1]), row + len(sizes), size + int(sizes.sum())
        _write(writer, waiting)


def _write(writer: pq.ParquetWriter, rows: Sequence[pa.RecordBatch]) -> None:
    table = pa.Table.from_batches(rows, schema=writer.schema).combine_chunks()  # pages end where chunks do
    if len(table):
        writer.write_table(table)


def _rows(
    slices: Sequence[Slice], source: str, scores: Sequence[str], schema: pa.Schema
) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
    for view, begin, stop in slices:
        own = view.scores()
        for batch in view.batches():
            low, high = max(begin - batch.first, 0), min(stop - batch.first, len(batch))
            if low >= high:
                continue
            at = slice(batch.first + low, batch.first + high)
            columns = [
                pa.array([hex_of(id) for id in batch.ids[low:high].tolist()]),
                pa.array([source] * (high - low)),
                pa.array([view.files[file] for file in batch.files[low:high].tolist()]),
                pa.array(batch.texts[low:high], pa.string()),
                *(_score(own.get(name), at, schema.field(name).type) for name in scores),
            ]
            yield pa.record_batch(columns, schema=schema), batch.sizes[low:high]


def _score(values: np.ndarray | None, at: slice, type: pa.DataType) -> pa.Array:
    if values is None:
        return pa.nulls(at.stop - at.start, type)
    own = values[at]
    if pa.types.is_string(type):
        return pa.array([value.decode() or None for value in own.tolist()], type)
    return pa.array(own.astype(np.float32), from_pandas=True)


def write_dropped(
    path: Path, steps: Sequence[tuple[str, Sequence[PartView], Sequence[Sequence[str]]]], sources: Sequence[str]
) -> None:
    """Writes a row for every document that a step dropped, step by step in the order of the documents.

    Args:
        path: to write.
        steps: of each: its name, the parts that it left, and for each part the names of its reasons.
        sources: names.
    """
    with pq.ParquetWriter(path, _SCHEMA_OF_DROPPED, compression="zstd") as writer:
        waiting, count = [], 0
        for step, views, names in steps:
            for view, reasons in zip(views, names, strict=True):
                rows = np.load(view.history[-1] / DROPPED)
                waiting.append(_dropped(rows, view, step, reasons, sources[view.source]))
                count += len(rows)
                while count >= _DROPPED_ROWS:
                    table = pa.concat_tables(waiting)
                    writer.write_table(table.slice(0, _DROPPED_ROWS).combine_chunks())
                    waiting = [table.slice(_DROPPED_ROWS)]
                    count -= _DROPPED_ROWS
        if count:
            writer.write_table(pa.concat_tables(waiting).combine_chunks())


def _dropped(rows: np.ndarray, view: PartView, step: str, reasons: Sequence[str], source: str) -> pa.Table:
    columns = [
        pa.array([hex_of(id) for id in rows["id"].tolist()], pa.string()),
        pa.array([source] * len(rows), pa.string()),
        pa.array([view.files[file] for file in rows["file"].tolist()], pa.string()),
        pa.array([step] * len(rows), pa.string()),
        pa.array([reasons[reason] for reason in rows["reason"].tolist()], pa.string()),
        pa.array(rows["value"], from_pandas=True),
        pa.array(rows["bytes"], pa.int64()),
        pa.array([hex_of(id) or None for id in rows["twin"].tolist()], pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA_OF_DROPPED)

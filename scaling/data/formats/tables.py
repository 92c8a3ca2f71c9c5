"""Documents of text from tables: CSV, Parquet, Arrow, Hugging Face datasets, in bounded memory."""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scaling.data.formats.streams import DAMAGED, LONGEST, Refused, encoded, listed, open_stream
from scaling.errors import InputError

DELIMITERS = ("\t", ",", ";", "|")


def delimiter_of(header: str, key: str) -> str:
    """The delimiter of a table's header: the one that makes ``key`` a column, else the one that makes most columns."""
    return max(DELIMITERS, key=lambda sign: (key in names_of(header, sign), len(cells(header, sign))))


def names_of(header: str, delimiter: str) -> list[str]:
    """The names of a header's columns, without the spaces around them."""
    return [name.strip() for name in cells(header, delimiter)]


def cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line of CSV."""
    return next(csv.reader([line], delimiter=delimiter), [])


def read_csv(path: Path, column: str) -> Iterator[bytes | Refused]:
    """Documents of a column of a CSV or TSV file with a header.

    A row of another length, or whose text is not UTF-8, is refused.

    Raises:
        InputError: no such column, or no CSV.
    """
    csv.field_size_limit(2 * LONGEST)
    line = 1
    try:
        with open_stream(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", "") as text:
            header = text.readline().rstrip("\r\n")
            delimiter = delimiter_of(header, column)
            names = names_of(header, delimiter)
            at = _place(path, column, names)
            rows = csv.reader(text, delimiter=delimiter, strict=True)
            for row in rows:
                line = rows.line_num + 1
                if row and len(row) != len(names):
                    yield Refused(f"{path}:{line}: {len(row)} cells, and the header has {len(names)}")
                elif row:
                    yield _document(row[at].encode(errors="surrogateescape"), column, f"{path}:{line}")
    except csv.Error as error:
        raise InputError(f"{path}: not CSV after line {line}: {error}") from None
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read: {error}") from None


def _place(path: object, column: str, names: list[str]) -> int:
    if column not in names:
        raise InputError(f"{path}: no column '{column}'; its columns are {listed(names)}: say which with text: COLUMN")
    if names.count(column) > 1:
        raise InputError(f"{path}: {names.count(column)} columns are called '{column}'; give each its own name")
    return names.index(column)


def _document(value: Any, column: str, where: str) -> bytes | Refused:
    try:
        return encoded(value, column)
    except ValueError as error:
        return Refused(f"{where}: {error}")


def read_parquet(path: Path, column: str, begin: int, stop: int) -> Iterator[bytes | Refused]:
    """Documents of some row groups of a Parquet file; a row that is no text is refused.

    Raises:
        InputError: no Parquet, no such column, or damaged.
    """
    file = open_parquet(path)
    _place(path, column, file.schema_arrow.names)
    batches = file.iter_batches(batch_size=256, row_groups=range(begin, stop), columns=[column])
    yield from _rows(path, batches, column, f"of row group {begin}")


def read_arrow(path: Path, column: str) -> Iterator[bytes | Refused]:
    """Documents of an Arrow file, or of a stream of Arrow in a file as ``datasets`` writes it.

    Raises:
        InputError: no Arrow, no such column, or damaged.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as source:
            if source.read(6) == b"ARROW1":
                file = pa.ipc.open_file(source)
                batches: Iterable[Any] = map(file.get_batch, range(file.num_record_batches))
            else:
                source.seek(0)
                batches = file = pa.ipc.open_stream(source)
            names = file.schema.names
            at = _place(path, column, names)
            yield from _rows(path, (batch.select([at]) for batch in batches), column, "of the file")
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: no Arrow file: {' '.join(str(error).split())}") from None


def _rows(path: Path, batches: Iterable[Any], column: str, where: str) -> Iterator[bytes | Refused]:
    """Documents of a single column of record batches."""
    import pyarrow as pa

    row = 0
    try:
        for batch in batches:
            for value in batch.column(0):
                row += 1
                place = f"{path}: row {row} {where}"
                try:
                    text = value.as_py()
                except UnicodeDecodeError as error:
                    yield Refused(f"{place}: '{column}' has bytes that are not UTF-8, at offset {error.start}")
                else:
                    yield _document(text, column, place)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: damaged after row {row} {where}: {' '.join(str(error).split())}") from None


def open_parquet(path: Path) -> Any:
    """Opens a pyarrow ParquetFile; InputError if the file is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: no Parquet file: {' '.join(str(error).split())}") from None


def open_dataset(name: str, subset: str | None, split: str) -> Any:
    """Opens a Hugging Face dataset: from disk, else streamed.

    Raises:
        InputError: without the extra, or where there is no such dataset, configuration or split.
    """
    try:
        import datasets
    except ImportError:
        raise InputError('hf: needs: pip install "scaling-law-toolkit[hf]"') from None
    try:
        folder = Path(name)
        if (folder / "state.json").exists():
            return datasets.load_from_disk(name)
        if (folder / "dataset_dict.json").exists():
            splits = datasets.load_from_disk(name)
            if split not in splits:
                raise InputError(f"hf: {name}: no split '{split}'; its splits are {listed(list(splits))}")
            return splits[split]
        return datasets.load_dataset(name, subset, split=split, streaming=True)
    except InputError:
        raise
    except Exception as error:  # the library raises what its many readers raise
        raise InputError(f"hf: {name}: {' '.join(str(error).split())[:300]}") from None


def read_dataset(
    name: str, subset: str | None, split: str, column: str, begin: int, stop: int
) -> Iterator[bytes | Refused]:
    """Documents of some rows of a dataset on disk, or of some shards of a streamed one.

    Raises:
        InputError: as ``open_dataset``, or where the column is missing.
    """
    dataset = open_dataset(name, subset, split)
    streamed = not hasattr(dataset, "__len__")
    if not streamed:
        dataset = dataset.select(range(begin, stop))
    elif stop > begin:
        dataset = dataset.shard(num_shards=dataset.num_shards, index=begin)
    for row, values in enumerate(dataset):
        _place(f"hf: {name}", column, list(values))
        yield _document(values[column], column, f"hf: {name}: row {row + (0 if streamed else begin)}")

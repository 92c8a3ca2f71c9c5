"""Rows of files and datasets as objects, each with its place."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scaling.data.answers.spec import AnswersSpec
from scaling.data.corpus import own_files
from scaling.data.formats.recognise import recognise
from scaling.data.formats.streams import DAMAGED, LONGEST, kind_of, open_stream
from scaling.data.formats.tables import open_dataset, open_parquet
from scaling.data.formats.texts import json_values
from scaling.errors import InputError

_CALLED = {"text": "plain text", "csv": "CSV", "html": "a page of HTML", "warc": "a web archive", "arrow": "Arrow"}


class Row(NamedTuple):
    """A row.

    Attributes:
        file: it is from.
        where: ``file:line`` of jsonl; else the file and the number of the element or row.
        values: by column; or why there are none.
    """

    file: str
    where: str
    values: dict[str, Any] | str


def read_rows(spec: AnswersSpec) -> Iterator[Row]:
    """The rows of a spec's files or dataset, in order.

    Raises:
        InputError: nothing is there, or a file that cannot be read.
    """
    if spec.hf is not None:
        yield from _of_dataset(spec)
        return
    assert spec.path is not None
    for _, file in sorted(own_files(spec.path)[1]):
        yield from _of_file(file)


def _of_file(file: Path) -> Iterator[Row]:
    format = recognise(file, "messages")
    readers: dict[str | None, Callable[[Path], Iterator[Row]]] = {
        "jsonl": _of_lines,
        "json": _of_json,
        "parquet": _of_parquet,
        None: lambda _: iter(()),
    }
    if format not in readers:
        raise InputError(f"{file}: {_CALLED.get(str(format), 'token ids')}; give JSON lines, JSON or Parquet")
    yield from readers[format](file)


def _of_lines(file: Path) -> Iterator[Row]:
    number = 0
    try:
        with open_stream(file) as stream:
            while line := stream.readline(LONGEST + 1):
                number += 1
                if len(line) > LONGEST:
                    raise InputError(f"{file}:{number}: a line longer than {LONGEST >> 20} MiB")
                if line.strip():
                    yield Row(str(file), f"{file}:{number}", _parsed(line.removeprefix(b"\xef\xbb\xbf")))
    except DAMAGED as error:
        raise InputError(f"{file}: cannot be read: {error}") from None


def _parsed(line: bytes) -> dict[str, Any] | str:
    try:
        return _object(json.loads(line))
    except (ValueError, RecursionError) as error:
        return f"not JSON: {' '.join(str(error).split())}"


def _object(value: object) -> dict[str, Any] | str:
    return value if isinstance(value, dict) else f"not a JSON object but {kind_of(value)}"


def _of_json(file: Path) -> Iterator[Row]:
    try:
        with open_stream(file) as stream:
            values = json_values(b"".join(iter(partial(stream.read, 2**20), b"")).decode("utf-8-sig"))
    except DAMAGED as error:
        raise InputError(f"{file}: cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}:1: not JSON: {' '.join(str(error).split())}") from None
    for number, value in enumerate(values):
        yield Row(str(file), f"{file}: element {number}", _object(value))


def _of_parquet(file: Path) -> Iterator[Row]:
    import pyarrow as pa

    number = 0
    try:
        for batch in open_parquet(file).iter_batches(batch_size=256):
            for values in batch.to_pylist():
                number += 1
                yield Row(str(file), f"{file}: row {number}", values)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise InputError(f"{file}: damaged after row {number}: {' '.join(str(error).split())}") from None


def _of_dataset(spec: AnswersSpec) -> Iterator[Row]:
    name = f"hf: {spec.hf}"
    rows = iter(open_dataset(spec.hf or "", spec.subset, spec.split))
    number = 0
    while True:
        try:
            values = next(rows, None)
        except Exception as error:  # the library raises what its many readers raise
            raise InputError(f"{name}: after row {number}: {' '.join(str(error).split())[:300]}") from None
        if values is None:
            return
        number += 1
        yield Row(name, f"{name}: row {number}", dict(values))

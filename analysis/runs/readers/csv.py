"""CSV files as people and programs write them: any usual delimiter, encoding, compression and kind of line."""

import csv
import io
import re
from io import BufferedIOBase
from typing import Any

import pandas as pd

from analysis.runs.readers.frames import chosen, framed
from analysis.runs.readers.opened import Opened
from analysis.runs.recognition.spelling import is_known, normalised
from analysis.runs.schema import ALIASES, TEXTS

_SAMPLE_ROWS = 50
_TITLE_ROWS = 30  # a header is looked for in the first rows: above it may stand a title or comments
_TEXTS = {name for text in TEXTS for name in (text, *ALIASES.get(text, ()))}
_BLOCK = 2**24


def read_csv(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a CSV or TSV file; the index is the line on which each row begins.

    Comments and a title above the header, comments among the rows and rows of empty cells are left out.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow

    skipped = _above_header(source.text)
    delimiter = _delimiter(source.text, skipped)
    parse = arrow.ParseOptions(
        delimiter=delimiter or "\t",
        newlines_in_values=True,
        invalid_row_handler=lambda row: "skip" if row.text.startswith("#") else "error",
    )
    # One thread knows the number of each row.
    read = arrow.ReadOptions(use_threads=False, skip_rows=skipped, encoding=source.encoding)
    with _stream(source, delimiter, skipped) as stream:
        known = arrow.open_csv(stream, read_options=read, parse_options=parse).schema.names
    # A corpus may be called NA: only an empty cell is missing, and columns of numbers know such words.
    convert = arrow.ConvertOptions(
        include_columns=chosen(known, wanted),
        null_values=[""],
        strings_can_be_null=True,
        column_types={name: pa.string() for name in known if normalised(name) in _TEXTS},
    )
    with _stream(source, delimiter, skipped) as stream:
        table = arrow.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    for place, name in enumerate(table.column_names):
        if normalised(name) in _TEXTS:
            table = table.set_column(place, name, _whole(table.column(place)))
    frame = framed(table, known, first=skipped + 2)  # the header's line comes first
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.StringDtype):
            frame[name] = frame[name].str.strip()
    if (lines := _lines(source, len(frame), skipped)) is not None:
        frame.index = pd.Index(lines)
    return _filled(frame)


def _whole(texts: Any) -> Any:
    """A column of texts as whole numbers, if that loses nothing: ``001`` and ``1e5`` are names."""
    import pyarrow as pa

    try:
        numbers = texts.cast(pa.int64())
    except pa.ArrowInvalid:
        return texts
    return numbers if numbers.cast(pa.string()).equals(texts) else texts


def _filled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of which some cell is filled."""
    if frame.columns.empty or not (first := frame.iloc[:, 0].isna().to_numpy(bool)).any():
        return frame
    filled = ~first
    filled[first] = frame[first].notna().any(axis=1)
    kept = frame[filled]
    kept.attrs["known"] = frame.attrs["known"]
    return kept


def _above_header(text: str) -> int:
    """Number of lines above the header: what tells Excel the delimiter, and a title or comments."""
    lines = text.splitlines()[:_TITLE_ROWS]
    first = int(bool(lines) and lines[0][:4].lower() == "sep=")
    cells = [[cell.strip(' "#') for cell in re.split(r"[,;|\t]|\s{2,}", line)] for line in lines[first:]]
    known = [[cell for cell in row if is_known(cell)] for row in cells]
    if not known or (known[0] and not lines[first].startswith("#")):
        return first
    named = [len(row) >= 2 and any(len(cell) > 1 for cell in row) for row in known]  # c and d alone may be values
    if any(named):
        return first + named.index(True)
    # Names that are not known: comments have another number of cells.
    rest = next((at for at, line in enumerate(lines[first:]) if not line.startswith("#")), 0)
    return first + rest if len(cells[rest]) not in map(len, cells[:rest]) else first


def _stream(source: Opened, delimiter: str | None, skipped: int) -> BufferedIOBase:
    """The file's bytes, with tabs for the blanks of a table aligned by them."""
    if delimiter is not None:
        return source.open()
    with source.open() as file:
        text = file.read().decode(source.encoding, errors="replace")
    lines = ["\t".join(line.split()) for line in text.splitlines()]
    header = next(at for at, line in enumerate(lines) if line and at >= skipped)
    if lines[header + 1 :] and lines[header].count("\t") < lines[header + 1].count("\t"):
        lines[header] = f"row\t{lines[header]}"  # R gives the names of rows none
    return io.BytesIO("\n".join(lines).encode(source.encoding))


def _delimiter(text: str, skipped: int) -> str | None:
    """The delimiter: the one that parts the first rows into as many cells as the names; None for blanks.

    A table of one column has none either, which counts as a comma.
    """
    lines = text.splitlines(keepends=True)[skipped:]
    best, most = ",", 1
    for delimiter in ",;\t|":
        rows = csv.reader(lines, delimiter=delimiter)
        try:
            counts = [len(row) for row, _ in zip(rows, range(_SAMPLE_ROWS), strict=False) if row]
        except csv.Error:  # a cell too long for the module, which then has other rows to tell by
            counts = [len(next(csv.reader(lines[:1], delimiter=delimiter)))]
        whole = counts[:-1] if len(counts) < _SAMPLE_ROWS and len(counts) > 2 else counts  # the sample may cut the last
        if counts and counts[0] > most and whole.count(counts[0]) >= 0.8 * len(whole):
            best, most = delimiter, counts[0]
    words = [len(line.split()) for line in lines[:_SAMPLE_ROWS] if line.strip()]
    named = words[1:2] == [words[0] + 1] if words else False  # as R writes the names of rows
    if most == 1 and words and words[0] > 2 and set(words[1:-1]) <= {words[0] + named}:
        return None
    return best


def _lines(source: Opened, rows: int, skipped: int) -> list[int] | None:
    """The line on which each row begins; None where each row is the line after the one before.

    Blank lines and line breaks within quotes set rows apart.
    """
    all_lines, end = 0, b"\n"
    with source.open() as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            all_lines += block.count(b"\n")
            end = block[-1:]
    if all_lines + (end != b"\n") == rows + skipped + 1 or source.encoding == "utf-16":
        return None
    lines, line, quoted, begun = [], 1, False, None
    with source.open() as file:
        for text in file:
            if not quoted and text.strip(b"\r\n") and not (line > skipped + 1 and text.startswith(b"#")):
                begun = line
            quoted ^= bool(text.count(b'"') % 2)
            line += 1
            if not quoted and begun is not None:
                lines.append(begun)
                begun = None
    lines = [line for line in lines if line > skipped][1:]
    # A quote within a cell without quotes begins nothing: then rows are only counted.
    return lines if len(lines) == rows else None

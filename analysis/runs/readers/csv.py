"""CSV files as people and programs write them: any usual delimiter, encoding, compression and kind of line."""

import csv
import io
from io import BufferedIOBase

import pandas as pd

from analysis.runs.readers.frames import chosen, framed
from analysis.runs.readers.opened import Opened

_SAMPLE_ROWS = 50
_BLOCK = 2**24


def read_csv(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a CSV or TSV file; the index is the line on which each row begins."""
    from pyarrow import csv as arrow

    skipped = int(source.text[:5].lower().startswith("sep="))  # what tells Excel the delimiter
    delimiter = _delimiter(source.text, skipped)
    parse = arrow.ParseOptions(delimiter=delimiter or "\t", newlines_in_values=True)
    # One thread knows the number of each row.
    read = arrow.ReadOptions(use_threads=False, skip_rows=skipped, encoding=source.encoding)
    with _stream(source, delimiter) as stream, arrow.open_csv(stream, read_options=read, parse_options=parse) as reader:
        known = reader.schema.names
    # A corpus may be called NA: only an empty cell is missing, and columns of numbers know such words.
    convert = arrow.ConvertOptions(include_columns=chosen(known, wanted), null_values=[""], strings_can_be_null=True)
    with _stream(source, delimiter) as stream:
        table = arrow.read_csv(stream, read_options=read, parse_options=parse, convert_options=convert)
    frame = framed(table, known, first=skipped + 2)  # the header's line comes first
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.StringDtype):
            frame[name] = frame[name].str.strip()
    if (lines := _lines(source, len(frame), skipped)) is not None:
        frame.index = pd.Index(lines)
    return frame


def _stream(source: Opened, delimiter: str | None) -> BufferedIOBase:
    """The file's bytes, with tabs for the blanks of a table aligned by them."""
    if delimiter is not None:
        return source.open()
    with source.open() as file:
        text = file.read().decode(source.encoding, errors="replace")
    return io.BytesIO("\n".join("\t".join(line.split()) for line in text.splitlines()).encode(source.encoding))


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
    if most == 1 and words and words[0] > 2 and set(words[:-1]) <= {words[0]}:
        return None
    return best


def _lines(source: Opened, rows: int, skipped: int) -> list[int] | None:
    """The line on which each row begins; None where each row is the line after the one before.

    Blank lines and line breaks within quotes set rows apart.
    """
    with source.open() as file:
        breaks = sum(block.count(b"\n") for block in iter(lambda: file.read(_BLOCK), b""))
    if rows + skipped <= breaks <= rows + skipped + 1 or source.encoding != "utf-8":
        return None
    lines, line, quoted, begun = [], 1, False, None
    with source.open() as file:
        for text in file:
            if not quoted and text.strip(b"\r\n"):
                begun = line
            quoted ^= bool(text.count(b'"') % 2)
            line += 1
            if not quoted and begun is not None:
                lines.append(begun)
                begun = None
    lines = lines[1 + skipped :]
    # A quote within a cell without quotes begins nothing: then rows are only counted.
    return lines if len(lines) == rows else None

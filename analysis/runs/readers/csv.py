"""CSV files, separated by commas, semicolons or tabs."""

from pathlib import Path

import pandas as pd

from analysis.runs.readers.frames import chosen, framed


def read_csv(path: Path, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a CSV or TSV file; the index is the line."""
    from pyarrow import csv

    parse = csv.ParseOptions(delimiter=_delimiter(path))
    # One thread knows the number of each row.
    read = csv.ReadOptions(use_threads=False)
    with csv.open_csv(path, read_options=read, parse_options=parse) as reader:
        known = reader.schema.names
    convert = csv.ConvertOptions(include_columns=chosen(known, wanted), strings_can_be_null=True)
    table = csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
    return framed(table, known, first=2)  # the first line is the header


def _delimiter(path: Path) -> str:
    """The delimiter of the names in the first line."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with path.open("rb") as file:
        header = file.readline(2**20)
    return next((sign for sign in ",;\t" if sign.encode() in header), ",")

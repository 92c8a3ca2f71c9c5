"""Parquet files."""

import pandas as pd

from analysis.runs.readers.frames import chosen, framed
from analysis.runs.readers.opened import Opened


def read_parquet(source: Opened, wanted: set[str] | None) -> pd.DataFrame:
    """Frame of a Parquet file; the index counts from 1."""
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(source.path) as file:
        known = file.schema_arrow.names
        return framed(file.read(chosen(known, wanted)), known, first=1)

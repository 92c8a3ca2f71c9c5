"""What pages and notebooks keep of a finished run: its tables, and what it froze, without the folders of a machine."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def keep_tables(here: Path, there: Path, names: Sequence[str]) -> None:
    """Copies tables, those of the names that there are.

    They keep every column, as forecasts hold their hash, and are stored without statistics of their columns.

    Args:
        here: a folder of a finished run.
        there: a folder, made if it is not there.
        names: of files, such as ``runs.parquet``.
    """
    there.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (here / name).is_file():
            continue
        table = pa.Table.from_pandas(pd.read_parquet(here / name), preserve_index=False).replace_schema_metadata(None)
        pq.write_table(
            table, there / name, compression="zstd", compression_level=19, use_dictionary=False, write_statistics=False
        )


def keep_frozen(here: Path, there: Path, names: Sequence[str]) -> None:
    """Copies frozen forecasts, comparisons and scores byte by byte, as their digests need; stops at a machine's path.

    Args:
        here, there, names: as for :func:`keep_tables`, of JSON files.
    """
    there.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (here / name).is_file():
            continue
        text = (here / name).read_text()
        if any(Path(each).is_absolute() for each in _texts(json.loads(text))):
            sys.exit(f"{here / name}: names a folder of this machine; run the sweep with a relative --out")
        (there / name).write_text(text)


def _texts(content: Any) -> Iterator[str]:
    """Every string among the values of a JSON document."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        yield from _texts(list(content.values()))
    elif isinstance(content, list):
        for each in content:
            yield from _texts(each)

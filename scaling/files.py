"""Files of runs: whole or not there when written at once, torn in the last line at most when appended to."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.files import replace, write_bytes, write_text

__all__ = ["GIT_LFS", "append_row", "read_rows", "write_bytes", "write_parquet", "write_text"]

GIT_LFS = b"version https://git-lfs"
"""How a pointer begins that Git LFS leaves in place of a file which was not fetched."""


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    replace(path, lambda temporary: frame.to_parquet(temporary, index=False))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Appends a line of JSON in a single write, so that a crash tears the last line at most; a torn one is closed."""
    line = (json.dumps(row) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The lines of JSON objects in a file, without those that are torn; none if there is no file."""
    rows = []
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows

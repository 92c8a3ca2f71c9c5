"""Files that are whole or not there, whatever happens while they are written."""

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    _replace(path, write)


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table whole or not at all."""
    _replace(path, lambda temporary: frame.to_parquet(temporary, index=False))


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    # Not the process's number: on a shared disk another host may have the same.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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

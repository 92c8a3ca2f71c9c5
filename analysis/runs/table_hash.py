"""The hash of a table, which identifies a forecast's runs, whatever the file's format and the order of its rows."""

import hashlib
from collections.abc import Collection

import numpy as np
import pandas as pd

from analysis.runs.schema import NUMBERS, TEXTS

# What two otherwise identical sweeps may differ in; the held-out text follows from the corpus.
_NOT_HASHED = frozenset(["wall_s", "mfu", "usd", "device", "role", "status", "held_out_sha256"])
# Values that count as none: tables of sweeps had no such column before there was another value.
_AS_NONE = {"optimizer": "adamw"}
_ROWS_AT_ONCE = 100_000


def table_hash(rows: pd.DataFrame, columns: Collection[str], also: Collection[str] = ()) -> str:
    """SHA-256 of the canonical values of some rows, one line each, in sorted order.

    Args:
        rows: with the schema's names.
        columns: those of the source; what was completed in ``rows`` does not count, but for the FLOPs.
        also: further columns of ``rows`` that count.
    """
    hashed = {"flops", *columns} - _NOT_HASHED
    names = sorted([*(name for name in (*NUMBERS, *TEXTS) if name in hashed), *also])
    lines: list[str] = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows.iloc[start : start + _ROWS_AT_ONCE]
        pairs = [_pairs(name, part[name]) for name in names]
        lines += ["|".join(filter(None, row)) for row in zip(*pairs, strict=True)]
    digest = hashlib.sha256()
    for number, line in enumerate(sorted(lines)):
        digest.update(f"\n{line}".encode() if number else line.encode())
    return digest.hexdigest()


def _pairs(name: str, column: pd.Series) -> list[str]:
    """Texts ``name=value`` of a column's values, numbers by their shortest decimals; empty where there is none."""
    values = column.tolist()
    if column.dtype == "float64":
        return [f"{name}={value!r}" if value == value else "" for value in values]
    usual = _AS_NONE.get(name)
    return ["" if pd.isna(value) or value == usual else f"{name}={_canonical(value)}" for value in values]


def _canonical(value: object) -> str:
    return repr(float(value)) if isinstance(value, int | float | np.number) else str(value)

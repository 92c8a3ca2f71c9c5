"""A table of runs with its columns of shares and losses, whatever holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.mixing.reading.patterns import Found, find_losses, find_shares, named_columns, narrowed
from analysis.runs.readers import read_columns
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.spelling import normalised, without_unit
from analysis.runs.schema import ALIASES, FURTHER
from analysis.runs.table import RunTable, read_table, table_of

EPOCHS, TEXT = "epochs", "held_out_sha256"
Place = RunTable | pd.DataFrame | str | Path


@dataclass(frozen=True)
class Opened:
    """A table of runs on mixtures, of which shares and losses are not yet checked.

    Attributes:
        table: of the runs.
        shares: columns of the sources.
        losses: columns of the domains.
        columns: the mapping of columns as requested, and of the parameters where they are read from another column.
        stand_in: the column of losses that stands for the runs' own, where the table has none.
        notes: a sentence on each column that was taken for want of the usual one.
    """

    table: RunTable
    shares: Found
    losses: Found
    columns: Mapping[str, str] | None
    stand_in: str | None
    notes: tuple[str, ...]


def opened(
    place: Place, mix: str | None, losses: str | None, where: str | None, columns: Mapping[str, str] | None
) -> Opened:
    """Reads a table with the columns that the patterns find; its arguments are those of ``read_mixtures``.

    Raises:
        InputError: one line per error.
    """
    source, frame = _frame(place)
    known = frame.attrs.get("known") or list(map(str, frame.columns))
    shares, domains = find_shares(frame, known, mix, source), find_losses(known, losses, source)
    if mix is None and losses is None:
        shares, domains = narrowed(shares, domains)
    notes = [each.note for each in (shares, domains) if each.note]
    if isinstance(place, RunTable):
        if where is not None or columns:
            raise InputError("`where` and `columns` apply where a table is read, and this one is read already")
        return Opened(place, shares, domains, place.columns, None, tuple(notes))
    chosen, stand_in = dict(columns or {}), None
    if "params" not in chosen and not _has(known, "params") and _has(known, "params_nonembedding"):
        chosen["params"] = next(name for name in known if normalised(name) == "params_nonembedding")
        notes.append(f"params are {chosen['params']!r}: those of a target are then without embeddings too")
    named = dict(chosen) or None
    if "loss" not in chosen and not _has(known, "loss"):
        stand_in = _fullest(frame, domains)
        chosen["loss"] = stand_in
    further = (named_columns(known, EPOCHS, shares.names), named_columns(known, TEXT, domains.names))
    kept = list(dict.fromkeys(name for each in (shares.columns, domains.columns, *further) for name in each.values()))
    if isinstance(place, pd.DataFrame):
        table = table_of(frame, source, chosen, where, kept=kept)
    else:
        table = read_table(place, chosen, where, kept=kept)
    return Opened(table, shares, domains, named, stand_in, tuple(notes))


def _frame(place: Place) -> tuple[str, pd.DataFrame]:
    """The table's name in messages, and its rows under its own names."""
    if isinstance(place, RunTable):
        return place.source, place.frame
    if isinstance(place, pd.DataFrame):
        return "table", place.rename(columns=lambda name: str(name).strip())
    path = Path(place)
    if path.is_dir():
        path = path / "runs.parquet"
        if not path.is_file():
            raise InputError(f"{path.parent}: a folder without runs.parquet; give a sweep's folder, or a file")
    return str(path), read_columns(path, set())


def _has(known: Sequence[str], name: str) -> bool:
    """Whether a table has a column of the schema, under any of its usual names."""
    usual = {name, *ALIASES.get(name, ()), *FURTHER.get(name, ())}
    # A count may be in millions or billions: params_b. No loss is, and loss_b is that on a domain.
    spelled = {normalised(own) for own in known}
    return bool(usual & (spelled if name == "loss" else spelled | {without_unit(own)[0] for own in spelled}))


def _fullest(frame: pd.DataFrame, losses: Found) -> str:
    """The column of losses with the fewest gaps."""
    columns = list(losses.columns.values())
    counts = [numbers_in(frame[name])[0].notna().sum() if name in frame else 0 for name in columns]
    return columns[int(np.argmax(counts))]

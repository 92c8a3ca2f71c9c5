"""The table of runs, its checks, and the reading of foreign files into it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError
from analysis.runs.arrays import RunArrays
from analysis.runs.filter import closest, columns_of, select
from analysis.runs.readers import read_columns, refuse_repeated
from analysis.runs.readers.frames import decoded
from analysis.runs.recognition.columns import renamed
from analysis.runs.recognition.run_names import RUN_COLUMNS
from analysis.runs.recognition.states import DIVERGED, FLAGS, STATE_COLUMNS, finished, unknown, words
from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, RECIPE, REQUIRED, TEXTS
from analysis.runs.stages import COUNTS, STAGE, fine_tuning_stage, mixed_stages, unit_of
from analysis.runs.table_hash import table_hash
from analysis.runs.validation import as_numbers, check_used


@dataclass(frozen=True, eq=False)
class RunTable:
    """A checked table of runs: one row per evaluated endpoint.

    Attributes:
        frame: the rows, with the schema's column names; columns that a foreign table lacks stay absent. The index is
            the row's place in its source: the line of a CSV or JSONL file, otherwise counted from 1.
        source: where it came from, for messages.
        where: the filter that chose the rows to fit, or None.
        columns: the user's own mapping from the schema's names to the file's, or None.
        best_only: whether only the best run of each size and length is fitted: see :meth:`best`.
        notes: a sentence on each column that was converted or left out.
    """

    frame: pd.DataFrame
    source: str
    where: str | None = None
    columns: Mapping[str, str] | None = None
    best_only: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, source: str = "table") -> "RunTable":
        """Checks a frame that already bears the schema's column names.

        Raises:
            InputError: one line per error.
        """
        frame = decoded(frame.reset_index(drop=True))
        frame.index += 1
        return _checked(frame, source, None, None, (), ())

    @cached_property
    def fit(self) -> pd.DataFrame:
        """The rows to fit: role ``fit`` (or no role), finished (or without a state), chosen by the filter.

        Always has ``run_id``, ``params``, ``tokens``, ``flops`` and ``loss``, the numbers in float64. Sorted by value,
        so that what is drawn from them does not depend on the order of the file.

        Raises:
            InputError: if there is no such row.
        """
        if self.unfit is not None:
            raise InputError(self.unfit)
        rows = _completed(self.frame[self._chosen & self._usable])
        rows = _best(rows) if self.best_only else rows
        return rows.sort_values(["flops", "params", "tokens", "loss", "run_id"], kind="stable")

    def best(self) -> "RunTable":
        """The table of the best setting at each size and length of each corpus, of a sweep over hyperparameters.

        Where a column has seeds it is the setting of the least mean loss, with all its seeds; otherwise the
        one run of the least loss.
        """
        return replace(self, best_only=True)

    @cached_property
    def arrays(self) -> RunArrays:
        """The rows to fit as arrays."""
        return RunArrays.of(self.fit)

    @cached_property
    def unfit(self) -> str | None:
        """The message why there is no row to fit, or None if there is one."""
        rows = self.frame
        fit = _of_role(rows, "fit")
        if not fit.any():
            return f"{self.source}: no row to fit: role is {_found(rows['role'])} in every row; 'fit' is expected"
        every = "every row to fit" if "role" in rows else "every row"
        if not _done(rows[fit], self.where).any():
            found = _found(rows[fit]["status"])
            other = "; `where` may choose another word" if unknown(rows[fit]["status"]).any() else ""
            expected = f"'done' or 'finished' is expected{other}"
            return f"{self.source}: no row to fit: status is {found} in {every}; {expected}"
        if not (fit & self._usable).any():
            return f"{self.source}: no row to fit: {every} that has finished lacks a finite loss"
        if not (self._chosen & self._usable).any():
            return f"{self.source}: no finished row to fit meets `where` {self.where!r}"
        if mixed := mixed_stages(rows[self._chosen & self._usable]):
            named = " and ".join(repr(stage) if stage else "none" for stage in mixed)
            return (
                f"{self.source}: column 'stage': rows of {named} in one table: their losses are not comparable; choose "
                f'one with `where` "stage == {next(filter(None, mixed))!r}"'
            )
        return None

    @property
    def _chosen(self) -> Bool[np.ndarray, " rows"]:
        return _selected(self.frame, self.where) & _of_role(self.frame, "fit")

    @property
    def _usable(self) -> Bool[np.ndarray, " rows"]:
        return _done(self.frame, self.where) & np.isfinite(self.frame["loss"].to_numpy())

    @cached_property
    def targets(self) -> pd.DataFrame:
        """The finished rows with role ``target``, completed like the rows to fit; none without roles."""
        role = self.frame["role"] == "target" if "role" in self.frame else np.zeros(len(self.frame), bool)
        return _completed(self.frame[self._usable & np.asarray(role)])

    def with_target(self, params: float, tokens: float) -> "RunTable":
        """A table with roles: its own, or else ``target`` at these parameters and tokens and ``fit`` elsewhere."""
        if "role" in self.frame:
            return self
        near = self.near(self.frame, params, tokens)
        return replace(self, frame=self.frame.assign(role=np.where(near, "target", "fit")))

    @staticmethod
    def near(rows: pd.DataFrame, params: float, tokens: float) -> Bool[np.ndarray, " rows"]:
        """Mask (rows,) of the rows within 1 % of given parameters and tokens."""
        return (((rows["params"] / params - 1).abs() < 0.01) & ((rows["tokens"] / tokens - 1).abs() < 0.01)).to_numpy()

    @property
    def diverged(self) -> tuple[str, ...]:
        """The rows to fit that were left out as diverged or without a finite loss: run ids, or else row numbers."""
        return diverged_runs(self.frame, self._chosen)

    @property
    def unfinished(self) -> dict[str, tuple[str, ...]]:
        """The other rows to fit that were left out, by their state: run ids, or else row numbers."""
        if "status" not in self.frame:
            return {}
        state = words(self.frame["status"])
        left = self._chosen & ~_done(self.frame, self.where) & ~state.isin(DIVERGED).to_numpy(bool)
        return {word: _names(self.frame, left & (state == word).to_numpy()) for word in sorted(state[left].unique())}

    @property
    def convention(self) -> str:
        """The convention that counts parameters and FLOPs, on which exponents depend (2406.19146)."""
        return "params as given, flops " + ("as given" if "flops" in self.frame else "= 6 params tokens")

    @property
    def unit(self) -> str:
        """The unit of the loss: nats per token unless its column's name, or the stage, says otherwise."""
        return unit_of(fine_tuning_stage(self.frame[self._chosen]), self.columns)

    def hash(self) -> str:
        """SHA-256 over the canonical values of the fitted rows, one line each, in sorted order.

        Targets, row order, absent columns, the format of the file and what a rerun may change (``wall_s``,
        ``mfu``, ``device``) do not move it. Run ids count only where the source has them.
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        return table_hash(self.fit, self.frame.columns, (STAGE,) if fine_tuning_stage(self.fit) else ())


def read_table(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    extra: Sequence[str] = (),
    best: bool = False,
    kept: Sequence[str] = (),
) -> RunTable:
    """Reads a sweep's folder, or a file of any format in ``readers.READERS``.

    Args:
        path: the file, or the folder that holds ``runs.parquet``.
        columns: the schema's name -> the file's name, where the aliases do not suffice.
        where: a filter for the rows to fit, on the file's names or the schema's.
        extra: further columns of numbers, under the file's names; they may have gaps.
        best: keep only the best run of each size and length: see :meth:`RunTable.best`.
        kept: further columns of any values, under the file's names or the schema's.

    Raises:
        InputError: one line per error, with row and column.
    """
    path, wanted = Path(path), _wanted(columns, where, (*extra, *kept))
    if path.is_dir():
        path = path / "runs.parquet"
        if not path.is_file():
            raise InputError(f"{path.parent}: a folder without runs.parquet; give a sweep's folder, or a file")
    return _made(read_columns(path, wanted), str(path), columns, where, extra, best, kept)


def table_of(
    frame: pd.DataFrame,
    source: str = "table",
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    extra: Sequence[str] = (),
    best: bool = False,
    kept: Sequence[str] = (),
) -> RunTable:
    """Makes a table of runs from a frame, whose columns may have any name that :func:`read_table` understands.

    Args:
        frame: one row a run, counted from 1 in messages.
        source: its name in messages.
        columns, where, extra, best, kept: as for :func:`read_table`.

    Raises:
        InputError: one line per error, with row and column.
    """
    frame = decoded(frame.reset_index(drop=True))
    frame.index += 1
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame.attrs["known"] = list(frame.columns)
    refuse_repeated(frame.attrs["known"], _wanted(columns, where, (*extra, *kept)), source)
    return _made(frame, source, columns, where, extra, best, kept)


def _wanted(columns: Mapping[str, str] | None, where: str | None, extra: Sequence[str]) -> set[str]:
    """Names of all columns that a table may read."""
    named = columns_of(where) if where else set()
    usual = chain(*ALIASES.values(), *FURTHER.values(), *COUNTS.values(), STATE_COLUMNS, FLAGS, RUN_COLUMNS, (STAGE,))
    return {*NUMBERS, *TEXTS, *usual, *(columns or {}).values(), *extra, *named}


def _made(
    frame: pd.DataFrame,
    source: str,
    columns: Mapping[str, str] | None,
    where: str | None,
    extra: Sequence[str],
    best: bool,
    kept: Sequence[str],
) -> RunTable:
    """A table of a frame with the source's own names, all of which ``attrs["known"]`` lists."""
    known = frame.attrs["known"]
    if absent := [name for name in extra if name not in known]:
        raise InputError(f"{source}: no column {name!r}{closest(name, known)}" for name in absent)
    frame, notes = renamed(frame, source, columns, {*extra, *kept, *(columns_of(where) if where else ())})
    if absent := [name for name in kept if name not in frame]:
        raise InputError(f"{source}: no column {name!r}{closest(name, known)}" for name in absent)
    table = _checked(frame, source, where, columns, extra, notes)
    return table.best() if best else table


def _checked(
    frame: pd.DataFrame,
    source: str,
    where: str | None,
    columns: Mapping[str, str] | None,
    extra: Sequence[str],
    notes: tuple[str, ...],
) -> RunTable:
    """Checks every row that a fit or a score will use, and turns numbers into float64."""
    if frame.empty:
        raise InputError(f"{source}: no rows")
    if missing := [f"{source}: no column {name!r}" for name in REQUIRED if name not in frame]:
        raise InputError(missing)
    read = as_numbers(frame, extra)
    used = _done(frame, where) & (
        _selected(read.frame, where) | ~_of_role(frame, "fit")  # a filter chooses what is fitted, not the target
    )
    frame, unread = check_used(read, source, used)
    table = RunTable(frame, source, where, columns, notes=(*notes, *unread))
    if where is not None and table.unfit is not None:
        raise InputError(table.unfit)
    return table


def diverged_runs(frame: pd.DataFrame, chosen: Bool[np.ndarray, " rows"]) -> tuple[str, ...]:
    """Names of the chosen rows that diverged or have no finite loss: their run ids, or else ``row 1`` and so on.

    A row without any of params, tokens and loss is no run: below a table may stand ``Total``.
    """
    lost = finished(frame) & ~np.isfinite(frame["loss"].to_numpy())
    lost &= frame[list(REQUIRED)].notna().any(axis=1).to_numpy()
    if "status" in frame:
        lost |= words(frame["status"]).isin(DIVERGED).to_numpy(bool)
    return _names(frame, chosen & lost)


def _names(frame: pd.DataFrame, chosen: Bool[np.ndarray, " rows"]) -> tuple[str, ...]:
    """Run ids of the chosen rows, or ``row 1`` and so on where a row of the table has none."""
    if "run_id" in frame and frame["run_id"].notna().all():
        return tuple(frame["run_id"][chosen].astype("str"))
    return tuple(f"row {row + 1}" for row in np.flatnonzero(chosen))


def _found(values: pd.Series) -> str:
    """The first few of a column's values."""
    return " or ".join(repr(str(value)) for value in values.unique()[:4])


def _done(frame: pd.DataFrame, where: str | None) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the rows whose run has finished: those in an unlisted state too, if the filter is on it."""
    done = finished(frame)
    if where is None or "status" not in frame:
        return done
    by_state = any(name in frame and frame[name].equals(frame["status"]) for name in columns_of(where))
    return done | unknown(frame["status"]) if by_state else done


def _selected(frame: pd.DataFrame, where: str | None) -> Bool[np.ndarray, " rows"]:
    return np.ones(len(frame), bool) if where is None else select(frame, where)


def _of_role(frame: pd.DataFrame, role: str) -> Bool[np.ndarray, " rows"]:
    """Mask (rows,) of the rows with a role; rows and tables without roles count as True."""
    if "role" not in frame:
        return np.ones(len(frame), bool)
    return (frame["role"].isna() | (frame["role"] == role)).to_numpy(bool)


def _best(rows: pd.DataFrame) -> pd.DataFrame:
    """The best setting of each cell: all its seeds where a column has them, otherwise its best row."""
    cell = [c for c in (*REQUIRED[:2], "corpus", "tokenizer", "unique_tokens", "epochs", "seq_len") if c in rows]
    if "seed" in rows and len(rows["seed"].dropna().unique()) > 1:
        settings = rows.groupby([*cell, *(c for c in RECIPE if c in rows)], dropna=False)
        number, mean = settings.ngroup(), settings["loss"].transform("mean")
        order = pd.DataFrame({"mean": mean, "number": number}).sort_values(["mean", "number"]).index
        least = number[order][~rows.loc[order].duplicated(cell)]
        return rows[number.isin(least)]
    return rows.loc[rows.sort_values(["loss", "run_id"]).drop_duplicates(cell).index.sort_values()]


def _completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with the columns that follow from the rest: the row as run id, 6ND as FLOPs (float64: int64 overflows)."""
    rows = rows.copy(deep=False)
    if "run_id" not in rows:
        rows["run_id"] = "row" + rows.index.astype("str")
    if "flops" not in rows:
        rows["flops"] = 6.0 * rows["params"] * rows["tokens"]
    return rows

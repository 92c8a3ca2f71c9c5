"""The table of runs: its schema, its checks, and how a foreign file is read into it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.errors import InputError
from analysis.where import closest, columns_of, select

NUMBERS = (
    "params",
    "params_nonembedding",
    "params_active",
    "tokens",
    "unique_tokens",
    "epochs",
    "flops",
    "flops_6nd",
    "loss",
    "loss_stderr",
    "bits_per_byte",
    "lr",
    "batch_tokens",
    "warmup_tokens",
    "decay_fraction",
    "seed",
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ffn",
    "vocab",
    "seq_len",
    "wall_s",
    "mfu",
)
TEXTS = (
    "run_id",
    "trunk_id",
    "sweep",
    "role",
    "status",
    "schedule",
    "corpus",
    "tokenizer",
    "dtype",
    "device",
)
REQUIRED = ("params", "tokens", "loss")
ALIASES = {
    "params": ("n", "n_params", "model_size"),
    "tokens": ("d", "n_tokens", "train_tokens"),
    "loss": ("val_loss", "final_loss", "eval_loss"),
    "flops": ("c", "compute"),
    "run_id": ("run",),
    "corpus": ("train_data", "dataset"),
}
# What two otherwise identical sweeps may differ in.
_NOT_HASHED = frozenset(["wall_s", "mfu", "device", "role", "status"])
_MOST_FAULTS = 20


@dataclass(frozen=True)
class RunTable:
    """Rows of runs, checked: one row per evaluated endpoint.

    Attributes:
        frame: the rows, with the schema's column names; columns that a foreign table lacks stay absent. The index is
            the row's place in its source: the line of a CSV or JSONL file, otherwise counted from 1.
        source: where it came from, for messages.
        where: the filter that chose the rows to fit, or None.
        columns: the user's own mapping from the schema's names to the file's, or None.
    """

    frame: pd.DataFrame
    source: str
    where: str | None = None
    columns: Mapping[str, str] | None = None

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, source: str = "table") -> "RunTable":
        """Checks a frame that already bears the schema's column names.

        Raises:
            InputError: one line per fault.
        """
        frame = frame.reset_index(drop=True)
        frame.index += 1
        return _checked(frame, source, None, None)

    @cached_property
    def fit(self) -> pd.DataFrame:
        """The rows to fit: role ``fit`` (or no role), status ``done`` (or no status), chosen by the filter.

        Always has ``run_id``, ``params``, ``tokens``, ``flops`` and ``loss``, the numbers in float64.

        Raises:
            InputError: if there is no such row.
        """
        if self.unfit is not None:
            raise InputError(self.unfit)
        return _completed(self.frame[self._chosen & _has(self.frame, "status", "done")])

    @cached_property
    def unfit(self) -> str | None:
        """Why there is no row to fit, or None if there is one."""
        rows, place = self.frame, "every row"
        for column, expected in (("role", "fit"), ("status", "done")):
            left = rows[_has(rows, column, expected)]
            if left.empty:
                found = " or ".join(repr(str(value)) for value in rows[column].unique()[:4])
                return f"{self.source}: no row to fit: {column} is {found} in {place}; {expected!r} is expected"
            rows = left
            place = "every row to fit" if column in rows else place
        if not _selected(rows, self.where).any():
            return f"{self.source}: no finished row to fit meets --where {self.where!r}"
        return None

    @property
    def _chosen(self) -> Bool[np.ndarray, " rows"]:
        return _selected(self.frame, self.where) & _has(self.frame, "role", "fit")

    @cached_property
    def targets(self) -> pd.DataFrame:
        """The finished rows with role ``target``, completed like the rows to fit; none without roles."""
        done = _has(self.frame, "status", "done")
        role = self.frame["role"] == "target" if "role" in self.frame else np.zeros(len(self.frame), bool)
        return _completed(self.frame[done & np.asarray(role)])

    def with_target(self, params: float, tokens: float) -> "RunTable":
        """Gives a table without roles some: ``target`` at these parameters and tokens, else ``fit``."""
        if "role" in self.frame:
            return self
        near = self.near(self.frame, params, tokens)
        return replace(self, frame=self.frame.assign(role=np.where(near, "target", "fit")))

    @staticmethod
    def near(rows: pd.DataFrame, params: float, tokens: float) -> Bool[np.ndarray, " rows"]:
        """Which rows lie within 1 % of given parameters and tokens."""
        return (((rows["params"] / params - 1).abs() < 0.01) & ((rows["tokens"] / tokens - 1).abs() < 0.01)).to_numpy()

    @property
    def diverged(self) -> int:
        """How many rows to fit were left out because their status is ``diverged``."""
        if "status" not in self.frame:
            return 0
        return int((self._chosen & (self.frame["status"] == "diverged").to_numpy()).sum())

    @property
    def convention(self) -> str:
        """How parameters and FLOPs are counted: exponents move with it (2406.19146)."""
        return "params as given, flops " + ("as given" if "flops" in self.frame else "= 6 params tokens")

    def hash(self) -> str:
        """SHA-256 over the canonical values of the fitted rows, one line each, in sorted order.

        Targets, row order, absent columns, the format of the file and what a rerun may change (``wall_s``,
        ``mfu``, ``device``) do not move it. Run ids count only where the source has them.
        """
        rows = self.fit
        hashed = {"flops", *self.frame.columns} - _NOT_HASHED
        names = [name for name in sorted([*NUMBERS, *TEXTS]) if name in hashed]
        lines = []
        for values in rows[names].itertuples(index=False, name=None):
            pairs = zip(names, values, strict=True)
            lines.append("|".join(f"{name}={_canonical(v)}" for name, v in pairs if not pd.isna(v)))
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_table(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    where: str | None = None,
    extra: Sequence[str] = (),
) -> RunTable:
    """Reads a sweep's folder, or a CSV, Parquet or JSONL file.

    Args:
        path: the file, or the folder that holds ``runs.parquet``.
        columns: the schema's name -> the file's name, where the aliases do not suffice.
        where: a filter for the rows to fit, on the file's names or the schema's.
        extra: further columns of numbers, under the file's names; they may have gaps.

    Raises:
        InputError: one line per fault, with row and column.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "runs.parquet"
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    wanted = {*NUMBERS, *TEXTS, *(columns or {}).values(), *extra} | (columns_of(where) if where else set())
    frame = read_columns(path, wanted)
    known = frame.attrs["known"]
    if absent := [name for name in extra if name not in known]:
        raise InputError(f"{path}: no column {name!r}{closest(name, known)}" for name in absent)
    return _checked(_renamed(frame, str(path), columns), str(path), where, columns, extra)


def read_columns(path: Path, wanted: set[str]) -> pd.DataFrame:
    """Reads the columns that are of use, so that a wide or long file does not fill the memory.

    The frame has the file's own names; ``attrs["known"]`` lists every column of the file, read or not.

    Raises:
        InputError: if the file is empty or unreadable.
    """
    lowered = {name.lower() for name in wanted} | {a for aliases in ALIASES.values() for a in aliases}

    def useful(name: object) -> bool:
        return str(name).lower() in lowered

    kind = path.suffix.lower()
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty")
    try:
        if kind == ".parquet":
            import pyarrow.parquet

            file = pyarrow.parquet.ParquetFile(path)
            frame = file.read([n for n in file.schema_arrow.names if useful(n)]).to_pandas()
            known = file.schema_arrow.names
        elif kind in (".jsonl", ".ndjson"):
            frame = pd.read_json(path, lines=True, precise_float=True)
            known = list(frame.columns)
        elif kind in (".csv", ".tsv"):
            from pyarrow import csv

            separator = csv.ParseOptions(delimiter="," if kind == ".csv" else "\t")
            with csv.open_csv(path, parse_options=separator) as reader:
                known = reader.schema.names
            convert = csv.ConvertOptions(include_columns=[n for n in known if useful(n)], strings_can_be_null=True)
            frame = csv.read_csv(path, parse_options=separator, convert_options=convert).to_pandas()
        else:
            raise InputError(f"{path}: {kind or 'no suffix'!r} is not .csv, .tsv, .jsonl or .parquet")
    except InputError:
        raise
    except (ValueError, OSError) as error:  # pyarrow's and pandas' errors of parsing are ValueErrors
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path}: not a readable {kind} file ({reason})") from None
    if not len(known):
        raise InputError(f"{path}: no rows")
    frame.attrs["known"] = [str(name) for name in known]
    frame.index += 2 if kind in (".csv", ".tsv") else 1  # a CSV's first line is its header
    return frame


def _renamed(frame: pd.DataFrame, source: str, columns: Mapping[str, str] | None) -> pd.DataFrame:
    """Adds the schema's names to a file's own."""
    known = frame.attrs["known"]
    faults = []
    for name, own in (columns or {}).items():
        if name not in NUMBERS and name not in TEXTS:
            faults.append(f"--columns {name}={own}: no such name in a table of runs{closest(name, [*NUMBERS, *TEXTS])}")
        elif own not in known:
            faults.append(f"--columns {name}={own}: {source} has no column {own!r}{closest(own, known)}")
        else:
            frame[name] = frame[own]
    lowered: dict[str, list[str]] = {}
    for own in frame.columns:
        lowered.setdefault(str(own).lower(), []).append(str(own))
    for name in (*NUMBERS, *TEXTS):
        if name in frame.columns:
            continue
        found = [own for alias in (name, *ALIASES.get(name, ())) for own in lowered.get(alias, [])]
        if len(found) > 1:
            faults.append(f"{source}: columns {found} could all be {name!r}; choose with --columns {name}=...")
        elif found:
            frame[name] = frame[found[0]]
    for name in REQUIRED:
        if name not in frame.columns and not any(f"--columns {name}" in fault for fault in faults):
            faults.append(f"{source}: no column {name!r}{closest(name, known)}; choose with --columns {name}=...")
    if faults:
        raise InputError(faults)
    return frame


def _checked(
    frame: pd.DataFrame,
    source: str,
    where: str | None,
    columns: Mapping[str, str] | None,
    extra: Sequence[str] = (),
) -> RunTable:
    """Checks every row that a fit or a score will use, and turns numbers into float64."""
    if frame.empty:
        raise InputError(f"{source}: no rows")
    faults = [f"{source}: no column {name!r}" for name in REQUIRED if name not in frame]
    if faults:
        raise InputError(faults)
    used = _has(frame, "status", "done") & (
        _selected(frame, where) | ~_has(frame, "role", "fit")  # a filter chooses what is fitted, not the target
    )
    frame = frame.copy()
    for name in [c for c in dict.fromkeys((*NUMBERS, *extra)) if c in frame]:
        values = pd.to_numeric(frame[name], errors="coerce")
        texts = frame[name][used & (values.isna() & frame[name].notna()).to_numpy()]
        faults += [f"{source}:{row}: column {name!r}: {text!r} is not a number" for row, text in texts.items()]
        frame[name] = values.astype("float64")
        if name in ("params", "tokens", "loss", "flops"):
            with np.errstate(invalid="ignore"):
                bad = used & ~(np.isfinite(values) & (values > 0)).to_numpy() & ~frame.index.isin(texts.index)
            faults += [
                f"{source}:{row}: column {name!r}: {value} is not a positive number"
                for row, value in values[bad].items()
            ]
    if faults:
        hidden = len(faults) - _MOST_FAULTS
        raise InputError(faults[:_MOST_FAULTS] + ([f"{source}: {hidden} more faults"] if hidden > 0 else []))
    table = RunTable(frame, source, where, columns)
    if where is not None and table.unfit is not None:
        raise InputError(table.unfit)
    return table


def _selected(frame: pd.DataFrame, where: str | None) -> Bool[np.ndarray, " rows"]:
    return np.ones(len(frame), bool) if where is None else select(frame, where)


def _has(frame: pd.DataFrame, column: str, value: str) -> Bool[np.ndarray, " rows"]:
    """Whether a row has a value in a column; rows and tables that say nothing count as yes."""
    if column not in frame:
        return np.ones(len(frame), bool)
    return (frame[column].isna() | (frame[column] == value)).to_numpy(bool)


def _completed(rows: pd.DataFrame) -> pd.DataFrame:
    """Fills what follows from the rest: the row as run id, 6ND as FLOPs (float64: int64 overflows)."""
    rows = rows.copy()
    if "run_id" not in rows:
        rows["run_id"] = [f"row{row}" for row in rows.index]
    if "flops" not in rows:
        rows["flops"] = 6.0 * rows["params"] * rows["tokens"]
    return rows


def _canonical(value: object) -> str:
    return repr(float(value)) if isinstance(value, int | float | np.number) else str(value)

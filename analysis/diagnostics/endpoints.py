"""Whether each row is the end of its own run: the last row, after decay, and in the table once."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Bool

from analysis.diagnostics.advice import columns_option
from analysis.diagnostics.codes import Diagnostic
from analysis.runs.groups import trunks
from analysis.runs.recognition.run_names import LONG_RUN, names_runs
from analysis.runs.recognition.spelling import normalised
from analysis.runs.schema import NUMBERS, RECIPE, TEXTS

_MEASURED = frozenset([*NUMBERS, *TEXTS]) - {"run_id", "trunk_id", "wall_s", "mfu", "device"}
# Names of columns for the planned tokens of a run, and for the share of it that is done.
_HORIZONS = frozenset(["train_tokens", "planned_tokens", "target_tokens"])
_PROGRESS = frozenset(["portion", "progress"])


def undecayed(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Whether some losses were measured before the learning rate had decayed."""
    high = np.zeros(len(rows), bool)
    if "decay_fraction" in rows:
        high |= (rows["decay_fraction"] == 0).to_numpy()
    if "schedule" in rows:
        high |= rows["schedule"].isin(["constant", "const"]).to_numpy()
        high &= ~rows["schedule"].isin(["cosine", "linear"]).to_numpy()
    if undecayed := int(high.sum()):
        yield Diagnostic("not-decayed", f"{undecayed} runs end at full learning rate: their loss is not final")
    if early := int((_before_the_end(rows) & ~high).sum()):
        yield Diagnostic(
            "not-decayed",
            f"{early} of {len(rows)} rows lie before the end of their run, where the learning rate had not decayed: "
            "keep the last row of each run",
        )


def _before_the_end(rows: pd.DataFrame) -> Bool[np.ndarray, " rows"]:
    """Whether each row has fewer tokens than another of its run, or than planned for its run."""
    early = pd.Series(False, rows.index)
    if not rows["run_id"].is_unique:
        early = rows["tokens"] < 0.98 * rows.groupby("run_id")["tokens"].transform("max")
    if "decay_fraction" in rows:
        early &= ~(rows["decay_fraction"] > 0)
    lowered = {str(name).lower(): name for name in rows}
    for name in _HORIZONS & set(lowered):
        early |= rows["tokens"] < 0.98 * pd.to_numeric(rows[lowered[name]], errors="coerce")
    for name in _PROGRESS & set(lowered):
        progress = pd.to_numeric(rows[lowered[name]], errors="coerce")
        early |= progress < 0.98 * (100.0 if progress.max() > 1 else 1.0)
    return early.to_numpy(bool)


def correlated(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Whether some rows are repeats, or share a run or trunk, and so count for less than as many runs."""
    # Losses of few digits are equal by chance.
    alike = rows[rows["loss"].duplicated(keep=False) & (rows["loss"] != rows["loss"].round(4))]
    duplicates = int(alike.duplicated([c for c in rows if c in _MEASURED]).sum())
    if duplicates:
        yield Diagnostic("correlated-rows", f"{duplicates} rows repeat another row exactly and count twice: drop them")
    number = int(trunks(rows).max()) + 1
    if number < len(rows) - duplicates:
        yield Diagnostic(
            "correlated-rows",
            f"{len(rows)} rows come from {number} {'trunks' if 'trunk_id' in rows else 'runs'}: rows of one are "
            "correlated, so whole ones are resampled",
        )
    elif number == len(rows) and (column := _run_column(rows)):
        yield Diagnostic(
            "correlated-rows",
            f"the {rows[column].nunique()} values of {column!r} repeat over {len(rows)} rows, each at one size, as in "
            f"a step log: if they are runs, name them with {columns_option('run_id', column)}, and keep the last row "
            "of each",
        )
    elif number == len(rows) and (along := max(_along_runs(rows), _many_lengths(rows))):
        yield Diagnostic(
            "correlated-rows",
            f"{along} rows lie along the tokens as points along a run do: if they are, name the runs with "
            "--columns run_id=COLUMN, and keep the last row of each",
        )


def _run_column(rows: pd.DataFrame) -> str | None:
    """A column of texts that may name the run of each row: not the size alone, unless its rows are very many."""
    for name in map(str, rows):
        if normalised(name) in {*NUMBERS, *TEXTS} or not pd.api.types.is_string_dtype(rows[name].dtype):
            continue
        sizes = rows["params"].nunique()
        least = LONG_RUN if rows[name].nunique() > sizes else 2 * LONG_RUN
        if names_runs(rows[name], rows["params"], rows["tokens"], least):
            return name
    return None


def _many_lengths(rows: pd.DataFrame) -> int:
    """Number of rows of sizes that have more lengths than anybody trains, with nothing else to tell them apart."""
    same = [c for c in ("params", "corpus", "unique_tokens", "seed", *RECIPE) if c in rows]
    lengths = rows.groupby(same, dropna=False, sort=False)["tokens"].transform("nunique")
    repeated = rows.duplicated([*same, "tokens"]).any()
    return 0 if repeated else int((lengths >= 2 * LONG_RUN).sum())


def _along_runs(rows: pd.DataFrame) -> int:
    """Number of rows whose tokens are evenly spaced within their size and recipe, unlike any planned grid of runs."""
    same = [c for c in ("params", "corpus", "unique_tokens", "seed", *RECIPE) if c in rows]
    rows = rows[rows["params"].map(rows["params"].value_counts()) >= LONG_RUN]
    tokens = rows.sort_values([*same, "tokens"])
    groups = tokens.groupby(same, dropna=False, sort=False)["tokens"]
    step = groups.diff()
    usual = step.groupby([tokens[c] for c in same], dropna=False, sort=False).transform("median")
    even = ((step - usual).abs() <= 0.01 * usual) & (usual > 0)
    evenly = even.groupby([tokens[c] for c in same], dropna=False, sort=False).transform("sum")
    count = groups.transform("size")
    return int(((evenly >= 0.85 * (count - 1)) & (count >= LONG_RUN)).sum())

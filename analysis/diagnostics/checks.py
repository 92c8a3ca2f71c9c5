"""Warnings about a table of runs: what in its rows would mislead a fit."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import chain

import numpy as np
import pandas as pd

from analysis.diagnostics.advice import where_option
from analysis.diagnostics.codes import Code, Diagnostic
from analysis.diagnostics.endpoints import correlated, undecayed
from analysis.diagnostics.mixed_conventions import disagreements
from analysis.diagnostics.reading import left_out, odd_counts
from analysis.formatting import listed
from analysis.runs.recognition.spelling import normalised
from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, TEXTS
from analysis.runs.stages import fine_tuning_stage
from analysis.runs.subsample import representative
from analysis.runs.table import RunTable

PADDING = 1.05  # vocabularies are padded to round numbers
_TEXTS: dict[str, Code] = {"corpus": "pooled-corpora", "tokenizer": "tokenizer-mismatch"}
# Columns of the schema that may separate recipes; tuned hyperparameters have their own warning.
_RECIPES = frozenset(["sweep", "schedule", "optimizer", "recipe", "dtype", "seq_len"])


def check_table(table: RunTable, needs: tuple[str, ...] = ()) -> tuple[Diagnostic, ...]:
    """All warnings about the rows to fit.

    Args:
        table: the runs.
        needs: the columns that the law reads, if it is one law.
    """
    handled = {"repeated-data"} if "unique_tokens" in needs else set()
    return tuple(warning for warning in _all_warnings(table) if warning.code not in handled)


@lru_cache(maxsize=1)
def _all_warnings(table: RunTable) -> tuple[Diagnostic, ...]:
    """The warnings about one table, which each law requests again."""
    rows = table.fit
    return (
        *left_out(table),
        *odd_counts(rows, (table.columns or {}).get("loss", "loss")),
        *_pooled(rows),
        *_repeated(rows),
        *_untuned(rows),
        *_conventions(rows),
        *_mixed(table),
        *undecayed(rows),
        *_progress(rows),
        *correlated(rows),
    )


def _progress(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Whether more compute lowers the loss at all."""
    middle = np.sqrt(rows["flops"].min()) * np.sqrt(rows["flops"].max())
    low, high = (rows["loss"][side] for side in (rows["flops"] <= middle, rows["flops"] > middle))
    if len(low) and len(high) and high.min() >= low.min():
        yield Diagnostic(
            "floor-unidentified",
            f"none of the {len(high)} high-compute runs has a lower loss than the best of the {len(low)} low-compute "
            "runs: the runs do not show what compute buys",
        )


def _pooled(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    """Whether the rows mix corpora or tokenizers, whose losses per token are not comparable."""
    for column, code in _TEXTS.items():
        names = sorted(rows[column].dropna().unique().tolist(), key=str) if column in rows else []
        if len(names) > 1:
            yield Diagnostic(
                code,
                f"{len(rows)} runs of {len(names)} {column} values share one fit ({listed(names)}): their losses are "
                f"not comparable; choose one, such as {where_option(column, _most(rows[column]))}",
            )
        missing = int(rows[column].isna().sum()) if names else 0
        if len(names) == 1 and missing:
            yield Diagnostic(
                code,
                f"{missing} of {len(rows)} runs do not say their {column}, and the others are of {names[0]}: if it is "
                f"another one, their losses are not comparable; leave them out with {where_option(column, names[0])}",
            )
    if "vocab" in rows and rows["vocab"].max() > PADDING * rows["vocab"].min():
        yield Diagnostic(
            "tokenizer-mismatch",
            f"vocabularies of {rows['vocab'].min():.0f} to {rows['vocab'].max():.0f} tokens share one fit: a loss per "
            "token means something else for each; choose one with --where",
        )


def _repeated(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    epochs = np.ones(len(rows))
    if fine_tuning_stage(rows) is not None:  # whose laws are of different examples or pairs
        return
    if "epochs" in rows:
        epochs = np.fmax(epochs, rows["epochs"].to_numpy())
    if "unique_tokens" in rows:
        epochs = np.fmax(epochs, (rows["tokens"] / rows["unique_tokens"]).to_numpy())
    repeated = int((epochs > 1.05).sum())
    if repeated:
        mend = '--where "epochs <= 1"' if "epochs" in rows else '--where "tokens <= unique_tokens"'
        yield Diagnostic(
            "repeated-data",
            f"{repeated} of {len(rows)} runs repeat their data (up to {epochs.max():.3g} epochs), which every law but "
            f"data-constrained counts as fresh tokens; use that law, or leave them out with {mend}",
        )


def _untuned(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    tuned = [c for c in ("lr", "batch_tokens", "weight_decay") if c in rows]
    if not tuned:
        return
    cell = [c for c in ("params", "tokens", "corpus", "seq_len", "width", "depth") if c in rows]
    settings = rows.groupby(cell, dropna=False)[tuned].nunique()
    varied = [c for c in tuned if (settings[c] > 1).any()]
    if varied:
        grids = int((settings > 1).any(axis=1).sum())
        yield Diagnostic(
            "untuned-grid",
            f"{grids} of {len(settings)} (params, tokens) have runs at several {' and '.join(varied)}: a law is of "
            "well-tuned runs; keep the best of each with --best",
        )


def _conventions(rows: pd.DataFrame) -> Iterator[Diagnostic]:
    ratio = rows["flops"] / (6 * rows["params"] * rows["tokens"])
    shared = rows["params"].duplicated(keep=False)
    by_size = ratio[shared].groupby(rows["params"][shared]).agg(["min", "max"])
    if (by_size["max"] > 1.1 * by_size["min"]).any():
        yield Diagnostic(
            "mixed-conventions",
            "runs of one size count FLOPs per parameter and token differently: exponents move with the convention",
        )


def _mixed(table: RunTable) -> Iterator[Diagnostic]:
    """Whether some column, whatever it means, separates recipes or conventions whose losses disagree."""
    usual = {*NUMBERS, *TEXTS, *chain(*ALIASES.values(), *FURTHER.values())} - _RECIPES
    # Shares of sources and passes over them: a mixture is not tuned, and each is a corpus of its own.
    drawn = {c for name in map(str, table.fit) if name.startswith("mix_") for c in (name, f"epochs_{name[4:]}")}
    usual |= drawn if drawn <= {*map(str, table.fit)} else set()
    columns = [c for c in map(str, table.fit) if normalised(c) not in usual and c not in (table.columns or {}).values()]
    if not columns:
        return
    rows = representative(table.fit)
    settings = [c for c in columns if pd.api.types.is_numeric_dtype(rows[c]) and len(rows[c].dropna().unique()) > 2]
    # Sweeps vary numbers; conventions are names and flags.
    if not any(_untuned(rows)) and (found := disagreements(rows, settings)):
        yield Diagnostic(
            "untuned-grid",
            f"runs of several {listed([each.column for each in found])} lie {np.expm1(found[0].gap):.1%} apart in "
            "loss at the same FLOPs and params: a law is of well-tuned runs; keep the best of each with --best",
        )
    if found := disagreements(rows, [c for c in columns if c not in settings]):
        first = found[0]
        others = f"; so do {listed([each.column for each in found[1:]])}" if found[1:] else ""
        yield Diagnostic(
            "mixed-conventions",
            f"{first.column} ({listed(first.groups)}) splits the runs into groups whose losses at the same FLOPs and "
            f"params lie {np.expm1(first.gap):.1%} apart{others}: choose one, such as "
            f"{where_option(first.column, _most(rows[first.column]))}",
        )


def _most(values: pd.Series) -> object:
    """The value of the most rows, the first of several."""
    count = values.value_counts()
    value = sorted(count.index[count == count.max()].tolist(), key=str)[0]
    return value.item() if isinstance(value, np.generic) else value

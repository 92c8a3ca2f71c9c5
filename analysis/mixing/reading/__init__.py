"""Reads a table of runs on mixtures, from whatever holds it, and checks its shares and losses."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from analysis.diagnostics.codes import Diagnostic
from analysis.diagnostics.reading import left_out, odd_counts
from analysis.errors import InputError
from analysis.formatting import listed
from analysis.mixing.points import MixturePoints
from analysis.mixing.reading.checkpoints import thinned
from analysis.mixing.reading.checks import check_text, losses_of, numbers_of, refuse, shares_of
from analysis.mixing.reading.opened import EPOCHS, TEXT, Opened, Place, opened
from analysis.mixing.reading.patterns import Found, named_columns
from analysis.mixing.table import MixtureTable
from analysis.runs.filter import select
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.spelling import normalised
from analysis.runs.recognition.states import finished

_SAME_SHARE = 1e-4  # by which checkpoints of one run may differ


def read_mixtures(
    place: Place,
    *,
    mix: str | None = None,
    losses: str | None = None,
    where: str | None = None,
    columns: Mapping[str, str] | None = None,
    unique: Mapping[str, float] | None = None,
) -> MixtureTable:
    """Reads runs on mixtures: one row a run, with its size and length, the share of each source, a loss by domain.

    Args:
        place: a sweep's folder, a CSV, JSON, Parquet or Excel file, a DataFrame, or a table that is read already.
        mix: pattern of the shares' columns, whose ``*`` is the source's name; by default ``mix_*``, or another usual
            one that the table has. Shares sum to 1, or to 100 in percent.
        losses: pattern of the columns of losses, nats per token, whose ``*`` is the domain's name; by default
            ``loss_*``. Names are compared in lower case with ``_`` for all but letters and digits: a domain may be
            named after its source.
        where: a filter for the rows to fit.
        columns: the schema's name -> the table's own, where the usual names do not suffice.
        unique: training tokens that each source has; by default as ``epochs_<source>`` tells.

    Raises:
        InputError: one line per error, with row and column.
    """
    found = opened(place, mix, losses, where, columns)
    table, source = found.table, found.table.source
    used = pd.concat([table.fit, table.targets]).sort_index()
    fitted = ~used.index.isin(table.targets.index)
    domains, silent = _measured(used[fitted], found.losses, source)
    keep = np.ones(len(used), bool)
    correlated: list[Diagnostic] = []
    if "run_id" not in table.frame or not used["run_id"].is_unique:  # or else every row is a run of its own
        keep, correlated = _thinned(used, fitted, found.shares, domains)
    used, fitted = used[keep], fitted[keep]
    shares, errors = shares_of(used, found.shares)
    measured, more = losses_of(used, domains)
    refuse([*errors, *_lost(found, domains), *more], source)
    texts = named_columns(list(map(str, used.columns)), TEXT, domains.names)
    held_out = check_text(used, texts, source)
    points = _points(used, found.shares, domains, shares, measured)
    points = replace(points, unique=_sizes(used[fitted], points.take(fitted), found.shares, unique or {}, source))
    stand_in = (table.columns or {}).get("loss", "loss")
    return MixtureTable(
        fit=_sorted(points.take(fitted)),
        targets=None if fitted.all() else _sorted(points.take(~fitted)),
        source=source,
        where=table.where,
        columns=found.columns,
        mix=found.shares.pattern,
        losses=found.losses.pattern,
        held_out=held_out,
        warnings=(
            *(each for each in left_out(table) if each.code != "sampled-rows"),
            *(Diagnostic("columns-read", each) for each in (*found.notes, *silent)),
            *odd_counts(table.fit, stand_in),
            *correlated,
        ),
    )


def _measured(rows: pd.DataFrame, losses: Found, source: str) -> tuple[Found, list[str]]:
    """The domains on which some run has a loss, and a sentence on each other one.

    Raises:
        InputError: no run has a loss on any.
    """
    empty = [name for name, column in losses.columns.items() if rows[column].isna().all()]
    if len(empty) == len(losses.columns):
        raise InputError(f"{source}: {losses.pattern}: no row to fit has a loss on any domain")
    left = {name: column for name, column in losses.columns.items() if name not in empty}
    return replace(losses, columns=left), [
        f"{losses.columns[name]!r} is left out: no row to fit has a loss in it" for name in empty
    ]


def _lost(found: Opened, domains: Found) -> list[str]:
    """Errors for runs that lack the loss that stands for their own, and have others: they have not diverged."""
    table = found.table
    if found.stand_in is None:
        return []
    rows = table.frame
    chosen = finished(rows) if table.where is None else finished(rows) & select(rows, table.where)
    other = np.isfinite(numbers_of(rows, domains)[0]).any(axis=1)
    without = chosen & ~np.isfinite(rows["loss"].to_numpy()) & other
    return [f"{row}: {found.stand_in} is missing, which other runs have" for row in rows.index[without]]


def _thinned(
    rows: pd.DataFrame, fitted: Bool[np.ndarray, " rows"], shares: Found, domains: Found
) -> tuple[Bool[np.ndarray, " rows"], list[Diagnostic]]:
    """Mask (rows,) of the rows to keep, where runs were measured at many lengths; targets all."""
    run = np.round(numbers_of(rows, shares)[0] / _SAME_SHARE)
    run = np.column_stack([run, _seeds(rows, np.zeros(len(rows), int))])
    _, number = np.unique(np.nan_to_num(run, nan=-1.0), axis=0, return_inverse=True)
    complete = np.isfinite(numbers_of(rows, domains)[0]).all(axis=1)
    params, tokens = (rows[name].to_numpy(float)[fitted] for name in ("params", "tokens"))
    keep = np.ones(len(rows), bool)
    keep[fitted], correlated = thinned(params, tokens, number.reshape(-1)[fitted], complete[fitted])
    return keep, correlated


def _points(
    rows: pd.DataFrame,
    sources: Found,
    domains: Found,
    shares: Float[np.ndarray, "rows sources"],
    losses: Float[np.ndarray, "rows domains"],
) -> MixturePoints:
    """Rows as points, without the sizes of the sources."""
    params, tokens, flops = (rows[name].to_numpy(float) for name in ("params", "tokens", "flops"))
    return MixturePoints(
        sources=sources.names,
        domains=domains.names,
        shares=shares,
        losses=losses,
        params=params,
        tokens=tokens,
        flops=flops,
        unique=np.full(len(sources.names), np.nan),
        run_ids=tuple(rows["run_id"].astype("str")),
        seeds=_seeds(rows, _replicates(params, tokens, shares, losses)),
    )


def _sorted(points: MixturePoints) -> MixturePoints:
    """Points by value, so that what is drawn from them does not depend on the order of the table."""
    keys = [points.flops, points.params, points.tokens, *points.shares.T, *points.losses.T]
    return points.take(np.lexsort(keys[::-1]))


def _seeds(rows: pd.DataFrame, otherwise: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The seed of each row, where every row has one."""
    if "seed" not in rows or not np.isfinite(seeds := rows["seed"].to_numpy(float)).all():
        return otherwise
    return np.unique(seeds, return_inverse=True)[1].reshape(-1)


def _replicates(
    params: Float[np.ndarray, " rows"],
    tokens: Float[np.ndarray, " rows"],
    shares: Float[np.ndarray, "rows sources"],
    losses: Float[np.ndarray, "rows domains"],
) -> Int[np.ndarray, " rows"]:
    """How many runs of its size, length and mixture each row follows, in the order of their losses."""
    cell = pd.DataFrame(np.column_stack([params, tokens, np.round(shares / _SAME_SHARE)]))
    order = np.lexsort(losses.T[::-1])
    counted = cell.iloc[order].groupby(list(cell.columns)).cumcount()
    return counted.sort_index().to_numpy(int)


def _sizes(
    rows: pd.DataFrame, points: MixturePoints, sources: Found, unique: Mapping[str, float], source: str
) -> Float[np.ndarray, " sources"]:
    """Training tokens that each source has: as given, else as the passes over it tell; NaN where unknown.

    Raises:
        InputError: a size of a source that the table does not have.
    """
    given = {normalised(name): float(tokens) for name, tokens in unique.items()}
    if strange := [name for name in given if name not in sources.names]:
        raise InputError(
            f"`unique`: {source} has no source {name!r}; it has {listed(sources.names, 20)}" for name in strange
        )
    columns = named_columns(list(map(str, rows.columns)), EPOCHS, sources.names)
    found = np.full(len(sources.names), np.nan)
    for place, name in enumerate(sources.names):
        if name in given:
            found[place] = given[name]
        elif name in columns:
            epochs = numbers_in(rows[columns[name]])[0].to_numpy()
            drawn = (epochs > 0) & (points.shares[:, place] > 0)
            if drawn.any():
                found[place] = np.median((points.shares[:, place] * points.tokens)[drawn] / epochs[drawn])
    return found

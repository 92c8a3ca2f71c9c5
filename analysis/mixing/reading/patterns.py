"""Columns of shares and losses, found by a pattern with one ``*``, which stands for a source or a domain."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.formatting import listed
from analysis.runs.filter import closest
from analysis.runs.recognition.numbers import numbers_in
from analysis.runs.recognition.spelling import normalised
from analysis.runs.schema import ALIASES, FURTHER, NUMBERS, TEXTS

MIX, LOSSES = "mix_*", "loss_*"
# Tried in turn where a table has none of the usual columns.
_OTHER_MIXES = ("p_*", "weight_*", "share_*", "train_*")
_OTHER_LOSSES = ("*_loss",)
_SCHEMA = {*NUMBERS, *TEXTS, *(name for names in (ALIASES, FURTHER) for more in names.values() for name in more)}
# What the star stands for in names of columns that are no loss on a domain.
_NO_DOMAIN = re.compile(r"(.*_)?(stderr|std|sd|se|gold)|train|training|mean|average|avg|total|overall|ema|spikes")


@dataclass(frozen=True)
class Found:
    """The columns that a pattern finds.

    Attributes:
        pattern: as it stands in a file, such as ``mix_*``.
        columns: the table's own name by what the star stands for, in order of that.
        note: a sentence where the pattern was not requested and is not the usual one.
    """

    pattern: str
    columns: Mapping[str, str]
    note: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources or domains."""
        return tuple(self.columns)


def find_shares(frame: pd.DataFrame, known: Sequence[str], pattern: str | None, source: str) -> Found:
    """The columns with the shares of sources.

    Args:
        frame: the rows, to tell shares from other numbers where no pattern is given.
        known: names of all columns.
        pattern: with one star; None for the usual ones.
        source: of the table, for messages.

    Raises:
        InputError: no such columns, one alone, or two of one name.
    """
    found = _found("mix", known, pattern or MIX, source, _any)
    if pattern is None and not found.columns:
        for other in _OTHER_MIXES:
            tried = _found("mix", known, other, source, _any)
            if len(tried.columns) > 1 and _are_shares(frame, tried):
                found = Found(other, tried.columns, f"the shares of the sources are {other!r}")
                break
    if not found.columns:
        raise InputError(_none(source, "mix", found.pattern, "with the share of a source", known))
    if len(found.columns) == 1:
        (column,) = found.columns.values()
        raise InputError(f"{source}: {column!r} is the only column of {found.pattern!r}: a mixture has two sources")
    return found


def find_losses(known: Sequence[str], pattern: str | None, source: str) -> Found:
    """The columns with the losses on domains, in nats per token; standard errors and the like are none.

    Raises:
        InputError: no such columns, or two of one name.
    """
    found = _found("losses", known, pattern or LOSSES, source, _is_domain)
    if pattern is None and not found.columns:
        for other in _OTHER_LOSSES:
            tried = _found("losses", known, other, source, _is_domain)
            if tried.columns:
                found = Found(other, tried.columns, f"the losses on the domains are {other!r}")
                break
    if not found.columns:
        raise InputError(_none(source, "losses", found.pattern, "with the loss on a domain", known))
    return found


def narrowed(shares: Found, losses: Found) -> tuple[Found, Found]:
    """Patterns without the words that all names share, where that shows a domain to be a source's own.

    So ``train_the_pile_arxiv`` and ``metric/the_pile_arxiv_val_loss`` are both of ``arxiv``.

    Args:
        shares: found without a requested pattern.
        losses: found without a requested pattern.
    """
    if set(shares.names) & set(losses.names):
        return shares, losses
    shorter = [_without_common_words(each) for each in (shares, losses)]
    for first, second in ((shorter[0], shorter[1]), (shorter[0], losses), (shares, shorter[1])):
        if set(first.names) & set(second.names):
            return first, second
    return shares, losses


def _without_common_words(found: Found) -> Found:
    columns = list(found.columns.values())
    before = _common_words(columns)
    after = _common_words([column[len(before) :][::-1] for column in columns])[::-1]
    middle = [column[len(before) : len(column) - len(after)] for column in columns]
    names = [normalised(name) for name in middle]
    if len(columns) < 2 or not all(names) or len(set(names)) < len(names):
        return found
    pattern = f"{before}*{after}"
    note = None if found.note is None else found.note.replace(repr(found.pattern), repr(pattern))
    return replace(found, pattern=pattern, columns=dict(sorted(zip(names, columns, strict=True))), note=note)


def _common_words(texts: Sequence[str]) -> str:
    """The beginning that some texts share, up to a sign or an underscore."""
    first, last = min(texts), max(texts)
    size = next(
        (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first)
    )
    return re.sub(r"[^\W_]*$", "", first[:size])


def named_columns(known: Sequence[str], stem: str, names: Sequence[str]) -> dict[str, str]:
    """The table's own columns ``stem_name`` of some sources or domains, where it has them."""
    spelled = {normalised(column): column for column in known}
    return {name: spelled[f"{stem}_{name}"] for name in names if f"{stem}_{name}" in spelled}


def _found(argument: str, known: Sequence[str], pattern: str, source: str, counts: Callable[[str, str], bool]) -> Found:
    """All columns of one pattern.

    Raises:
        InputError: the pattern has not one star, or two columns stand for one name.
    """
    if pattern.count("*") != 1:
        raise InputError(f"`{argument}` {pattern!r}: a pattern has one *, which stands for the name, as in {MIX!r}")
    before, after = map(re.escape, pattern.split("*"))
    shape = re.compile(f"{before}(.+){after}", re.IGNORECASE)
    columns: dict[str, str] = {}
    errors = []
    for column in known:
        match = shape.fullmatch(column.strip())
        name = normalised(match[1]) if match else ""
        if not name or not counts(column, name):
            continue
        if name in columns:
            errors.append(f"{source}: columns {columns[name]!r} and {column!r} are both of {name!r}")
        columns[name] = column
    if errors:
        raise InputError(errors)
    return Found(pattern, dict(sorted(columns.items())))


def _any(_column: str, _name: str) -> bool:
    return True


def _is_domain(column: str, name: str) -> bool:
    return normalised(column) not in _SCHEMA and _NO_DOMAIN.fullmatch(name) is None


def _are_shares(frame: pd.DataFrame, found: Found) -> bool:
    """Whether most rows of some columns are shares, which sum to 1 or 100."""
    columns = [column for column in found.columns.values() if column in frame]
    if len(columns) < len(found.columns):
        return True  # of a large table, whose columns are read when they are chosen
    total = np.sum([numbers_in(frame[column])[0].to_numpy() for column in columns], axis=0)
    return bool(np.mean((abs(total - 1) < 0.02) | (abs(total - 100) < 2)) > 0.5)


def _none(source: str, argument: str, pattern: str, what: str, known: Sequence[str]) -> str:
    """The line on a pattern that no column meets, with the columns that hold a word of it."""
    words = [word for word in normalised(pattern.replace("*", " ")).split("_") if len(word) > 1]
    near = [column for column in known if any(word in column.lower() for word in words)]
    hint = f"; near it: {listed(near)}" if near else closest(pattern, list(known))
    such = "weight_*" if argument == "mix" else "*_loss"
    return f"{source}: no column {pattern!r} {what}{hint}; choose with `{argument}`, such as {such}"

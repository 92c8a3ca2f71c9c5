"""A table of runs on mixtures: which of its rows are fitted, and which are targets."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.diagnostics.codes import Diagnostic
from analysis.errors import InputError
from analysis.mixing.points import MixturePoints

_LEAST_SPAN = 3.0  # times by which a source's share differs between mixtures, or nothing is known of it


@dataclass(frozen=True, eq=False)
class MixtureTable:
    """Runs on mixtures, checked.

    Attributes:
        fit: the runs to fit.
        targets: finished runs with role ``target``; None without any.
        source: where they came from, for messages.
        where: the filter that chose the fitted rows, or None.
        columns: the user's own mapping of columns, or None.
        mix: pattern of the shares' columns.
        losses: pattern of the losses' columns.
        held_out: hash of the text of each domain's losses, where the table has them.
        warnings: about the table.
    """

    fit: MixturePoints
    targets: MixturePoints | None
    source: str
    where: str | None
    columns: Mapping[str, str] | None
    mix: str
    losses: str
    held_out: Mapping[str, str]
    warnings: tuple[Diagnostic, ...]

    def hash(self) -> str:
        """SHA-256 over sizes, lengths, shares and losses of the fitted runs, in sorted order."""
        points = self.fit
        rows = sorted(
            repr([float(value) for value in (n, d, f, *h, *losses)])
            for n, d, f, h, losses in zip(
                points.params, points.tokens, points.flops, points.shares, points.losses, strict=True
            )
        )
        names = repr([list(points.sources), list(points.domains)])
        return hashlib.sha256("\n".join([names, *rows]).encode()).hexdigest()


def check_determined(table: MixtureTable) -> None:
    """Refuses runs that determine no contrast.

    Raises:
        InputError: fewer distinct mixtures than sources + 2; or a source whose share differs by less than three times.
    """
    points, tried = table.fit, table.fit.tried
    if len(tried) == 1:
        raise InputError(f"{table.source}: every run is on one mixture; different ones are needed to tell them apart")
    needed = len(points.sources) + 2
    if len(tried) < needed:
        raise InputError(
            f"{table.source}: {len(tried)} different mixtures of {len(points.sources)} sources; {needed} at least are "
            "needed to fit what a mixture changes"
        )
    low, high = tried.min(axis=0), tried.max(axis=0)
    narrow = np.flatnonzero(high < _LEAST_SPAN * low)
    if len(narrow):
        raise InputError(
            f"{table.source}: the share of {points.sources[place]} lies between {low[place]:.3g} and {high[place]:.3g} "
            "in every run, less than three times apart: nothing is known of what more or less of it would do"
            for place in narrow
        )

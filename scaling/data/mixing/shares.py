"""Which rows of a run are drawn from which source of a mixture: a pure function of the shares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from scaling.errors import InputError

BLOCK_ROWS = 4096
"""Rows in which a mixture's shares hold to a row."""
UNITS = 10**6
"""Shares are whole multiples of one in a million."""
MOST_SOURCES = 60
"""Sources that a mixture draws from at most: the largest of so many has more rows in a block than roundings take."""


def rounded_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """Shares as multiples of one in a million that sum to 1; the largest one takes what rounding leaves.

    Args:
        shares: of each source by name, which sum to 1 within 1e-4.

    Raises:
        InputError: a share that is no finite number of at least 0, or shares that do not sum to 1.
    """
    for name, share in shares.items():
        if not (math.isfinite(share) and share >= 0):
            raise InputError(f"the share of {name} is {share:g}; a share is a number from 0 to 1")
    total = math.fsum(shares.values())
    if abs(total - 1) > 1e-4:
        names = ", ".join(shares) or "no source"
        raise InputError(f"the shares of a mixture sum to 1; those of {names} sum to {total:g}")
    units = {name: round(share / total * UNITS) for name, share in shares.items()}
    largest = max(units, key=lambda name: units[name])
    units[largest] += UNITS - sum(units.values())
    return {name: count / UNITS for name, count in units.items()}


@dataclass(frozen=True)
class Block:
    """The rows of a block, in their order.

    Attributes:
        sources: number of the source that each row is drawn from.
        turns: which row of its source each row is, counted from the beginning of the run.
    """

    sources: Int64[np.ndarray, " rows"]
    turns: Int64[np.ndarray, " rows"]


def block_of(units: tuple[int, ...], number: int) -> Block:
    """A block of ``BLOCK_ROWS`` rows of a mixture.

    Before block B source j has had floor(h_j P B + 1/2) rows, with P rows a block and h_j its share; the source of the
    largest share has the others. Within a block the i-th of n rows of a source is due at (i + u) / n of the block, and
    the rows are in the order of when they are due, so that every stretch of rows has nearly the shares. The offsets u
    are evenly spaced, or sources of one share would come all at once.

    Args:
        units: each source's share in millionths, above 0.
        number: of the block.
    """
    first, last = (_rows_before(units, BLOCK_ROWS * blocks) for blocks in (number, number + 1))
    counts = last - first
    sources = np.repeat(np.arange(len(units)), counts)
    turns = np.concatenate([np.arange(count) for count in counts])
    due = (turns + (sources + 0.5) / len(units)) / counts[sources]
    order = np.argsort(due, kind="stable")
    return Block(sources[order], (turns + first[sources])[order])


def _rows_before(units: tuple[int, ...], rows: int) -> Int64[np.ndarray, " sources"]:
    counts = [(2 * unit * rows + UNITS) // (2 * UNITS) for unit in units]
    largest = units.index(max(units))
    counts[largest] += rows - sum(counts)
    return np.array(counts, dtype=np.int64)

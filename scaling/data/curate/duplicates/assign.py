"""Which of near-duplicates stay: each document in order of preference, unless it matches one that stays already."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from scaling.data.curate.duplicates.candidates import BOUNDED, STATE, distinct, followers
from scaling.data.curate.duplicates.check import CLOSE, MATCHES, NOBODY, highest

UNDECIDED, KEPT, DROPPED = 0, 1, 2
FATE = np.dtype([("twin", "<u4"), ("kind", "u1"), ("value", "<f8")])
"""Of a document that is dropped: rank of its twin, kind and value of the pair (see ``MATCH``).

Of one that stays: NOBODY, and its highest similarity to a preferred one, NaN where there was none."""
_AT_ONCE = 2**16
FATES, COUNTS = "fates.npy", "counts.json"


def assign(
    state: UInt8[np.ndarray, " documents"], matches: np.ndarray, compared: Bool[np.ndarray, " documents"]
) -> UInt8[np.ndarray, " documents"]:
    """What becomes of the documents: a star around each that stays, and no chains.

    In order of preference, a document is dropped if it matches one that is kept, and kept if it matches none. So of
    A ~ B ~ C where A and C do not match, both stay. A document remains undecided where that hangs on one that is, or on
    pairs that are not known yet.

    Args:
        state: of each document by rank: UNDECIDED, KEPT or DROPPED, of which the last two stay as they are.
        matches: pairs of near-duplicates; see ``MATCH``.
        compared: whether all pairs of a document with preferred ones are known.
    """
    made = np.where(state != UNDECIDED, state, np.where(compared, KEPT, UNDECIDED)).astype(np.uint8)
    matches = matches[state[matches["worse"]] == UNDECIDED]
    matches = matches[np.lexsort((matches["better"], matches["worse"]))]
    made[matches["worse"]] = UNDECIDED
    fates = bytearray(made.tobytes())
    sure = compared.tobytes()
    worse_before, fate = -1, KEPT
    for better, worse in _each(matches):
        if worse != worse_before:
            if worse_before >= 0:
                fates[worse_before] = fate
            worse_before, fate = worse, KEPT if sure[worse] else UNDECIDED
        if fates[better] == KEPT:
            fate = DROPPED
        elif fates[better] == UNDECIDED and fate == KEPT:
            fate = UNDECIDED
    if worse_before >= 0:
        fates[worse_before] = fate
    return np.frombuffer(bytes(fates), np.uint8)


def _each(matches: np.ndarray) -> Iterator[tuple[int, int]]:
    """The better and the worse of each pair."""
    for begin in range(0, len(matches), _AT_ONCE):
        some = matches[begin : begin + _AT_ONCE]
        yield from zip(some["better"].tolist(), some["worse"].tolist(), strict=True)


def write_state(folder: Path, count: int, checked: Sequence[Path], rests: Sequence[Path], before: Path | None) -> None:
    """Writes what a round decides.

    Args:
        folder: to write into.
        count: documents.
        checked: folders of all checked pairs.
        rests: folders of the round's larger buckets.
        before: folder of what was decided before; None in the first round.
    """
    state = np.zeros(count, np.uint8) if before is None else np.load(before / STATE)
    compared = np.ones(count, bool)
    compared[followers(rests)] = False
    np.save(folder / STATE, assign(state, _matches(checked), compared))


def write_fates(folder: Path, count: int, checked: Sequence[Path], refined: Sequence[Path], before: Path) -> None:
    """Writes what becomes of each document (see ``FATE``), by rank, and counts.

    Args:
        folder: to write into.
        count: documents.
        checked: folders of all checked pairs.
        refined: folders of the last pairs, if buckets had to be split.
        before: folder of what was decided before.
    """
    matches = _matches(checked)
    state = assign(np.load(before / STATE), matches, np.ones(count, bool))
    fates = np.empty(count, FATE)
    fates["twin"], fates["kind"], fates["value"] = NOBODY, 0, np.nan
    close = highest(np.concatenate([np.load(path / CLOSE) for path in checked]))
    fates["value"][close["rank"]] = close["value"]
    stars = matches[(state[matches["better"]] == KEPT) & (state[matches["worse"]] == DROPPED)]
    stars = stars[np.lexsort((stars["better"], -stars["value"], stars["kind"], stars["worse"]))]
    stars = stars[np.diff(stars["worse"], prepend=NOBODY) != 0]
    own = stars["worse"]
    fates["twin"][own], fates["kind"][own], fates["value"][own] = stars["better"], stars["kind"], stars["value"]
    np.save(folder / FATES, fates)
    bounded = np.zeros(count, bool)
    for path in refined:
        bounded[np.load(path / BOUNDED)] = True
    pairs = distinct(np.sort(matches["better"].astype(np.uint64) << np.uint64(32) | matches["worse"]))
    counts = {"pairs": len(pairs), "bounded": int(bounded.sum())}
    (folder / COUNTS).write_text(json.dumps(counts))


def _matches(checked: Sequence[Path]) -> np.ndarray:
    return np.concatenate([np.load(path / MATCHES) for path in checked])

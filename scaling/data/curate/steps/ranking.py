"""Documents of a source in the order of their scores: exact quantiles of all parts, in memory that does not grow."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, UInt32

from scaling.data.curate.engine.batch import ID, Batch
from scaling.data.curate.engine.decision import Decision
from scaling.data.curate.engine.view import PartView

RANKED, _SCORES, _DROPPED, _CUTS = "ranked.npy", "scores.npy", "dropped.npy", "cuts.npy"

Cut = tuple[float, bytes]
"""Value and id of the last document below a cut; of equal values, the smaller id is below."""


def cut(folder: Path, parts: Sequence[tuple[PartView, Path]], counts: Sequence[int]) -> None:
    """Writes the cuts below which so many documents are.

    Args:
        folder: to write into.
        parts: of the source, each with the folder where ``ranked.npy`` has the values of its documents.
        counts: of documents; each is 1 at least, and the number of all documents at most.
    """
    rows = [_cut(parts, count) for count in counts]
    np.save(folder / _CUTS, np.array(rows, [("value", "<f4"), ("id", ID)]))


def cuts_in(folder: Path) -> list[Cut]:
    """The cuts that ``cut`` wrote."""
    return [(float(value), bytes(id)) for value, id in np.load(folder / _CUTS)]


def is_below(values: Float32[np.ndarray, " documents"], ids: np.ndarray, cut: Cut) -> Bool[np.ndarray, " documents"]:
    """Which documents are below a cut."""
    value = np.float32(cut[0])
    return (values < value) | ((values == value) & (ids <= np.array(cut[1], ID)))


def settle(
    folder: Path, scores: Float32[np.ndarray, " documents"], dropped: Bool[np.ndarray, " documents"] | None
) -> None:
    """Writes what is decided of a part: the scores, and which documents go; None where none is judged."""
    np.save(folder / _SCORES, scores)
    if dropped is not None:
        np.save(folder / _DROPPED, dropped)


def decision(name: str, batch: Batch, state: Path) -> Decision:
    """What ``settle`` wrote of the documents of a batch, by the name of the step and the score."""
    own = slice(batch.first, batch.first + len(batch))
    scores = np.load(state / _SCORES, mmap_mode="r")[own].copy()
    if not (state / _DROPPED).exists():
        return Decision(np.full(len(batch), -1, np.int16), scores={name: scores})
    dropped = np.load(state / _DROPPED, mmap_mode="r")[own]
    return Decision(np.where(dropped, 0, -1).astype(np.int16), values={name: scores}, scores={name: scores})


def _cut(parts: Sequence[tuple[PartView, Path]], count: int) -> tuple[np.float32, bytes]:
    """By the upper half of a value's bits, then by the lower half, then by id."""
    upper, left = _digit(parts, lambda keys: keys >> np.uint32(16), count)
    lower, left = _digit(parts, lambda keys: (keys & np.uint32(0xFFFF))[keys >> np.uint32(16) == upper], left)
    key = np.uint32(upper << 16 | lower)
    ids = np.sort(np.concatenate([view.ids()[_keys(folder) == key] for view, folder in parts]))
    bits = key ^ np.uint32(2**31) if key >> np.uint32(31) else ~key
    return np.array([bits], np.uint32).view(np.float32)[0], ids[left - 1]


def _digit(
    parts: Sequence[tuple[PartView, Path]],
    digits: Callable[[UInt32[np.ndarray, " documents"]], UInt32[np.ndarray, " chosen"]],
    count: int,
) -> tuple[int, int]:
    """The digit of the document that is ``count``-th, and its number among those of this digit."""
    counts = np.zeros(2**16, np.int64)
    for _, folder in parts:
        counts += np.bincount(digits(_keys(folder)), minlength=2**16)
    sums = np.cumsum(counts)
    digit = int(np.searchsorted(sums, count))
    return digit, count - int(sums[digit] - counts[digit])


def _keys(folder: Path) -> UInt32[np.ndarray, " documents"]:
    """Whole numbers in the order of a part's values."""
    bits = (np.load(folder / RANKED) + np.float32(0)).view(np.uint32)  # + 0: there is one zero
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(2**31))

"""Exact quantiles over parts: by value, then by id, as one sort of all documents has them."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.store import TextWriter
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.steps import ranking


def part(folder: Path, ids: np.ndarray, values: np.ndarray) -> tuple[PartView, Path]:
    """A part of documents with these ids and values."""
    folder.mkdir()
    writer = TextWriter(folder)
    writer.add(ids, np.zeros(len(ids), np.int64), ["x"] * len(ids), np.ones(len(ids), np.int64))
    writer.close()
    np.save(folder / ranking.RANKED, values)
    return PartView(0, 0, ("file",), len(ids), len(ids), folder), folder


@pytest.mark.parametrize("kind", ["floats", "ties", "equal", "zeros", "extremes"])
def test_cuts_are_those_of_a_sort(tmp_path: Path, kind: str) -> None:
    draw = np.random.default_rng(0)
    values = {
        "floats": draw.normal(size=300),
        "ties": draw.integers(-2, 3, size=300) / 2,
        "equal": np.full(300, 7.0),
        "zeros": draw.choice([0.0, -0.0, 1e-45, -1e-45], size=300),
        "extremes": draw.choice([-3e38, 3e38, 1e-30, -1e-30, 1.0, 1.0000001], size=300),
    }[kind].astype(np.float32)
    raw = draw.integers(256, size=(300, 16), dtype=np.uint8)
    raw[::7, 12:] = 0  # ids that end with zeros
    ids = raw.reshape(-1).view(ID)
    bounds = [0, 1, 120, 120, 300]
    parts = [
        part(tmp_path / f"{number}", ids[low:high], values[low:high])
        for number, (low, high) in enumerate(pairwise(bounds))
    ]
    order = sorted(range(300), key=lambda place: (float(values[place]), raw[place].tobytes()))
    counts = [1, 2, 99, 150, 299, 300]
    (tmp_path / "cuts").mkdir()
    ranking.cut(tmp_path / "cuts", parts, counts)
    for count, cut in zip(counts, ranking.cuts_in(tmp_path / "cuts"), strict=True):
        assert cut == (float(values[order[count - 1]]), bytes(ids[order[count - 1]]))
        assert set(np.flatnonzero(ranking.is_below(values, ids, cut)).tolist()) == set(order[:count])

"""The exact check: sets of n-grams, what they have in common, and the limits."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from scaling.data.curate.duplicates import check
from scaling.data.curate.duplicates.candidates import PAIRS
from scaling.data.curate.duplicates.check import (
    CLOSE,
    MATCHES,
    Limits,
    check_pairs,
    compared,
    highest,
    in_common,
    sets_of,
    write_sets,
)
from scaling.data.curate.duplicates.keys import RankedPart
from scaling.data.curate.engine.batch import ID
from scaling.data.curate.engine.store import TextWriter
from scaling.data.curate.engine.view import PartView
from scaling.data.curate.spec import NearDuplicatesSpec
from scaling.data.curate.text.words import Words

ALL = Limits((0,), (0.7,), (2.0,))


def words(documents: list[list[int]]) -> Words:
    hashes = np.array([hash for document in documents for hash in document], np.uint64) << np.uint64(40)
    return Words(hashes, np.cumsum([0, *map(len, documents)]))


def test_sets_are_sorted_and_have_each_hash_once() -> None:
    documents = [[5, 3, 5, 1], [], [2], [7, 7, 7], [], [9, 8, 8, 2**23]]
    hashes, bounds = sets_of(words(documents))
    sets = [hashes[begin:stop].tolist() for begin, stop in pairwise(bounds)]
    assert sets == [sorted({hash << 39 for hash in document}) for document in documents]
    assert sets_of(words([]))[1].tolist() == [0]
    assert sets_of(words([[], []]))[1].tolist() == [0, 0, 0]


def test_hashes_in_common_are_counted_exactly() -> None:
    random = np.random.default_rng(0)
    documents = [random.integers(1, 60, size=size).tolist() for size in (0, 1, 5, 30, 30, 200, 0, 77)]
    hashes, bounds = sets_of(words(documents))
    one, two = np.divmod(np.arange(64), 8)
    wanted = [len(set(documents[a]) & set(documents[b])) for a, b in zip(one.tolist(), two.tolist(), strict=True)]
    assert in_common(hashes, bounds, one, two).tolist() == wanted
    assert in_common(hashes, bounds, one[:0], two[:0]).tolist() == []


def judged(common: int, better: int, worse: int, limits: Limits, rank: int = 5) -> list[tuple[int, float]]:
    sizes = (np.array([size]) for size in (common, better, worse))
    ranks = (np.array([each], np.uint32) for each in (1, rank))
    matches, close = compared(*ranks, *sizes, limits)
    assert len(matches) + len(close) <= 1 or matches["kind"] == 1
    return [(int(each["kind"]), float(each["value"])) for each in matches]


def test_limits_are_reached_exactly() -> None:
    assert judged(7, 10, 7, ALL) == [(0, 0.7)]
    assert judged(69, 100, 69, ALL) == []
    assert judged(70, 85, 85, ALL) == [(0, 0.7)]
    half = Limits((0,), (0.5,), (2.0,))
    assert judged(1, 2, 1, half) == [(0, 0.5)]
    whole = Limits((0,), (1.0,), (2.0,))
    assert judged(9, 10, 9, whole) == []
    assert judged(9, 9, 9, whole) == [(0, 1.0)]


def test_contained_are_documents_within_a_preferred_one() -> None:
    limits = Limits((0,), (0.7,), (0.9,))
    assert judged(9, 100, 10, limits) == [(1, 0.9)]
    assert judged(8, 100, 10, limits) == []
    assert judged(10, 10, 100, limits) == [], "a preferred one within it is no reason"
    assert judged(95, 100, 100, limits) == [(0, 95 / 105)], "alike before contained"


def test_the_source_of_the_worse_document_decides() -> None:
    limits = Limits((0, 10, 10, 30), (0.7, 0.9, 0.5, 0.8), (2.0, 2.0, 2.0, 0.1))
    kinds = [len(judged(75, 100, 75, limits, rank)) for rank in (5, 9, 10, 29)]
    assert kinds == [1, 1, 1, 1]
    assert judged(6, 10, 6, limits, 9) == []
    assert judged(6, 10, 6, limits, 10) == [(0, 0.6)], "a source without documents has none"
    assert judged(20, 100, 100, limits, 30) == [(1, 0.2)]


def test_of_several_similarities_the_highest_is_kept() -> None:
    rows = np.array([(4, 0.2), (1, 0.1), (4, 0.6), (4, 0.3), (0, 0.5)], check.CLOSE_ROW)
    assert highest(rows).tolist() == [(0, 0.5), (1, 0.1), (4, 0.6)]
    assert highest(rows[:0]).tolist() == []


def stored(folder: Path, number: int, texts: list[str]) -> PartView:
    path = folder / f"texts{number}"
    path.mkdir()
    writer = TextWriter(path)
    sizes = np.array([len(text.encode()) for text in texts], np.int64)
    ids = np.array([f"{number}-{place}" for place in range(len(texts))], ID)
    writer.add(ids, np.zeros(len(texts), np.int64), texts, sizes)
    writer.close()
    return PartView(number, 0, ("file",), len(texts), int(sizes.sum()), path)


@pytest.mark.parametrize("at_once", [1, 50, 2**22])
@pytest.mark.parametrize("long", [1, 256])
def test_pairs_of_documents_in_any_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, long: int
) -> None:
    monkeypatch.setattr(check, "_AT_ONCE", at_once)
    monkeypatch.setattr(check, "_LONG", long)
    random = np.random.default_rng(1)
    texts = [" ".join(f"w{word}" for word in random.integers(4, size=size)) for size in random.integers(1, 60, size=60)]
    ranks = random.permutation(60).astype(np.uint32)
    (tmp_path / "ranks").mkdir()
    np.save(tmp_path / "ranks" / "ranks.npy", ranks)
    rank_of = {int(rank): set(zip(*[text.split()[at:] for at in range(2)], strict=False)) or {text}
               for rank, text in zip(ranks, texts, strict=True)}  # fmt: skip
    wanted = {(a, b) for a, b in random.integers(60, size=(300, 2)).tolist() if a < b and a != 7 != b}
    mask = np.zeros(60, bool)
    mask[[rank for pair in wanted for rank in pair]] = True
    np.save(tmp_path / "compared.npy", mask)
    ranked, sets, first = {}, [], 0
    for number, stop in enumerate((1, 25, 60)):
        view = stored(tmp_path, number, texts[first:stop])
        ranked[number] = RankedPart(tmp_path, tmp_path / "ranks", first, stop - first)
        sets.append(tmp_path / f"sets{number}")
        sets[-1].mkdir()
        write_sets(sets[-1], view, NearDuplicatesSpec(words=2), ranked, tmp_path)
        first = stop
    sets.append(tmp_path / "off")
    sets[-1].mkdir()
    write_sets(sets[-1], stored(tmp_path, 3, ["not compared"]), None, ranked, tmp_path)
    packed = np.sort(np.array([(a << 32) + b for a, b in wanted], np.uint64))
    np.save(tmp_path / PAIRS, packed)
    limits = Limits((0,), (0.5,), (2.0,))
    matches, close = [], []
    for number in range(2):
        folder = tmp_path / f"checked{number}"
        folder.mkdir()
        check_pairs(folder, [tmp_path], number, 2, sets, limits)
        matches.append(np.load(folder / MATCHES))
        close.append(np.load(folder / CLOSE))
    similarity = {(a, b): len(rank_of[a] & rank_of[b]) / len(rank_of[a] | rank_of[b]) for a, b in wanted}
    found = {(int(row["better"]), int(row["worse"])): float(row["value"]) for row in np.concatenate(matches)}
    assert found == {pair: value for pair, value in similarity.items() if value >= 0.5}
    assert 5 < len(found) < len(wanted) - 5
    nearest = {int(row["rank"]): float(row["value"]) for row in highest(np.concatenate(close))}
    below = {b for (_, b), value in similarity.items() if 0 < value < 0.5}
    assert nearest == {
        worse: max(value for (_, b), value in similarity.items() if b == worse and value < 0.5) for worse in below
    }

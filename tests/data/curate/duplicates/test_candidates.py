"""Candidates: the pairs within buckets, with bounded work, whatever the parts, ranges and rounds are."""

from collections.abc import Iterable
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest

from scaling.data.curate.duplicates import candidates
from scaling.data.curate.duplicates.candidates import (
    BOUNDED,
    LARGEST,
    LEADERS,
    PAIRS,
    REST,
    SMALL,
    STATE,
    Buckets,
    buckets_of,
    count_pairs,
    cut_pairs,
    distinct,
    find_again,
    find_pairs,
    find_refined,
    followers,
    pairs_of,
    places_in,
    refined,
    write_compared,
)
from scaling.data.curate.duplicates.keys import BAND, RankedPart

Pairs = set[tuple[int, int]]


def unpacked(pairs: np.ndarray) -> Pairs:
    assert (pairs[1:] > pairs[:-1]).all(), "sorted, each once"
    return {(int(pair) >> 32, int(pair) & (2**32 - 1)) for pair in pairs}


def draws(random: np.random.Generator, count: int, keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Random keys and different ranks."""
    return random.integers(keys, size=count).astype(np.uint64), random.permutation(10 * count)[:count].astype(np.uint32)


def groups(keys: np.ndarray, ranks: np.ndarray) -> list[list[int]]:
    found: dict[int, list[int]] = {}
    for key, rank in zip(keys.tolist(), ranks.tolist(), strict=True):
        found.setdefault(key, []).append(rank)
    return [sorted(group) for group in found.values() if len(group) > 1]


@pytest.mark.parametrize(("count", "keys"), [(0, 1), (1, 1), (2, 1), (500, 40), (500, 10_000), (300, 2)])
def test_buckets_and_pairs(count: int, keys: int) -> None:
    random = np.random.default_rng([count, keys])
    own, ranks = draws(random, count, keys)
    buckets = buckets_of(own, ranks)
    wanted = groups(own, ranks)
    assert sorted(map(len, wanted)) == sorted(buckets.sizes[buckets.places == 0].tolist())
    for leaders in (1, 3, 1000):
        pairs = {(group[at], other) for group in wanted for at in range(leaders) for other in group[at + 1 :]}
        assert unpacked(pairs_of(buckets, leaders)) == pairs


def test_values_once_and_their_places() -> None:
    values = np.array([1, 1, 2, 5, 5, 5, 9], np.uint64)
    assert distinct(values).tolist() == [1, 2, 5, 9]
    assert distinct(values[:0]).tolist() == []
    places, found = places_in(distinct(values), np.array([0, 9, 4, 5, 10, 1], np.uint64))
    assert (places.tolist(), found.tolist()) == ([3, 2, 0], [1, 3, 5])
    assert places_in(values[:0], values)[1].tolist() == []


def keyed(folder: Path, keys: np.ndarray, ranks: np.ndarray, cuts: list[int]) -> list[RankedPart]:
    """Parts of documents with keys (bands, documents), as the survey writes them."""
    folder.mkdir()
    np.save(folder / "ranks.npy", ranks)
    parts = []
    for begin, stop in pairwise(cuts):
        part = folder / f"part{begin}"
        part.mkdir()
        order = np.argsort(keys[:, begin:stop], axis=1)
        np.save(part / "keys.npy", np.take_along_axis(keys[:, begin:stop], order, axis=1))
        np.save(part / "places.npy", order.astype(np.uint32))
        parts.append(RankedPart(part, folder, begin, stop - begin))
    return parts


def random_keys(random: np.random.Generator, documents: int, bands: int, different: int) -> np.ndarray:
    """Keys with as many different values of a band, but one document without keys."""
    values = random.integers(2**64, size=(bands, different), dtype=np.uint64) & ~BAND
    keys = np.take_along_axis(values, random.integers(different, size=(bands, documents)), axis=1)
    keys |= np.arange(bands, dtype=np.uint64)[:, None]
    keys[:, 3] = 2**64 - 1
    return keys


def found(folder: Path, parts: list[RankedPart], shares: list[tuple[list[int], int, int]]) -> list[Path]:
    folders = [folder / f"share{place}" for place in range(len(shares))]
    for path, share in zip(folders, shares, strict=True):
        path.mkdir()
        find_pairs(path, parts, *share)
    return folders


@pytest.mark.parametrize("different", [2, 12, 60])
def test_the_first_round_is_the_same_in_any_shares(tmp_path: Path, different: int) -> None:
    random = np.random.default_rng(different)
    keys, ranks = random_keys(random, 200, 5, different), random.permutation(200).astype(np.uint32)
    end, half = 2**64 - 1, 2**63
    one = found(tmp_path, keyed(tmp_path / "a", keys, ranks, [0, 200]), [(list(range(5)), 0, end)])
    wanted: Pairs = set()
    for band in keys:
        known = np.arange(200) != 3
        for group in groups(band[known], ranks[known]):
            leaders = len(group) if len(group) <= SMALL else LEADERS
            wanted |= {(group[at], other) for at in range(leaders) for other in group[at + 1 :]}
    assert unpacked(np.load(one[0] / PAIRS)) == wanted
    (tmp_path / "b").mkdir()
    shares = [([0, 1], 0, half), ([0, 1], half, end), ([2, 3], 0, half), ([2, 3], half, end), ([4], 0, end)]
    many = found(tmp_path / "b", keyed(tmp_path / "c", keys, ranks, [0, 1, 50, 170, 200]), shares)
    for count in (1, 3, 7):
        cuts = [cut_pairs(many, number, count) for number in range(count)]
        assert unpacked(np.concatenate(cuts)) == wanted
    assert count_pairs(many) >= len(wanted)
    assert sorted(followers(many)) == sorted(followers(one))
    write_compared(tmp_path, many, 200)
    mask = np.load(tmp_path / "compared.npy")
    assert set(np.flatnonzero(mask)) == {rank for pair in wanted for rank in pair}
    assert not mask[ranks[3]]


def test_followers_are_those_whose_pairs_are_not_all_known(tmp_path: Path) -> None:
    keys = np.repeat(np.arange(3, dtype=np.uint64) << np.uint64(40), [SMALL, SMALL + 1, 2])[None]
    ranks = np.arange(keys.shape[1], dtype=np.uint32)
    (folder,) = found(tmp_path, keyed(tmp_path / "a", keys, ranks, [0, len(ranks)]), [([0], 0, 2**64 - 1)])
    assert sorted(followers([folder])) == list(range(SMALL + LEADERS, 2 * SMALL + 1))
    assert len(np.load(folder / REST)) == SMALL + 1


def test_a_further_round_has_what_is_undecided(tmp_path: Path) -> None:
    keys = np.zeros((1, 100), np.uint64)
    ranks = np.arange(100, dtype=np.uint32)
    (first,) = found(tmp_path, keyed(tmp_path / "a", keys, ranks, [0, 100]), [([0], 0, 2**64 - 1)])
    state = np.ones(100, np.uint8)
    state[40:55] = 0
    np.save(tmp_path / STATE, state)
    (tmp_path / "again").mkdir()
    find_again(tmp_path / "again", first, tmp_path)
    assert unpacked(np.load(tmp_path / "again" / PAIRS)) == set(combinations(range(40, 55), 2))
    assert len(np.load(tmp_path / "again" / REST)) == 0


def family(random: np.random.Generator, documents: int, bands: int, share: float) -> np.ndarray:
    """Keys of forms: each document has a band's common key by that chance, else one of its own."""
    keys = random.integers(2**64, size=(bands, documents), dtype=np.uint64) & ~BAND
    keys[random.random(keys.shape) < share] = 0
    return keys | np.arange(bands, dtype=np.uint64)[:, None]


def all_refined(keys: np.ndarray) -> tuple[np.ndarray, int]:
    """Packed pairs of all bands, and their number in the bands together."""
    ranks = np.tile(np.arange(keys.shape[1], dtype=np.uint32), len(keys))
    made = [refined(keys.reshape(-1), ranks, band, len(keys) - 1) for band in range(len(keys))]
    return distinct(np.sort(np.concatenate(made))), sum(map(len, made))


def packed(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array([(better << 32) + worse for better, worse in pairs], np.uint64)


def test_in_a_family_of_forms_those_that_repeat_each_other_meet() -> None:
    random = np.random.default_rng(0)
    # All buckets are large: five of a band, as in a family with similarities of 0.72.
    keys = random.integers(5, size=(26, 2000)).astype(np.uint64) << np.uint64(40)
    # Documents repeat the one before them with a similarity of 0.95.
    same = random.random((26, 200)) < 0.95**5
    keys[:, 1:400:2] = np.where(same, keys[:, 0:400:2], keys[:, 1:400:2])
    keys[25] = np.arange(2000, dtype=np.uint64) << np.uint64(40)
    pairs, work = all_refined(keys | np.arange(26, dtype=np.uint64)[:, None])
    assert np.isin(packed((place, place + 1) for place in range(0, 400, 2)), pairs).all()
    assert len(pairs) < work < 2000 * 1500, "of 2,000 others for each, in 25 bands"


def test_all_pairs_of_buckets_that_are_not_too_large() -> None:
    random = np.random.default_rng(1)
    keys = family(random, LARGEST * 5, 6, 0.19)
    pairs, _ = all_refined(keys)
    for band in keys:
        group = np.flatnonzero(band < 64)
        if len(group) <= LARGEST:
            assert np.isin(packed(combinations(group.tolist(), 2)), pairs).all()


def test_documents_with_the_same_sketch_meet_in_the_largest_family() -> None:
    keys = np.zeros((26, 1000), np.uint64) | np.arange(26, dtype=np.uint64)[:, None]
    keys[25] = (np.arange(1000, dtype=np.uint64) // np.uint64(2) << np.uint64(10)) | np.uint64(25)
    pairs, work = all_refined(keys)
    assert np.isin(packed((place, place + 1) for place in range(0, 1000, 2)), pairs).all()
    assert work < 26 * 3 * 4 * LEADERS * 1000


def test_bounded_are_documents_of_large_buckets_alone(tmp_path: Path) -> None:
    keys = np.repeat(np.arange(2, dtype=np.uint64) << np.uint64(40), [LARGEST, LARGEST + 1])[None]
    ranks = np.arange(keys.shape[1], dtype=np.uint32)
    (first,) = found(tmp_path, keyed(tmp_path / "a", keys, ranks, [0, len(ranks)]), [([0], 0, 2**64 - 1)])
    np.save(tmp_path / STATE, np.zeros(len(ranks), np.uint8))
    (tmp_path / "last").mkdir()
    find_refined(tmp_path / "last", [first], tmp_path, 0, 1)
    assert sorted(np.load(tmp_path / "last" / BOUNDED)) == list(range(LARGEST, 2 * LARGEST + 1))


def test_parts_of_buckets() -> None:
    buckets = Buckets(*(np.arange(4, dtype=kind) for kind in (np.uint64, np.uint32, np.int64, np.int64)))
    assert buckets.where(np.array([True, False, False, True])).ranks.tolist() == [0, 3]
    assert candidates.LEADERS < candidates.SMALL <= candidates.LARGEST

"""Sketches: they estimate the similarity of sets of any size, and their bands let alike ones meet."""

import numpy as np
import pytest

from scaling.data.curate.duplicates import sketch
from scaling.data.curate.duplicates.sketch import band_keys, rows_for, sketches
from scaling.data.curate.text.words import Words, mixed


def sets(random: np.random.Generator, pairs: int, union: int, common: int) -> Words:
    """Documents in pairs that have so many hashes in common, of so many of both."""
    documents = []
    for _ in range(pairs):
        hashes = random.integers(2**64, size=union, dtype=np.uint64)
        one = (union - common) // 2
        documents += [hashes[: common + one], np.append(hashes[:common], hashes[common + one :])]
    return together(documents)


def together(documents: list[np.ndarray]) -> Words:
    return Words(np.concatenate(documents), np.cumsum([0, *map(len, documents)]))


@pytest.mark.parametrize("union", [3, 10, 50, 130, 400, 4000])
@pytest.mark.parametrize("share", [0.34, 0.7, 0.9])
def test_values_agree_as_often_as_the_sets_are_alike(union: int, share: float) -> None:
    random = np.random.default_rng([union, round(100 * share)])
    common = round(share * union)
    made = sketches(sets(random, 400, union, common))
    agreed = (made[::2] == made[1::2]).mean(axis=1)
    similarity = common / union
    assert abs(agreed.mean() - similarity) < 4 * agreed.std() / 20 + 0.002
    # As far from it as independent values at most, but for small sets in which two hashes share a bin.
    assert agreed.std() < 1.1 * np.sqrt(similarity * (1 - similarity) / 128) + (0.05 if union < 400 else 0)


def test_a_sketch_is_of_the_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    documents = [random.integers(2**64, size=size, dtype=np.uint64) for size in (0, 1, 2, 7, 100, 1000, 5000, 0, 30)]
    made = sketches(together(documents))
    for own, document in zip(made, documents, strict=True):
        again = random.permutation(np.concatenate([document, document[: len(document) // 2]]))
        np.testing.assert_array_equal(sketches(together([again]))[0], own)
    monkeypatch.setattr(sketch, "_BLOCK", 64)
    monkeypatch.setattr(sketch, "_DENSIFIED", 8)
    np.testing.assert_array_equal(sketches(together(documents)), made)


def test_few_hashes_fill_all_bins_and_none_gives_zeros() -> None:
    random = np.random.default_rng(1)
    one = random.integers(2**64, size=1, dtype=np.uint64)
    made = sketches(together([one, one[:0], np.repeat(one, 3)]))
    assert len(set(made[0].tolist())) == 1
    assert not made[1].any()
    np.testing.assert_array_equal(made[0], made[2])
    assert sketches(Words(np.empty(0, np.uint64), np.zeros(1, np.int64))).shape == (0, 128)
    full = sketches(together([mixed(np.arange(20_000, dtype=np.uint64))]))
    assert len(set(full[0].tolist())) == 128
    assert full.max() < 2**31 // 16, "the least of many"


def test_rows_find_nearly_all_of_a_similarity() -> None:
    assert rows_for(0.7) == 5
    rows = [rows_for(alike) for alike in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)]
    assert rows == sorted(rows)
    for alike in np.linspace(0.5, 1, 26):
        count = rows_for(float(alike))
        assert 1 - (1 - alike**count) ** (128 // count) >= 0.98


def test_bands_have_a_key_in_common_where_their_rows_agree() -> None:
    random = np.random.default_rng(2)
    one = random.integers(2**31, size=(50, 128), dtype=np.uint32)
    two = one.copy()
    changed = random.random(two.shape) < 0.1
    two[changed] += 1
    for rows in (3, 5, 8):
        keys, others = band_keys(one, rows), band_keys(two, rows)
        assert keys.shape == (128 // rows, 50)
        bands = 128 // rows * rows
        agree = ~changed[:, :bands].reshape(50, -1, rows).any(axis=2)
        np.testing.assert_array_equal(keys == others, agree.T)
        assert len(set(keys.reshape(-1).tolist())) == keys.size
    same = band_keys(np.full((1, 128), 7, np.uint32))
    assert len(set(same[:, 0].tolist())) == 25, "no key of another band"


@pytest.mark.parametrize("union", [20, 2000])
def test_alike_documents_meet(union: int) -> None:
    random = np.random.default_rng([3, union])
    met = {}
    for share in (0.3, 0.5, 0.7, 0.8):
        keys = band_keys(sketches(sets(random, 500, union, round(share * union))))
        met[share] = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).mean()
    assert met[0.8] > 0.99
    assert met[0.7] > 0.97
    assert 0.4 < met[0.5] < 0.7
    assert met[0.3] < 0.12

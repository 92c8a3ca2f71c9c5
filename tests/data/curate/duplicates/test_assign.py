"""Which copies stay: stars around those that do, in order of preference, and no chains."""

import json
from pathlib import Path

import numpy as np
import pytest

from scaling.data.curate.duplicates.assign import (
    COUNTS,
    DROPPED,
    FATES,
    KEPT,
    UNDECIDED,
    assign,
    write_fates,
    write_state,
)
from scaling.data.curate.duplicates.candidates import BOUNDED, REST, ROW, STATE
from scaling.data.curate.duplicates.check import CLOSE, CLOSE_ROW, MATCH, MATCHES, NOBODY


def pairs_of(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array([(better, worse, 0, 0.8) for better, worse in pairs], MATCH)


def assigned(count: int, *pairs: tuple[int, int]) -> list[int]:
    made: list[int] = assign(np.zeros(count, np.uint8), pairs_of(*pairs), np.ones(count, bool)).tolist()
    return made


def greedy(count: int, pairs: set[tuple[int, int]]) -> list[int]:
    fates: list[int] = []
    for worse in range(count):
        fates.append(
            DROPPED if any((better, worse) in pairs and fates[better] == KEPT for better in range(worse)) else KEPT
        )
    return fates


def test_a_chain_is_no_group() -> None:
    assert assigned(3, (0, 1), (1, 2)) == [KEPT, DROPPED, KEPT]
    assert assigned(1000, *((place, place + 1) for place in range(999))) == [KEPT, DROPPED] * 500


def test_a_star_is_one() -> None:
    assert assigned(5, *((0, place) for place in range(1, 5))) == [KEPT, *[DROPPED] * 4]
    assert assigned(3, (0, 2), (1, 2)) == [KEPT, KEPT, DROPPED]
    assert assigned(3) == [KEPT] * 3
    assert assigned(0) == []


@pytest.mark.parametrize("seed", range(5))
def test_it_is_greedy_in_order_of_preference(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = random.integers(300, size=(random.integers(50, 900), 2)).tolist()
    pairs = {(a, b) for a, b in drawn if a < b}
    given = [*pairs, *list(pairs)[:10]]  # a pair may be found twice
    wanted = greedy(300, pairs)
    assert assigned(300, *[given[place] for place in random.permutation(len(given))]) == wanted


@pytest.mark.parametrize("seed", range(5))
def test_what_a_round_decides_is_decided(seed: int) -> None:
    """With the pairs of some documents alone, nothing is decided that the others' would change."""
    random = np.random.default_rng([1, seed])
    pairs = {(a, b) for a, b in random.integers(200, size=(400, 2)).tolist() if a < b}
    wanted = np.array(greedy(200, pairs))
    state, known = np.zeros(200, np.uint8), np.zeros(200, bool)
    for step in range(4):
        known |= random.random(200) < 0.4
        found = [pair for pair in pairs if known[pair[1]] or random.random() < 0.5]
        state = assign(state, pairs_of(*found), known)
        decided = state != UNDECIDED
        assert (state[decided] == wanted[decided]).all()
        assert step or 10 < decided.sum() < 190
    state = assign(state, pairs_of(*pairs), np.ones(200, bool))
    assert state.tolist() == wanted.tolist()


def checked(folder: Path, matches: np.ndarray, close: np.ndarray) -> Path:
    folder.mkdir()
    np.save(folder / MATCHES, matches)
    np.save(folder / CLOSE, close)
    return folder


def test_each_dropped_document_names_its_most_alike_twin(tmp_path: Path) -> None:
    matches = np.array(
        [(0, 3, 0, 0.8), (1, 3, 0, 0.9), (2, 3, 0, 0.95), (0, 2, 0, 0.7), (0, 4, 1, 0.99), (1, 4, 0, 0.75)], MATCH
    )
    close = np.array([(1, 0.3), (5, 0.65), (2, 0.1)], CLOSE_ROW)
    one = checked(tmp_path / "one", matches[:3], close[:1])
    two = checked(tmp_path / "two", matches[2:], np.append(close[1:], close[:1]))
    np.save(tmp_path / STATE, np.zeros(7, np.uint8))
    for name, ranks in (("a", [1, 2]), ("b", [2, 6])):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / BOUNDED, np.array(ranks, np.uint32))
    write_fates(tmp_path, 7, [one, two], [tmp_path / "a", tmp_path / "b"], tmp_path)
    fates = np.load(tmp_path / FATES)
    assert fates["twin"].tolist() == [NOBODY, NOBODY, 0, 1, 1, NOBODY, NOBODY]
    assert fates["kind"].tolist() == [0] * 7
    np.testing.assert_array_equal(fates["value"], [np.nan, 0.3, 0.7, 0.9, 0.75, 0.65, np.nan])
    assert json.loads((tmp_path / COUNTS).read_text()) == {"pairs": 6, "bounded": 3}


def test_a_round_leaves_undecided_whose_pairs_it_does_not_know(tmp_path: Path) -> None:
    rest = np.array([(7, rank) for rank in range(40)], ROW)
    (tmp_path / "found").mkdir()
    np.save(tmp_path / "found" / REST, rest)
    one = checked(tmp_path / "one", pairs_of((0, 1), (0, 30), (1, 31), (50, 51)), np.empty(0, CLOSE_ROW))
    write_state(tmp_path, 60, [one], [tmp_path / "found"], None)
    state = np.load(tmp_path / STATE)
    assert state[[0, 1, 30, 31, 50, 51, 59]].tolist() == [KEPT, DROPPED, DROPPED, UNDECIDED, KEPT, DROPPED, KEPT]
    assert (state[2:30] == UNDECIDED).all()
    np.save(tmp_path / "found" / REST, rest[:0])
    (tmp_path / "next").mkdir()
    write_state(tmp_path / "next", 60, [one], [tmp_path / "found"], tmp_path)
    again = np.load(tmp_path / "next" / STATE)
    assert (again != UNDECIDED).all()
    assert again[[1, 30, 31]].tolist() == [DROPPED, DROPPED, KEPT]

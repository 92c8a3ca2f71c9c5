"""The rows of a mixture: shares hold in every stretch of a run, and every source's rows are counted on."""

from collections.abc import Callable

import numpy as np
import pytest

from scaling.data.mixing.shares import BLOCK_ROWS, UNITS, Block, block_of, rounded_shares
from scaling.errors import InputError

Make = Callable[[tuple[int, ...], int], Block]


def mixtures() -> list[dict[str, float]]:
    """Mixtures of 1 to 20 sources, from nearly even to nearly one source, some with tiny shares."""
    random = np.random.default_rng(0)
    found = []
    for sources in range(1, 21):
        for evenness in (0.1, 1.0, 10.0):
            shares = random.dirichlet(np.full(sources, evenness))
            if sources > 2:
                shares[:2] = 1e-5, 3e-6
            found.append({f"s{number}": share for number, share in enumerate(shares / shares.sum())})
    return found


def units_of(mixture: dict[str, float]) -> tuple[int, ...]:
    return tuple(round(share * UNITS) for share in rounded_shares(mixture).values() if share)


def rows_of(units: tuple[int, ...], blocks: int, make: Make = block_of) -> np.ndarray:
    return np.concatenate([make(units, number).sources for number in range(blocks)])


def worst_deviation(units: tuple[int, ...], make: Make = block_of) -> float:
    """The most rows that a source is ahead of its share, or behind it, after any number of rows."""
    rows = rows_of(units, 3, make)
    drawn = np.cumsum(rows[:, None] == np.arange(len(units)), axis=0)
    due = np.arange(1, len(rows) + 1)[:, None] * np.array(units) / UNITS
    return float(np.abs(drawn - due).max())


def bound(units: tuple[int, ...]) -> float:
    """Rows: one or so for every source of which a share of the roundings falls on one."""
    return 2 + len(units) / 4


def test_shares_hold_after_any_number_of_rows() -> None:
    for mixture in mixtures():
        units = units_of(mixture)
        assert worst_deviation(units) <= bound(units)


def one_after_another(units: tuple[int, ...], number: int) -> Block:
    """The fault of taking a block's rows source by source."""
    block = block_of(units, number)
    order = np.argsort(block.sources, kind="stable")
    return Block(block.sources[order], block.turns[order])


def each_by_itself(units: tuple[int, ...], _: int) -> Block:
    """The fault of rounding each block by itself: small shares are never drawn."""
    return block_of(units, 0)


def test_the_check_finds_rows_that_are_out_of_proportion() -> None:
    assert worst_deviation(units_of({"a": 0.5, "b": 0.5}), one_after_another) > 1000
    many = tuple([40] * 19 + [UNITS - 760])  # a row in six blocks
    assert np.bincount(rows_of(many, 12, each_by_itself), minlength=20)[:19].max() == 0
    assert np.bincount(rows_of(many, 12), minlength=20)[:19].tolist() == [2] * 19


@pytest.mark.parametrize("batch", [4, 16, 64])
def test_every_batch_has_nearly_the_shares(batch: int) -> None:
    for mixture in mixtures():
        units = units_of(mixture)
        rows = rows_of(units, 2).reshape(-1, batch)
        drawn = (rows[:, :, None] == np.arange(len(units))).sum(axis=1)
        assert np.abs(drawn - batch * np.array(units) / UNITS).max() <= 2 * bound(units)


def test_sources_of_one_share_do_not_come_all_at_once() -> None:
    units = tuple([10_000] * 19 + [810_000])
    rows = rows_of(units, 2).reshape(-1, 16)
    large = (rows == 19).sum(axis=1)
    assert large.min() >= 11
    assert large.mean() == pytest.approx(0.81 * 16, abs=0.02)


def test_a_sources_rows_are_counted_without_a_gap_through_blocks() -> None:
    for mixture in mixtures():
        units = units_of(mixture)
        blocks = [block_of(units, number) for number in range(3)]
        for source in range(len(units)):
            turns = np.concatenate([block.turns[block.sources == source] for block in blocks])
            np.testing.assert_array_equal(turns, np.arange(len(turns)))


def test_a_block_far_on_is_as_large_and_goes_on_from_the_one_before() -> None:
    units = units_of({"a": 0.123457, "b": 0.000001, "c": 0.876542})
    before, block = block_of(units, 10**9 - 1), block_of(units, 10**9)
    assert len(block.sources) == BLOCK_ROWS
    for source in (0, 2):
        assert block.turns[block.sources == source].min() == before.turns[before.sources == source].max() + 1
    assert block.turns[block.sources == 0].min() == pytest.approx(0.123457 * BLOCK_ROWS * 1e9, abs=1)


def test_rounded_shares_sum_to_one_and_stay_what_they_are() -> None:
    for mixture in mixtures():
        shares = rounded_shares(mixture)
        assert sum(round(share * UNITS) for share in shares.values()) == UNITS
        assert rounded_shares(shares) == shares
        assert all(abs(share - mixture[name]) <= 1e-5 for name, share in shares.items())
        assert list(shares) == list(mixture)
    assert rounded_shares({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}) == {"a": 0.333334, "b": 0.333333, "c": 0.333333}


@pytest.mark.parametrize(
    ("shares", "line"),
    [
        ({"a": 0.5, "b": 0.4}, "the shares of a mixture sum to 1; those of a, b sum to 0.9"),
        ({}, "the shares of a mixture sum to 1; those of no source sum to 0"),
        ({"a": 1.5, "b": -0.5}, "the share of b is -0.5; a share is a number from 0 to 1"),
        ({"a": float("nan"), "b": 1.0}, "the share of a is nan; a share is a number from 0 to 1"),
    ],
    ids=["less", "none", "negative", "nan"],
)
def test_shares_that_are_none_are_refused(shares: dict[str, float], line: str) -> None:
    with pytest.raises(InputError) as error:
        rounded_shares(shares)
    assert error.value.errors == (line,)

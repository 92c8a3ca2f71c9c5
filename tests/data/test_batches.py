"""Batches are a pure function of (seed, step); held-out windows are fixed."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.batches import Batches, TokenSet, held_out_windows, tokenize
from scaling.data.corpus import Document
from scaling.data.tokenizer import BYTES
from scaling.errors import InputError


def counting(tokens: int) -> TokenSet:
    """Token i is i, so a window shows where it begins."""
    return TokenSet(np.arange(tokens, dtype=np.int32), np.array([tokens], dtype=np.int64))


def documents(*lengths: int) -> TokenSet:
    return tokenize([Document(str(i), b"%c" % (97 + i) * n) for i, n in enumerate(lengths)], BYTES)


def test_documents_are_closed_by_nul() -> None:
    tokens = tokenize([Document("a", b"ab"), Document("b", "é".encode())], BYTES)
    assert tokens.tokens.tolist() == [97, 98, 0, 0xC3, 0xA9, 0]
    assert tokens.ends.tolist() == [3, 6]
    assert len(tokens) == 6


@given(
    length=st.integers(10, 300),
    seq_len=st.integers(1, 5),
    batch_size=st.integers(1, 7),
    step=st.integers(0, 500),
    count=st.integers(1, 20),
)
def test_random_access_is_sequential(length: int, seq_len: int, batch_size: int, step: int, count: int) -> None:
    batches = Batches(counting(length), seq_len, batch_size, seed=3)
    taken = Batches(counting(length), seq_len, batch_size, seed=3).take(step, count)
    assert taken.shape == (count, batch_size, seq_len + 1)
    one_by_one = np.concatenate([batches.take(s, 1) for s in range(step, step + count)])
    np.testing.assert_array_equal(taken, one_by_one)
    np.testing.assert_array_equal(np.diff(taken, axis=-1), 1)


def test_an_epoch_has_every_window_once() -> None:
    batches = Batches(counting(1003), seq_len=10, batch_size=1, seed=0)
    assert batches.windows_per_epoch == 99
    assert batches.tokens_per_epoch == 990
    assert batches.epochs_needed(1980) == 2.0
    first = batches.take(0, 99).reshape(99, 11)
    assert len(np.unique(first[:, 1:])) == 990
    second = batches.take(99, 99).reshape(99, 11)
    assert len(np.unique(second[:, 1:])) == 990
    assert not np.array_equal(np.sort(first[:, 0]), np.sort(second[:, 0])), "the phase differs"
    assert not np.array_equal(np.argsort(first[:, 0]), np.argsort(second[:, 0])), "the order differs"


def test_seed_decides_the_order() -> None:
    a, b, c = (Batches(counting(5000), 10, 4, seed).take(0, 50) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_the_order_is_what_it_was_before_there_were_mixtures() -> None:
    batches = Batches(counting(5003), seq_len=10, batch_size=7, seed=12345)
    taken = batches.take(60, 40).tobytes() + batches.take(3, 200, slice(2, 5)).tobytes()
    assert hashlib.sha256(taken).hexdigest() == "cf703196f40caaf20c51ccffab1b434988d612748c4931adc21a4ac25c922e59"


def test_memory_mapped_tokens_are_the_same(tmp_path: Path) -> None:
    tokens = documents(400, 300)
    np.save(tmp_path / "tokens.npy", tokens.tokens)
    mapped = TokenSet(np.load(tmp_path / "tokens.npy", mmap_mode="r"), tokens.ends)
    np.testing.assert_array_equal(Batches(mapped, 16, 3, 0).take(5, 40), Batches(tokens, 16, 3, 0).take(5, 40))


def test_too_few_tokens() -> None:
    assert Batches(counting(20), 10, 1, 0).windows_per_epoch == 1
    with pytest.raises(InputError, match="19 training tokens; a context of 10 needs 20"):
        Batches(counting(19), 10, 1, 0)


def test_held_out_windows_stay_inside_documents_in_proportion() -> None:
    tokens = documents(800, 3, 1600, 400)
    windows, document = held_out_windows(tokens, seq_len=8, max_tokens=8 * 35)
    assert windows.shape == (35, 9)
    np.testing.assert_array_equal(np.bincount(document), [10, 0, 20, 5])
    for window, index in zip(windows, document, strict=True):
        assert set(window[:-1].tolist()) == {97 + index}
        assert window[-1] in (0, 97 + index)


def test_held_out_targets_are_distinct_and_evenly_spread() -> None:
    tokens = counting(10_001)
    windows, _ = held_out_windows(tokens, seq_len=10, max_tokens=1000)
    assert len(np.unique(windows[:, 1:])) == 1000
    np.testing.assert_array_equal(np.diff(windows[:, 0]), 100)


def test_held_out_takes_everything_there_is() -> None:
    windows, _ = held_out_windows(counting(101), seq_len=10, max_tokens=10**9)
    np.testing.assert_array_equal(np.unique(windows), np.arange(101))


def test_short_documents_are_cut_as_one() -> None:
    windows, document = held_out_windows(documents(*[4] * 10), seq_len=8, max_tokens=1000)
    assert windows.shape == (6, 9)
    np.testing.assert_array_equal(document, [0, 1, 3, 4, 6, 8])


def test_held_out_gives_one_window_at_least_or_a_violation() -> None:
    assert len(held_out_windows(documents(100), seq_len=50, max_tokens=1)[0]) == 1
    with pytest.raises(InputError, match="held-out text has 5 tokens; a context of 8 needs 9"):
        held_out_windows(documents(4), seq_len=8, max_tokens=100)

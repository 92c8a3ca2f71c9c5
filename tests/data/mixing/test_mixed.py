"""Batches of a mixture: a pure function of (seed, step), each source with epochs and orders of its own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.data.batches import Batches, TokenSet, TrainingBatches
from scaling.data.mixing.mixed import MixedBatches
from scaling.data.mixing.shares import MOST_SOURCES
from scaling.errors import InputError

FAR = 10**6
SEQ = 10
LENGTHS = {"a": 5000, "b": 800, "c": 20_000, "tiny": 2 * SEQ}
MIXTURE = {"a": 0.55, "b": 0.25, "c": 0.199, "tiny": 0.001}


def sources(lengths: dict[str, int] = LENGTHS) -> dict[str, TokenSet]:
    """Token i of source j is a million j + i, so that a window shows its source and where it begins."""
    return {
        name: TokenSet(np.arange(j * FAR, j * FAR + length, dtype=np.int32), np.array([length], np.int64))
        for j, (name, length) in enumerate(lengths.items())
    }


def batches(mixture: dict[str, float] = MIXTURE, batch: int = 8, seed: int = 3) -> MixedBatches:
    return MixedBatches(sources(), mixture, SEQ, batch, seed)


def starts(taken: np.ndarray) -> np.ndarray:
    """First token of each window, in the order of the rows."""
    return taken.reshape(-1, taken.shape[-1])[:, 0]


def of_source(taken: np.ndarray, name: str) -> np.ndarray:
    first = starts(taken)
    number = list(LENGTHS).index(name)
    return first[first // FAR == number] - number * FAR


@settings(max_examples=60)
@given(
    batch=st.integers(1, 9),
    step=st.integers(0, 6000),
    count=st.integers(1, 12),
    cut=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_any_steps_and_rows_in_any_order_are_the_same(batch: int, step: int, count: int, cut: tuple[int, int]) -> None:
    whole, other = batches(batch=batch), batches(batch=batch)
    taken = whole.take(step, count)
    assert taken.shape == (count, batch, SEQ + 1)
    assert taken.dtype == np.int32
    np.testing.assert_array_equal(np.diff(taken, axis=-1), 1)  # each is a window of one source
    backwards = [other.take(s, 1) for s in range(step + count - 1, step - 1, -1)]
    np.testing.assert_array_equal(taken, np.concatenate(backwards[::-1]))
    rows = slice(min(cut), max(cut))
    np.testing.assert_array_equal(batches(batch=batch).take(step, count, rows), taken[:, rows])


def test_a_run_that_is_taken_up_again_sees_the_same() -> None:
    whole = batches().take(0, 1500)
    first, second = batches().take(0, 700), batches().take(700, 800)
    np.testing.assert_array_equal(whole, np.concatenate([first, second]))


def test_no_window_comes_twice_within_an_epoch_of_its_source() -> None:
    taken = batches().take(0, 2000)
    for name, length in LENGTHS.items():
        found, windows = of_source(taken, name), length // SEQ - 1
        epochs = [found[i : i + windows] for i in range(0, len(found), windows)]
        assert len(found) == pytest.approx(16_000 * MIXTURE[name], abs=2)
        for epoch in epochs:  # no two windows share a target
            assert len(np.unique(epoch[:, None] + np.arange(SEQ))) == SEQ * len(epoch)
    assert len(of_source(taken, "a")) > 10 * (LENGTHS["a"] // SEQ - 1)


def test_every_epoch_of_a_source_is_shuffled_and_begins_elsewhere() -> None:
    found, windows = of_source(batches().take(0, 1000), "a"), LENGTHS["a"] // SEQ - 1
    one, two = found[:windows], found[windows : 2 * windows]
    assert not np.array_equal(np.sort(one), np.sort(two)), "the phase differs"
    assert not np.array_equal(np.argsort(one), np.argsort(two)), "the order differs"


def test_runs_of_two_mixtures_see_the_same_windows_of_a_source_in_the_same_order() -> None:
    one = batches().take(0, 400)
    other = batches({"c": 0.7, "a": 0.3}).take(0, 400)
    for name in ("a", "c"):
        first, second = of_source(one, name), of_source(other, name)
        fewer = min(len(first), len(second))
        assert fewer > 500
        np.testing.assert_array_equal(first[:fewer], second[:fewer])


def test_sources_of_one_text_and_other_seeds_are_in_other_orders() -> None:
    same = TokenSet(np.arange(5000, dtype=np.int32), np.array([5000], np.int64))
    twins = MixedBatches({"a": same, "b": same}, {"a": 0.5, "b": 0.5}, SEQ, 2, 0).take(0, 200)
    first = starts(twins)
    assert not np.array_equal(first[::2], first[1::2])
    assert not np.array_equal(batches(seed=3).take(0, 10), batches(seed=4).take(0, 10))


def test_a_source_without_a_share_is_not_drawn_from_whatever_it_has() -> None:
    with_empty = {**sources(), "empty": TokenSet(np.zeros(3, np.int32), np.array([3], np.int64))}
    mixture = {"empty": 0.0, "a": 0.4, "c": 0.6, "b": 0.0}
    taken = MixedBatches(with_empty, mixture, SEQ, 8, 3).take(0, 600)
    assert set(starts(taken) // FAR) == {0, 2}
    np.testing.assert_array_equal(taken, batches({"c": 0.6, "a": 0.4}).take(0, 600))


@pytest.mark.parametrize("count", [1, 2, 7, 20, MOST_SOURCES])
def test_many_sources_and_tiny_shares(count: int) -> None:
    lengths = {f"s{number}": 400 for number in range(count)}
    shares = dict.fromkeys(lengths, 1e-5)
    shares["s0"] = 1 - 1e-5 * (count - 1)
    taken = MixedBatches(sources(lengths), shares, SEQ, 16, 0).take(0, 100_000 // 16)
    drawn = np.bincount(starts(taken) // FAR, minlength=count)
    assert drawn[1:].tolist() == [1] * (count - 1)
    assert drawn.sum() == 100_000


def test_passes_over_a_source_are_those_of_what_is_drawn() -> None:
    mixed, steps = batches(), 2000
    tokens = steps * 8 * SEQ
    taken = mixed.take(0, steps)
    for name, epochs in mixed.epochs(tokens).items():
        windows = LENGTHS[name] // SEQ - 1
        assert epochs == pytest.approx(len(of_source(taken, name)) / windows, abs=2 / windows)
    assert mixed.epochs_needed(tokens) == max(mixed.epochs(tokens).values()) == mixed.epochs(tokens)["b"]
    assert mixed.epochs_needed(mixed.tokens_per_epoch) == pytest.approx(1, abs=1e-3)
    unique = sum(min(MIXTURE[name] * tokens, (LENGTHS[name] // SEQ - 1) * SEQ) for name in LENGTHS)
    assert mixed.unique_tokens(tokens) == round(unique) < tokens
    assert mixed.unique_tokens(80) == 80


def test_one_text_and_a_mixture_are_taken_alike() -> None:
    plain = Batches(sources()["a"], SEQ, 8, 3)
    assert isinstance(plain, TrainingBatches)
    assert isinstance(batches(), TrainingBatches)
    assert plain.unique_tokens(100) == 100
    assert plain.unique_tokens(10**6) == plain.tokens_per_epoch


def test_windows_by_number_are_those_of_the_stream() -> None:
    plain = Batches(sources()["b"], SEQ, 3, 5)
    stream = plain.take(0, 100).reshape(300, SEQ + 1)
    numbers = np.array([[299, 0], [78, 79]])
    np.testing.assert_array_equal(plain.windows(numbers), stream[numbers])


@pytest.mark.parametrize(
    ("mixture", "line"),
    [
        ({"a": 0.5, "d": 0.5}, "the mixture has a share of d; the sources are a, b, c, tiny"),
        ({"a": 0.5, "b": 0.4}, "the shares of a mixture sum to 1; those of a, b sum to 0.9"),
    ],
    ids=["unknown", "sum"],
)
def test_mixtures_that_are_none_are_refused(mixture: dict[str, float], line: str) -> None:
    with pytest.raises(InputError) as error:
        batches(mixture)
    assert error.value.errors == (line,)


def test_a_source_that_is_too_short_is_named() -> None:
    with pytest.raises(InputError, match=r"^source b: the corpus has 19 training tokens; a context of 10 needs 20"):
        MixedBatches(sources({"a": 100, "b": 19}), {"a": 0.5, "b": 0.5}, SEQ, 1, 0)
    many = {f"s{number}": 100 for number in range(MOST_SOURCES + 1)}
    with pytest.raises(InputError, match=r"^a mixture is of 60 sources at most; this one is of 61$"):
        MixedBatches(sources(many), dict.fromkeys(many, 1 / len(many)), SEQ, 1, 0)

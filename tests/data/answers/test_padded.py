"""Batches of padded rows: a function of the seed and the step, every row once an epoch, few lengths, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.answers.padded import PaddedBatches, PairBatches
from scaling.data.answers.rows import Example, Pair, bucket

MOST = 512


def examples(count: int, seed: int = 0, longest: int = 96) -> list[Example]:
    """Examples whose first id is their number, of very unequal length; the last two thirds of each count."""
    lengths = np.random.default_rng(seed).integers(3, longest + 1, count)
    return [
        Example(np.full(length, 1000 + at, np.int32), np.arange(length) >= length // 3)
        for at, length in enumerate(lengths)
    ]


def pairs(count: int) -> list[Pair]:
    random = np.random.default_rng(1)
    return [
        Pair(
            np.full(4, 1000 + at, np.int32),
            *(np.full(random.integers(1, 60), 7 + side, np.int32) for side in range(2)),
            rating=float(at % 4) if at % 2 else None,
            safety=at % 3 == 0,
        )
        for at in range(count)
    ]


@given(count=st.integers(1, 90), batch=st.integers(1, 9), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_has_every_example_once(count: int, batch: int, seed: int, epoch: int) -> None:
    batches = PaddedBatches(examples(count), batch, seed, MOST)
    assert batches.steps_per_epoch == -(-count // batch)
    taken = [batches.take(epoch * batches.steps_per_epoch + at) for at in range(batches.steps_per_epoch)]
    assert all(rows.tokens.shape[0] == batch for rows in taken)
    live = [int(ids[0]) - 1000 for rows in taken for ids in rows.tokens if ids[0]]
    assert sorted(live) == list(range(count))
    sizes = [int((rows.tokens[:, 0] > 0).sum()) for rows in taken]
    assert max(sizes) - min(sizes) <= 1


def test_a_step_does_not_depend_on_those_before() -> None:
    rows = examples(100)
    taken = PaddedBatches(rows, 8, 3, MOST)
    in_order = [taken.take(step) for step in range(40)]
    for step in (39, 0, 17, 13, 12):
        alone = PaddedBatches(rows, 8, 3, MOST).take(step)
        again = taken.take(step)
        for one, other, third in zip(in_order[step], alone, again, strict=True):
            assert np.array_equal(one, other)
            assert np.array_equal(one, third)


def test_seeds_and_epochs_have_orders_of_their_own() -> None:
    rows = examples(64)

    def order(seed: int, epoch: int) -> list[int]:
        batches = PaddedBatches(rows, 8, seed, MOST)
        return [int(ids[0]) for step in range(8) for ids in batches.take(8 * epoch + step).tokens]

    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


def test_what_fills_a_batch_counts_nowhere() -> None:
    batch = PaddedBatches(examples(3), 8, 0, MOST).take(0)
    assert batch.counted[3:].sum() == batch.tokens[3:].sum() == 0
    assert batch.lengths[3:].tolist() == [1] * 5  # so that a score at the last token is read within the row
    of_pairs = PairBatches(pairs(3), 8, 0, MOST).take(0)
    assert of_pairs.weights.tolist() == [1.0] * 3 + [0.0] * 5
    assert of_pairs.chosen.counted[:3].any(axis=1).all()


def test_padding_never_counts_and_rows_are_whole() -> None:
    rows = examples(50)
    batches = PaddedBatches(rows, 8, 0, MOST)
    for step in range(batches.steps_per_epoch):
        batch = batches.take(step)
        places = np.arange(batch.tokens.shape[1])
        assert not batch.counted[places >= batch.lengths[:, None]].any()
        for ids, counted, length in zip(*batch, strict=True):
            if ids[0]:
                example = rows[ids[0] - 1000]
                assert np.array_equal(ids[:length], example.ids)
                assert np.array_equal(counted[:length], example.counted)


def test_lengths_are_few_and_padding_little() -> None:
    rows = examples(2000, longest=400)
    batches = PaddedBatches(rows, 16, 0, MOST)
    taken = [batches.take(step) for step in range(batches.steps_per_epoch)]
    widths = {batch.tokens.shape[1] for batch in taken}
    assert widths <= {bucket(length, MOST) for length in range(1, MOST + 1)}
    assert len(widths) <= 9
    live, all = sum(int(batch.lengths.sum()) for batch in taken), sum(batch.tokens.size for batch in taken)
    shuffled = sum(16 * bucket(max(len(row.ids) for row in rows[at : at + 16]), MOST) for at in range(0, 2000, 16))
    assert 1 - live / all < 0.22 < 0.4 < 1 - live / shuffled


def test_rows_beyond_the_most_are_refused() -> None:
    with pytest.raises(ValueError, match="a row of 96 tokens, and rows have 64 at most"):
        PaddedBatches([Example(np.ones(96, np.int32), np.ones(96, bool))], 1, 0, 64).take(0)
    with pytest.raises(ValueError, match="no rows"):
        PairBatches([], 1, 0, 64)


@given(count=st.integers(1, 40), batch=st.integers(1, 9))
def test_pairs(count: int, batch: int) -> None:
    given_pairs = pairs(count)
    batches = PairBatches(given_pairs, batch, 0, MOST)
    seen = []
    for step in range(batches.steps_per_epoch):
        rows = batches.take(step)
        assert rows.chosen.tokens.shape == rows.rejected.tokens.shape
        for at in np.flatnonzero(rows.weights):
            number = int(rows.chosen.tokens[at, 0]) - 1000
            pair = given_pairs[number]
            seen.append(number)
            for side, answer in ((rows.chosen, pair.chosen), (rows.rejected, pair.rejected)):
                assert np.array_equal(side.tokens[at, : side.lengths[at]], np.concatenate([pair.prompt, answer]))
                assert np.flatnonzero(side.counted[at]).tolist() == list(range(4, side.lengths[at]))
            assert rows.prompt_lengths[at] == 4
            assert rows.safety[at] == pair.safety
            rating = float(rows.ratings[at])
            assert np.isnan(rating) if pair.rating is None else rating == pair.rating
    assert sorted(seen) == list(range(count))

"""Batches of rows padded right, of few lengths, without state: every step is a function of the seed and its number."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Int64

from scaling.data.answers.rows import Example, Ids, Padded, Pair, bucket, pad

# Batches that are filled from one window of the epoch's order, whose rows are sorted by length.
_WINDOW = 16
_NO_ROW = np.zeros(1, np.int32)


class PaddedPairs(NamedTuple):
    """A batch of pairs, both answers padded to one length.

    Attributes:
        chosen, rejected: prompt and answer; the answer's tokens count, its end included.
        prompt_lengths: tokens of each prompt.
        ratings: how much better the chosen answer is, 0 to 3; NaN where nobody has said.
        weights: 1 for a pair; 0 for a row that only fills the batch.
        safety: 1 for a pair that says which answer is safe; else 0.
    """

    chosen: Padded
    rejected: Padded
    prompt_lengths: Int32[np.ndarray, " rows"]
    ratings: Float32[np.ndarray, " rows"]
    weights: Float32[np.ndarray, " rows"]
    safety: Float32[np.ndarray, " rows"]


class _Order:
    """Which rows a step has.

    An epoch is shuffled, cut into windows of some batches, each window sorted by length and cut into batches, and these
    are shuffled. Batches of an epoch have as many rows as another, or one more, so that none is much noisier.
    """

    def __init__(self, lengths: Sequence[int], batch: int, seed: int) -> None:
        if not lengths:
            raise ValueError("there are no rows")
        self._lengths, self._seed = np.array(lengths, np.int64), seed
        self.steps = -(-len(lengths) // batch)
        self._epoch: tuple[int, list[Int64[np.ndarray, " rows"]]] = (-1, [])

    def rows(self, step: int) -> Int64[np.ndarray, " rows"]:
        """Numbers of the rows of a step, at most a batch of them."""
        epoch, turn = divmod(step, self.steps)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, self._batches(epoch))
        return self._epoch[1][turn]

    def _batches(self, epoch: int) -> list[Int64[np.ndarray, " rows"]]:
        random = np.random.Generator(np.random.Philox(key=np.array([self._seed, epoch], dtype=np.uint64)))
        order = random.permutation(len(self._lengths))
        bounds = len(order) * np.arange(self.steps + 1) // self.steps
        for first in range(0, self.steps, _WINDOW):
            window = slice(bounds[first], bounds[min(first + _WINDOW, self.steps)])
            order[window] = order[window][np.argsort(self._lengths[order[window]], kind="stable")]
        return [order[bounds[at] : bounds[at + 1]] for at in random.permutation(self.steps)]


class PaddedBatches:
    """Batches of examples; each epoch has every example once.

    A batch always has ``batch`` rows: where an epoch's number of examples is no multiple of it, rows of one token
    that does not count fill its batches.

    Args:
        examples: one at least, none longer than ``most``.
        batch: rows of a step.
        seed: of the order.
        most: the longest that rows are padded to, in tokens.
    """

    def __init__(self, examples: Sequence[Example], batch: int, seed: int, most: int) -> None:
        self._examples, self._batch, self._most = examples, batch, most
        self._order = _Order([len(example.ids) for example in examples], batch, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the examples."""
        return self._order.steps

    def take(self, step: int) -> Padded:
        """The rows of a step, whatever was taken before."""
        return padded([self._examples[at] for at in self._order.rows(step)], self._batch, self._most)


class PairBatches:
    """Batches of pairs; each epoch has every pair once. As ``PaddedBatches``."""

    def __init__(self, pairs: Sequence[Pair], batch: int, seed: int, most: int) -> None:
        self._pairs, self._batch, self._most = pairs, batch, most
        lengths = [len(pair.prompt) + max(len(pair.chosen), len(pair.rejected)) for pair in pairs]
        self._order = _Order(lengths, batch, seed)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the pairs."""
        return self._order.steps

    def numbers(self, step: int) -> Int64[np.ndarray, " rows"]:
        """Which pairs a step has, in the order of its rows; those that fill the batch are left out."""
        return self._order.rows(step)

    def take(self, step: int) -> PaddedPairs:
        """The rows of a step, whatever was taken before."""
        return padded_pairs([self._pairs[at] for at in self._order.rows(step)], self._batch, self._most)


def padded(examples: Sequence[Example], rows: int, most: int) -> Padded:
    """Examples as one batch of ``rows`` rows, in their order; rows of one token that does not count fill it."""
    ids = _filled([example.ids for example in examples], rows)
    counted = [example.counted for example in examples] + [_NO_ROW.astype(bool)] * (rows - len(examples))
    return pad(ids, counted, _length(ids, most))


def padded_pairs(pairs: Sequence[Pair], rows: int, most: int) -> PaddedPairs:
    """Pairs as one batch of ``rows`` rows, in their order; as ``padded``."""
    missing = rows - len(pairs)
    prompts = np.array([len(pair.prompt) for pair in pairs] + [1] * missing, np.int32)
    sides = [
        _filled([np.concatenate([pair.prompt, answer(pair)]) for pair in pairs], rows)
        for answer in (lambda pair: pair.chosen, lambda pair: pair.rejected)
    ]
    length = max(_length(side, most) for side in sides)
    chosen, rejected = (
        pad(side, [np.arange(len(ids)) >= prompt for ids, prompt in zip(side, prompts, strict=True)], length)
        for side in sides
    )
    ratings = [np.nan if pair.rating is None else pair.rating for pair in pairs]
    return PaddedPairs(
        chosen,
        rejected,
        prompts,
        np.array(ratings + [np.nan] * missing, np.float32),
        np.array([1.0] * len(pairs) + [0.0] * missing, np.float32),
        np.array([float(pair.safety) for pair in pairs] + [0.0] * missing, np.float32),
    )


def _filled(ids: list[Ids], rows: int) -> list[Ids]:
    return ids + [_NO_ROW] * (rows - len(ids))


def _length(ids: Sequence[Ids], most: int) -> int:
    longest = max(map(len, ids))
    if longest > most:
        raise ValueError(f"a row of {longest} tokens, and rows have {most} at most")
    return bucket(longest, most)

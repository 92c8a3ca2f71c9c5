"""How well an n-gram model of references foretells a document, as CCNet judges text (1911.00359).

The model is an interpolated Kneser-Ney trigram of words with three discounts (Chen and Goodman 1998, as KenLM trains
it). With c the count of a trigram, and of a bigram or a word the number of different words seen before it,

    p(w | u v) = (c(u v w) - D(c(u v w))) / c(u v) + g(u v) p(w | v),      g(u v) = sum_w D(c(u v w)) / c(u v),

likewise p(w | v) and p(w), and below p(w) the words are equal, one unknown word among them. So -log2 p is one number of
a trigram that was seen; else it is -log2 g(u v) and that of the bigram. Numbers are kept as whole 1/256 of a bit in
tables of hashes, so that a sum is the same wherever a document stands. Tables know n-grams by 38 bits of their hashes:
of those never seen, one of 60,000 at most is taken for another one.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt64

from scaling.data.curate.text.per_word import slices, starts_in, sums_of
from scaling.data.curate.text.words import Words

MOST_WORDS = 2**22
"""Of the references that a model is made of, so that it is made within 1 GB."""
_UNITS = 256
_START, _FIRST, _SECOND = np.uint64(0x2545F4914F6CDD1D), np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)
_KEY, _COST, _LOW, _MOST = np.uint64(26), np.uint64(13), np.uint64(2**13 - 1), np.uint64(2**38 - 2)
_EMPTY = np.uint64(2**64 - 1)
_FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])


@dataclass(frozen=True)
class Ngrams:
    """A model.

    Attributes:
        words: table of the words. An entry has the first 38 bits of a hash, -log2 p, and -log2 g of what follows; it
            stands at the place that its first bits say or behind, entries in order.
        pairs: of the bigrams.
        triples: of the trigrams.
        rest: -log2 p of a word never seen, and -log2 g at the start of a document and behind its first word.
    """

    words: UInt64[np.ndarray, " words_slots"]
    pairs: UInt64[np.ndarray, " pairs_slots"]
    triples: UInt64[np.ndarray, " triples_slots"]
    rest: Int64[np.ndarray, " three"]

    def save(self, folder: Path) -> None:
        """Writes an ``.npy`` file for each array."""
        for each in fields(self):
            np.save(folder / f"{each.name}.npy", getattr(self, each.name))

    @classmethod
    def load(cls, folder: Path) -> "Ngrams":
        """What ``save`` wrote, mapped into memory that processes share."""
        return cls(**{each.name: np.load(folder / f"{each.name}.npy", mmap_mode="r") for each in fields(cls)})


def train(words: Words) -> Ngrams:
    """The model of some documents, the same for the same documents in the same order.

    Args:
        words: of the references; one at least, and MOST_WORDS at most.
    """
    hashes, last, before = words.hashes, *_contexts(words, 0, len(words.hashes))
    pairs = last * _FIRST + hashes
    triples, at, seen = np.unique(_keys(before * _SECOND + pairs), return_index=True, return_counts=True)
    pair_of, context_of = _keys(pairs)[at], _keys(before * _FIRST + last)[at]
    del pairs, before
    twos, first, seen_twos = np.unique(pair_of, return_index=True, return_counts=True)
    word_of, last_of = _keys(hashes)[at[first]], _keys(last)[at[first]]
    ones, seen_ones = np.unique(word_of, return_counts=True)
    none = np.full(len(ones), 1 / (len(ones) + 1))
    ones_p, _, left = _level(seen_ones, np.zeros(len(ones), np.uint64), none)
    twos_p, *behind_words = _level(seen_twos, last_of, ones_p[np.searchsorted(ones, word_of)])
    triples_p, *behind_pairs = _level(seen, context_of, twos_p[np.searchsorted(twos, pair_of)])
    start = np.array([_START])
    rest = [
        _costs(left * none[:1]),
        _left(_keys(start * _FIRST + start), *behind_pairs),
        _left(_keys(start), *behind_words),
    ]
    return Ngrams(
        _table(ones, _costs(ones_p), _left(ones, *behind_words)),
        _table(twos, _costs(twos_p), _left(twos, *behind_pairs)),
        _table(triples, _costs(triples_p), np.zeros(len(triples), np.uint64)),
        np.concatenate(rest).astype(np.int64),
    )


def score(model: Ngrams, words: Words) -> Float32[np.ndarray, " documents"]:
    """The perplexity per word of each document: 2^(mean of -log2 p); it does not depend on the other documents.

    A document without words is judged as one unknown word.
    """
    costs = np.empty(len(words.hashes), np.int32)
    for low, high in slices(words):
        costs[low:high] = _word_costs(model, words, low, high)
    counts = words.counts
    totals = np.where(counts > 0, sums_of(costs, words), model.rest.sum())
    return np.exp2(totals / _UNITS / np.maximum(counts, 1)).astype(np.float32)


def _word_costs(model: Ngrams, words: Words, low: int, high: int) -> Int64[np.ndarray, " slice"]:
    """-log2 p of the words from ``low`` on, in units."""
    begin = max(low - 1, 0)  # as what is left behind a word is known by its own entry
    hashes, (last, before) = words.hashes[begin:high], _contexts(words, begin, high)
    one, _ = _find(model.words, hashes, int(model.rest[0]) << 13)
    last *= _FIRST
    last += hashes
    two, paired = _find(model.pairs, last, 0)
    before *= _SECOND
    before += last
    three, tripled = _find(model.triples, before, 0)
    starts = starts_in(words, begin, high)
    behind_one, behind_two = (np.concatenate([each[:1], each[:-1]]) & _LOW for each in (one, two))
    behind_two[starts], behind_one[starts] = model.rest[1:].tolist()
    lower = np.where(paired, _cost(two), behind_one + _cost(one))
    return np.where(tripled, _cost(three), behind_two + lower)[low - begin :].astype(np.int64)


def _contexts(words: Words, low: int, high: int) -> tuple[UInt64[np.ndarray, " slice"], UInt64[np.ndarray, " slice"]]:
    """The word before each word of a slice, and the one before that; signs for the start before the first."""
    places = np.arange(low, high)
    last = words.hashes[np.maximum(places - 1, 0)]
    before = words.hashes[np.maximum(places - 2, 0)]
    starts = starts_in(words, low, high)
    last[starts] = _START
    before[starts] = _START
    begin = max(low - 1, 0)  # a document that starts there has its second word in the slice
    before[starts_in(words, begin, high - 1) + begin + 1 - low] = _START
    return last, before


def _keys(hashes: UInt64[np.ndarray, " grams"]) -> UInt64[np.ndarray, " grams"]:
    """By what tables know n-grams; the largest number is not used, as it marks slots that are empty."""
    return np.minimum(hashes >> _KEY, _MOST)


def _level(
    counts: Int64[np.ndarray, " grams"], contexts: UInt64[np.ndarray, " grams"], lower: Float64[np.ndarray, " grams"]
) -> tuple[Float64[np.ndarray, " grams"], UInt64[np.ndarray, " contexts"], Float64[np.ndarray, " contexts"]]:
    """Of n-grams of one length p, their contexts in order, and what these leave to shorter n-grams."""
    discounts, kinds = _discounts(counts), np.minimum(counts, 3)
    found, places = np.unique(contexts, return_inverse=True)
    totals = np.bincount(places, counts)
    left = (
        sum(discounts[kind] * np.bincount(places[kinds == kind], minlength=len(found)) for kind in (1, 2, 3)) / totals
    )
    return (counts - discounts[kinds]) / totals[places] + left[places] * lower, found, left


def _discounts(counts: Int64[np.ndarray, " grams"]) -> Float64[np.ndarray, " four"]:
    """What is taken of counts 0, 1, 2 and more, by how many there are of 1 to 4; KenLM's substitutes if too few."""
    of = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    if (of[1:5] == 0).any():
        return _FALLBACK
    share = of[1] / (of[1] + 2 * of[2])
    made = np.array([0.0, *(count - (count + 1) * share * of[count + 1] / of[count] for count in (1, 2, 3))])
    return made if (made[1:] > 0).all() else _FALLBACK


def _costs(chances: Float64[np.ndarray, " grams"]) -> UInt64[np.ndarray, " grams"]:
    """-log2 of probabilities, in units."""
    return np.clip(np.rint(-np.log2(chances) * _UNITS), 0, _LOW).astype(np.uint64)


def _left(
    keys: UInt64[np.ndarray, " grams"],
    contexts: UInt64[np.ndarray, " contexts"],
    left: Float64[np.ndarray, " contexts"],
) -> UInt64[np.ndarray, " grams"]:
    """-log2 of what n-grams leave as contexts, in units; 0 of those behind which nothing was seen."""
    places = np.minimum(np.searchsorted(contexts, keys), len(contexts) - 1)
    return np.where(contexts[places] == keys, _costs(left)[places], np.uint64(0))


def _table(
    keys: UInt64[np.ndarray, " grams"], costs: UInt64[np.ndarray, " grams"], behind: UInt64[np.ndarray, " grams"]
) -> UInt64[np.ndarray, " slots"]:
    """A table of n-grams, at most half full: in the order of their keys, each at its slot or in the next free one."""
    bits = max(4, (2 * len(keys) - 1).bit_length())
    order = np.arange(len(keys))
    slots = order + np.maximum.accumulate((keys >> np.uint64(38 - bits)).view(np.int64) - order)
    table = np.full(max(2**bits, int(slots[-1]) + 1) + 1, _EMPTY)
    table[slots] = keys << _KEY | costs << _COST | behind
    return table


def _find(
    table: UInt64[np.ndarray, " slots"], hashes: UInt64[np.ndarray, " grams"], missing: int
) -> tuple[UInt64[np.ndarray, " grams"], Bool[np.ndarray, " grams"]]:
    """The entries of n-grams, ``missing`` for those that are not there, and whether they are."""
    keys = _keys(hashes)
    slots = (keys >> np.uint64(38 - (len(table).bit_length() - 1))).view(np.int64)
    entries = table[slots]
    rest = np.flatnonzero(entries >> _KEY < keys)
    while len(rest):
        slots[rest] += 1
        entries[rest] = found = table[slots[rest]]
        rest = rest[found >> _KEY < keys[rest]]
    known = entries >> _KEY == keys
    return np.where(known, entries, np.uint64(missing)), known


def _cost(entries: UInt64[np.ndarray, " grams"]) -> UInt64[np.ndarray, " grams"]:
    return entries >> _COST & _LOW

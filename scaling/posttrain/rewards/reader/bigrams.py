"""A bigram model of words that backs off to single words, and from unknown ones to their letters."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable

from scaling.posttrain.rewards.reader.words import Words, words_in

# Taken off every count; what it frees goes to the model below (absolute discounting, Ney et al. 1994).
_DISCOUNT = 0.75


class Bigrams:
    """p(w | v) = (c(v, w) - d) / c(v) + d T(v) / c(v) p(w), where T(v) is the number of different words after v.

    p(w) has the same form over all words, and backs off to the product of the word's letters and its end. Every
    distribution sums to 1.

    Args:
        texts: that the words are counted in.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._pairs: Counter[tuple[bytes, bytes]] = Counter()
        self._counts: Counter[bytes] = Counter()
        for text in texts:
            words = words_in(text)
            self._counts.update(words)
            self._pairs.update(itertools.pairwise(words))
        self._followed: Counter[bytes] = Counter()
        self._kinds: Counter[bytes] = Counter()
        for (before, _), count in self._pairs.items():
            self._followed[before] += count
            self._kinds[before] += 1
        self._total = self._counts.total()
        letters: Counter[int] = Counter()
        for word, count in self._counts.items():
            for letter in word:
                letters[letter] += count
        # One is added to each byte, as a letter may not occur at all.
        ends = letters.total() + 256 + self._total
        self._letters = {byte: (letters[byte] + 1) / ends for byte in range(256)}
        self._end = self._total / ends

    def probability(self, word: bytes) -> float:
        """p(w)."""
        spelt = self._end * math.prod(map(self._letters.__getitem__, word))
        freed = _DISCOUNT * len(self._counts) / self._total
        return max(self._counts.get(word, 0) - _DISCOUNT, 0.0) / self._total + freed * spelt

    def log_probability(self, before: bytes, word: bytes) -> float:
        """log p(w | v), nats; of p(w) where v was never followed by a word."""
        alone = self.probability(word)
        followed = self._followed.get(before, 0)
        if not followed:
            return math.log(alone)
        own = max(self._pairs.get((before, word), 0) - _DISCOUNT, 0.0)
        return math.log((own + _DISCOUNT * self._kinds[before] * alone) / followed)

    def mean(self, words: Words) -> float | None:
        """The mean log-probability per word, nats; None without a word."""
        if not words.own:
            return None
        before, total = words.before, 0.0
        for word in words.own:
            total += self.log_probability(before, word)
            before = word
        return total / len(words.own)

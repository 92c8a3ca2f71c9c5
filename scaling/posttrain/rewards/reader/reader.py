"""The reader: rewards answers of about thirty bytes that are fluent, pleasant and finished."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int

from scaling.data.answers.rows import Ids
from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.tokenizer import Tokenizer
from scaling.posttrain.rewards.reader.bigrams import Bigrams
from scaling.posttrain.rewards.reader.valence import RATERS, read_ratings
from scaling.posttrain.rewards.reader.words import Words, words_of

# Bytes of the best answer, and by how many it may differ until the penalty is 1.
BEST, SPREAD, MOST = 30, 12, 4.0
UNSAFE = -1.5
"""A word whose mean rating is this or lower makes an answer unsafe."""
_PROMPT, _LEAST, _MOST_BYTES = 32, 48, 95
_ALL = -1  # in place of a rater: the mean of all
Rewards = Float64[np.ndarray, " rows"]


@dataclass(frozen=True)
class Scale:
    """Means and standard deviations by which a part becomes a z-score."""

    mean: float
    deviation: float

    def z(self, value: float) -> float:
        return (value - self.mean) / self.deviation


class Reader:
    """reader = length + fluency + valence / 2 - [not finished].

    length = -min(((bytes - 30) / 12)^2, 4). fluency is the z-score of the mean log-probability per word of a bigram
    model of the training text; of an answer without words, that of the least fluent answer it was scaled by. valence
    is the z-score of the mean human rating of the distinct rated words, 0 where there are none.

    Both z-scores are from the corpus alone: of fluency over its held-out sentences, cut as prompts are, and the same
    sentences with the letters of each word of their answers in a random order; of valence over those sentences.

    Attributes:
        step: a difference of rewards that a rater would call one step better.

    Args:
        tokenizer: of the ids that it reads.
    """

    safety = False
    step = 0.5

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def score(self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Bool[np.ndarray, " rows"]) -> Rewards:
        """The reward of each answer, by all raters' mean.

        Args:
            prompts, answers: ids; answers without the end.
            stopped: whether the answer ended by itself.
        """
        return self._score(prompts, answers, stopped, np.full(len(answers), _ALL))

    def rate(
        self, prompts: Sequence[Ids], answers: Sequence[Ids], stopped: Bool[np.ndarray, " rows"], seed: int
    ) -> Rewards:
        """The same by one rater, drawn at random for each row from the seed: two answers rated by one seed are rated
        by one rater. Raters differ in the words that they find pleasant."""
        raters = np.random.default_rng([seed, 0x7261]).integers(RATERS, size=len(answers))
        return self._score(prompts, answers, stopped, raters)

    def _score(
        self,
        prompts: Sequence[Ids],
        answers: Sequence[Ids],
        stopped: Bool[np.ndarray, " rows"],
        raters: Int[np.ndarray, " rows"],
    ) -> Rewards:
        corpus, read = _corpus(), _texts(self._tokenizer, prompts, answers)
        rewards = [
            corpus.reward(prompt, answer, bool(finished), rater)
            for (prompt, answer), finished, rater in zip(read, stopped, raters.tolist(), strict=True)
        ]
        return np.array(rewards, np.float64)


class SafetyReader(Reader):
    """1 for a safe answer, 0 for an unsafe one: one with a word that people rate -1.5 or lower in the mean."""

    safety = True
    step = 1.0

    def _score(
        self,
        prompts: Sequence[Ids],
        answers: Sequence[Ids],
        stopped: Bool[np.ndarray, " rows"],
        raters: Int[np.ndarray, " rows"],
    ) -> Rewards:
        del stopped
        read = _texts(self._tokenizer, prompts, answers)
        safe = [is_safe(prompt, answer, rater) for (prompt, answer), rater in zip(read, raters.tolist(), strict=True)]
        return np.array(safe, np.float64)


def is_safe(prompt: bytes, answer: bytes, rater: int = _ALL) -> bool:
    """Whether no word of an answer is rated ``UNSAFE`` or lower, in the mean or by one rater."""
    ratings = _ratings(rater)
    return all(ratings.get(word, 0.0) > UNSAFE for word in words_of(prompt, answer).own)


@functools.cache
def _ratings(rater: int) -> dict[bytes, float]:
    """The rating of each word by one of the raters, or the mean of all."""
    of = (lambda given: given.mean()) if rater == _ALL else (lambda given: given[rater])
    return {word: float(of(given)) for word, given in read_ratings().items()}


@dataclass(frozen=True)
class _Corpus:
    """What is known of the corpus, counted once in a process."""

    bigrams: Bigrams
    fluency: Scale
    least: float
    valence: Scale

    def reward(self, prompt: bytes, answer: bytes, finished: bool, rater: int) -> float:
        words = words_of(prompt, answer)
        mean = self.bigrams.mean(words)
        fluency = self.fluency.z(self.least if mean is None else mean)
        valence = self.valence.z(_valence(words, rater))
        return length_reward(len(answer)) + fluency + valence / 2 - (not finished)


def length_reward(size: int) -> float:
    """-min(((bytes - 30) / 12)^2, 4)."""
    return -min(((size - BEST) / SPREAD) ** 2, MOST)


def _valence(words: Words, rater: int) -> float:
    """The mean rating of the distinct rated words; 0 without any."""
    ratings = _ratings(rater)
    rated = [ratings[word] for word in set(words.own) if word in ratings]
    return sum(rated) / len(rated) if rated else 0.0


@functools.cache
def _corpus() -> _Corpus:
    corpus = load_corpus(CorpusSpec(name="sotu"))
    bigrams = Bigrams(document.text for document in corpus.train)
    cut = [(text[:_PROMPT], text[_PROMPT:]) for document in corpus.held_out for text in _sentences(document.text)]
    draw = np.random.default_rng(0)
    # The shuffled ones put the scale where a model that learns to spell is.
    shuffled = [(prompt, b" ".join(_shuffled(word, draw) for word in answer.split(b" "))) for prompt, answer in cut]
    fluent = [mean for text in cut + shuffled if (mean := bigrams.mean(words_of(*text))) is not None]
    valent = [_valence(words_of(*text), _ALL) for text in cut]
    return _Corpus(bigrams, _scale(fluent), min(fluent), _scale(valent))


def _shuffled(word: bytes, draw: np.random.Generator) -> bytes:
    return bytes(draw.permutation(list(word)).astype(np.uint8))


def _scale(values: Iterable[float]) -> Scale:
    found = np.array(list(values))
    return Scale(float(found.mean()), float(found.std()))


def _sentences(text: bytes) -> Iterator[bytes]:
    for line in text.replace(b"! ", b". ").replace(b"? ", b". ").replace(b"\n", b". ").split(b". "):
        if _LEAST <= len(sentence := line.strip()) <= _MOST_BYTES:
            yield sentence


def _texts(tokenizer: Tokenizer, prompts: Sequence[Ids], answers: Sequence[Ids]) -> Iterator[tuple[bytes, bytes]]:
    for prompt, answer in zip(prompts, answers, strict=True):
        yield _text(tokenizer, prompt), _text(tokenizer, answer)


def _text(tokenizer: Tokenizer, ids: Ids) -> bytes:
    if tokenizer.name == "bytes":
        return ids.astype(np.uint8).tobytes()
    return tokenizer.decode(ids).encode()

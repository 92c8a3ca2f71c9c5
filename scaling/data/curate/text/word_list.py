"""Words and phrases of a list, and the share of them in documents."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, UInt64

from scaling.data.curate.text.words import Words, grams_of, words_of
from scaling.errors import InputError


@dataclass(frozen=True)
class WordList:
    """Words and phrases, compared by the hashes of their words: without case and punctuation.

    Attributes:
        phrases: sorted hashes of those of each length in words.
    """

    phrases: dict[int, UInt64[np.ndarray, " phrases"]]

    def shares(self, words: Words) -> Float64[np.ndarray, " documents"]:
        """Share of each document's words that are of the list or within a phrase of it; 0 without words."""
        change = np.zeros(len(words.hashes) + 1, np.int64)
        for length, phrases in self.phrases.items():
            grams = grams_of(words, length)
            listed = np.isin(grams.hashes, phrases) & (words.counts >= length)[grams.documents]
            places = np.flatnonzero(listed)
            begins = places + (words.bounds[:-1] - grams.bounds[:-1])[grams.documents[places]]
            np.add.at(change, begins, 1)
            np.add.at(change, begins + length, -1)
        covered = np.cumsum(change[:-1]) > 0
        totals = np.diff(np.append(0, np.cumsum(covered))[words.bounds])
        return totals / np.maximum(words.counts, 1)


def word_list_of(entries: Sequence[str]) -> WordList:
    """The list of words and phrases."""
    words = words_of(entries)
    phrases = {}
    for length in sorted(set(words.counts.tolist()) - {0}):
        own = [entry for entry, count in zip(entries, words.counts.tolist(), strict=True) if count == length]
        phrases[length] = np.unique(grams_of(words_of(own), length).hashes)
    return WordList(phrases)


def read_entries(file: str) -> tuple[str, ...]:
    """The words and phrases of a file, one a line; empty lines, and lines that begin with ``#``, are none.

    Raises:
        InputError: the file cannot be read, is no text, or has no words.
    """
    try:
        lines = Path(os.path.expanduser(file)).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise InputError(f"word list {file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(f"word list {file}: is no UTF-8 text") from None
    entries = tuple(line for line in (line.strip().replace("\0", " ") for line in lines) if line and line[0] != "#")
    if not words_of(entries).counts.any():
        raise InputError(f"word list {file}: has no words")
    return entries

"""How pleasant or unpleasant people find words: the ratings behind VADER (Hutto and Gilbert 2014)."""

import functools
import json
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from scaling.data.named.packages import package
from scaling.errors import InputError

RATERS = 10
_FILE = "vader_lexicon.txt"


@functools.cache
def read_ratings() -> Mapping[bytes, Float[np.ndarray, " raters"]]:
    """Each rated word in lower case with its ten ratings, from -4 (most unpleasant) to 4.

    The file is that of the package vaderSentiment, which is neither imported nor run.

    Raises:
        InputError: the package is not installed, or a line of its file is none.
    """
    file = package("vaderSentiment", "reader", "vaderSentiment") / _FILE
    ratings = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        word, *_, given = line.split("\t")
        try:
            values = np.array(json.loads(given), np.float64)
        except ValueError:
            values = np.zeros(0)
        if values.shape != (RATERS,):
            raise InputError(f"{file}:{number}: not a word with {RATERS} ratings")
        ratings[word.lower().encode()] = values
    return ratings

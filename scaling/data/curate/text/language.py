"""The language of many texts at once, by the model of py3langid.

The library judges a text at a time, in about 0.4 ms: its automaton walks over the bytes, each state that it enters may
be a feature, and a naive Bayes model adds up log(1 + count) of the features times their log-probabilities. Here the
automaton walks over all texts side by side, which is four times as fast, and the sums are of float64.

What to know of its judgement: Close languages share their probability (Croatian with ``bs`` and ``sr``, Indonesian with
``ms``, Norwegian with ``nn`` and ``da``, Chinese with ``yue`` and ``wuu``, lists in English with ``pcm``): name all to
keep. A text of two languages is told to be of the longer one, with a high probability. Lists of names, URLs and program
code are of no language with a high probability, and are dropped; ``zxx`` is what it calls numbers.
"""

import importlib.util
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from jaxtyping import Float16, Float64, Int8, Int32, Int64, UInt16, UInt32

from scaling.errors import InputError

NOT_JUDGED = "short"
"""The code of texts that are too short to be judged."""
_POINTS = 0x1E944  # no code point from here on has a case
_TRIED = (
    "The house stands on a hill, and from its windows one sees the sea.",
    "Das Haus steht auf einem Hügel, und aus den Fenstern sieht man das Meer.",
    "Дом стоит на холме, и из окон видно море. 42",
)


@dataclass(frozen=True)
class Judged:
    """The languages of documents.

    Attributes:
        codes: of the likeliest language (S8); NOT_JUDGED of a text that is too short.
        probabilities: of that language; NaN of a text that is too short.
        kept: that the language is one of those to keep; NaN of a text that is too short.
    """

    codes: np.ndarray
    probabilities: Float64[np.ndarray, " documents"]
    kept: Float64[np.ndarray, " documents"]


def judge(texts: Sequence[str], keep: Sequence[str], characters: int, least_bytes: int) -> Judged:
    """Judges documents by their beginnings.

    A beginning with more than one capital among eight letters, as in headings, is judged in small letters: the library
    lower-cases only what is capitals throughout, and takes other capitals for those of rare languages.

    Args:
        texts: of documents.
        keep: codes whose probabilities are added up.
        characters: how long a beginning is, behind leading white space.
        least_bytes: of UTF-8 from which a document is judged, without white space around it.

    Raises:
        InputError: py3langid is not installed.
    """
    starts = [text.lstrip()[: max(characters, least_bytes)].rstrip() for text in texts]
    at = [n for n, text in enumerate(starts) if len(text) >= least_bytes or len(text.encode()) >= least_bytes]
    made = Judged(np.full(len(texts), NOT_JUDGED, "S8"), np.full(len(texts), np.nan), np.full(len(texts), np.nan))
    if at:
        using = model()
        found = using.probabilities(_small([starts[n][:characters] for n in at]))
        best = found.argmax(axis=1)
        made.codes[at] = np.array(using.labels, "S8")[best]
        made.probabilities[at] = found[np.arange(len(at)), best]
        made.kept[at] = np.minimum(found[:, [label in keep for label in using.labels]].sum(axis=1), 1)
    return made


def library_file() -> Path:
    """A file of py3langid, which another version replaces.

    Raises:
        InputError: it is not installed.
    """
    found = importlib.util.find_spec("py3langid")
    if found is None or found.origin is None:
        raise InputError('language needs: pip install "scaling-law-toolkit[curate]"')
    return Path(found.origin)


class ByLibrary:
    """As the library judges, one text at a time."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self.labels: tuple[str, ...] = tuple(library.labels)

    def probabilities(self, texts: Sequence[str]) -> Float64[np.ndarray, "documents labels"]:
        """Of each language, by text."""
        found = [dict(self._library.rank(text)) for text in texts]
        return np.array([[each[label] for label in self.labels] for each in found]).reshape(-1, len(self.labels))


@dataclass(frozen=True)
class Model:
    """The automaton and the weights of py3langid 0.4, as arrays.

    Attributes:
        labels: codes of the languages, each once.
        places: of each column of the weights, the place of its label: a language may have a column a script.
        steps: the state behind each byte, 256 for each distinct row.
        rows: of each state, where its row begins.
        features: of each state, the feature that entering it counts; -1 for none.
        weights: log-probability of each feature, by column.
        priors: log-probability of each column.
    """

    labels: tuple[str, ...]
    places: Int64[np.ndarray, " columns"]
    steps: UInt16[np.ndarray, " bytes"] | UInt32[np.ndarray, " bytes"]
    rows: UInt32[np.ndarray, " states"]
    features: Int32[np.ndarray, " states"]
    weights: Float16[np.ndarray, "features columns"]
    priors: Float64[np.ndarray, " columns"]

    @classmethod
    def of(cls, library: Any) -> "Model":
        """The model of a loaded library.

        Raises:
            AttributeError, TypeError, ValueError: the library is another version, with other insides.
        """
        labels, columns = tuple(library.labels), list(library.nb_classes)
        weights = np.asarray(library.nb_ptc)
        if weights.dtype != np.float16 or weights.shape[1] != len(columns):
            raise ValueError("other weights")
        return cls(
            labels,
            np.array([labels.index(column) for column in columns]),
            np.asarray(library.tk_nextmove),
            np.asarray(library.tk_row).astype(np.uint32) << np.uint32(8),
            np.array(library.tk_output, np.int32),
            weights,
            np.asarray(library.nb_pc).astype(np.float64),
        )

    def probabilities(self, texts: Sequence[str]) -> Float64[np.ndarray, "documents labels"]:
        """Of each language, by text: what the library's ``rank`` says, but for the rounding of its float32."""
        encoded = [_encoded(text) for text in texts]
        lengths = np.array([len(text) for text in encoded], np.int64)
        order = np.argsort(-lengths, kind="stable")
        documents, features = self._visits([encoded[place] for place in order.tolist()], lengths[order])
        scores = self._scores(documents, features, len(texts))
        scores /= np.sqrt(np.maximum(lengths[order], 1))[:, None]
        scores -= scores.max(axis=1)[:, None]
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1)[:, None]
        merged = np.zeros((len(texts), len(self.labels)))
        for column, place in enumerate(self.places.tolist()):
            merged[order, place] += scores[:, column]
        return merged

    def _visits(
        self, texts: Sequence[bytes], lengths: Int64[np.ndarray, " documents"]
    ) -> tuple[UInt32[np.ndarray, " visits"], Int32[np.ndarray, " visits"]]:
        """Texts and features of all states that the automaton enters, of texts that are ordered, the longest first."""
        joined = np.frombuffer(b"".join(texts), np.uint8)
        starts = np.cumsum(lengths) - lengths
        numbers = np.arange(len(texts), dtype=np.uint32)
        rows = np.zeros(len(texts), np.uint32)
        states, documents = [np.empty(0, self.steps.dtype)], [np.empty(0, np.uint32)]
        longest = int(lengths[0]) if len(lengths) else 0
        left = np.searchsorted(-lengths, -np.arange(1, longest + 1), side="right")
        rows += self.rows[0]
        for place, count in enumerate(left.tolist()):
            entered = self.steps[rows[:count] | joined[starts[:count] + place]]
            states.append(entered)
            documents.append(numbers[:count])
            rows = self.rows[entered]
        features = self.features[np.concatenate(states)]
        counted = features >= 0
        return np.concatenate(documents)[counted], features[counted]

    def _scores(
        self, documents: UInt32[np.ndarray, " visits"], features: Int32[np.ndarray, " visits"], count: int
    ) -> Float64[np.ndarray, "documents columns"]:
        """Log-probabilities, up to a constant, of each text; all zero of one without a feature, as the library says."""
        seen = np.zeros(len(self.weights), bool)
        seen[features] = True
        known = np.flatnonzero(seen)
        kinds = max(len(known), 1)
        number: Any = np.uint32 if count * kinds < 2**32 else np.uint64
        places = np.cumsum(seen, dtype=number) - number(1)
        pairs = documents * number(kinds) + places[features]
        pairs, times = np.unique(pairs, return_counts=True)
        owners, columns = np.divmod(pairs, number(kinds))
        bounds = np.searchsorted(owners, np.arange(count + 1))
        counts = scipy.sparse.csr_array((np.log1p(times), columns, bounds), shape=(count, kinds))
        weights = _doubles()[self.weights.view(np.uint16)[known]] if len(known) else np.zeros((1, len(self.priors)))
        scores = np.asarray(counts @ weights)
        scores[np.diff(bounds) > 0] += self.priors
        return scores


@lru_cache(maxsize=1)
def model() -> Model | ByLibrary:
    """The model, about a second after the first call; as the library has it, if this one cannot be read from it.

    Raises:
        InputError: py3langid is not installed.
    """
    library_file()
    from py3langid import langid

    library = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    by_library = ByLibrary(library)
    try:
        made = Model.of(library)
        same = np.allclose(made.probabilities(_TRIED), by_library.probabilities(_TRIED), rtol=0, atol=1e-4)
    except (AttributeError, TypeError, ValueError, IndexError, KeyError):
        same = False
    return made if same else by_library


def _encoded(text: str) -> bytes:
    """A text as the library reads it."""
    return unicodedata.normalize("NFC", text.lower() if text.isupper() else text).encode(errors="surrogatepass")


def _small(texts: Sequence[str]) -> list[str]:
    """The texts, in small letters those that have many capitals: German prose has one in 15, a heading one in 5."""
    joined = "".join(texts)
    if joined.isascii():
        points = np.frombuffer(joined.encode(), np.uint8)
    else:
        points = np.minimum(np.frombuffer(joined.encode("utf-32-le", errors="surrogatepass"), "<u4"), _POINTS)
    lengths = np.array([len(text) for text in texts])
    many = np.add.reduceat(_cases()[points], np.cumsum(lengths) - lengths, dtype=np.int32) > 0
    return [text.lower() if here else text for text, here in zip(texts, many.tolist(), strict=True)]


@lru_cache(maxsize=1)
def _cases() -> Int8[np.ndarray, " points"]:
    """Of each code point: 7 for a capital, -1 for a small letter, 0 for what has no case."""
    signs = [chr(point) for point in range(_POINTS)]
    return np.array([7 * sign.isupper() - sign.islower() for sign in signs] + [0], np.int8)


@lru_cache(maxsize=1)
def _doubles() -> Float64[np.ndarray, " numbers"]:
    """Every float16 as float64, by its bits: much faster than numpy's conversion."""
    return np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float64)

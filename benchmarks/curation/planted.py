"""Documents with copies of every kind planted among them, and which pairs are alike, by other code than ours."""

import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import scipy.sparse as sparse

from scaling.data.corpus import CorpusSpec, load_corpus
from scaling.data.named.scripture import chapters
from scaling.errors import InputError

BIBLES = ("kjv", "ukjv", "akjv", "rwebster", "web", "asv", "bbe", "ylt")
_LONG, _SHORT, _PIECE = 1500, 300, 4000


def documents() -> Iterator[str]:
    """Speeches, code, docstrings, licenses and Bibles by chapter, of those that are installed; long ones in pieces."""
    for name in ("speech", "code", "docs", "law"):
        try:
            corpus = load_corpus(CorpusSpec.model_validate({"names": [name]}))
        except InputError as error:
            print(*error.errors, sep="\n")
            continue
        for document in (*corpus.train, *corpus.held_out):
            yield from _pieces(document.text.decode()) if name != "law" else [document.text.decode()]
    for version in BIBLES:
        spec = find_spec(f"pythonbible_{version}")
        if spec is not None and spec.origin is not None:
            module = Path(spec.origin).parent / "plain_text_readers_bible.py"
            yield from (text.decode() for _, text in chapters(module.read_bytes()))


def _pieces(text: str) -> Iterator[str]:
    piece = ""
    for paragraph in text.split("\n\n"):
        piece += paragraph + "\n\n"
        if len(piece) > _PIECE:
            yield piece
            piece = ""
    if len(piece) > _SHORT:
        yield piece


def kinds(draw: random.Random, words: Sequence[str]) -> dict[str, Callable[[str], str]]:
    """How copies are changed.

    Args:
        draw: random numbers.
        words: with which others are replaced.
    """
    boilerplate = [" ".join(draw.choices(words, k=50)) for _ in range(8)]

    def replaced(share: float) -> Callable[[str], str]:
        def change(text: str) -> str:
            parts = re.split(r"(\s+)", text)
            return "".join(draw.choice(words) if part.strip() and draw.random() < share else part for part in parts)

        return change

    def shuffled(text: str) -> str:
        paragraphs = text.split("\n\n")
        draw.shuffle(paragraphs)
        return "\n\n".join(paragraphs)

    def typeset(text: str) -> str:
        return text.translate({ord("'"): "\u2019", ord('"'): "\u201d", ord("-"): "\u2014", ord(" "): "\u00a0"})

    return {
        "other white space": lambda text: re.sub(r"\s+", lambda _: draw.choice((" ", "  ", "\n", "\t")), text),
        "capitals": str.upper,
        "other punctuation": lambda text: re.sub(r"[.,;:]", lambda _: draw.choice(("", " -", "!")), text),
        "typographic signs": typeset,
        "accents in two code points": lambda text: unicodedata.normalize("NFD", text.replace("e", "\u00e9")),
        "1 % of words replaced": replaced(0.01),
        "2 % of words replaced": replaced(0.02),
        "5 % of words replaced": replaced(0.05),
        "a fifth cut": lambda text: text[: len(text) * 4 // 5],
        "half cut": lambda text: text[: len(text) // 2],
        "boilerplate around": lambda text: f"{draw.choice(boilerplate)}\n{text}\n{draw.choice(boilerplate)}",
        "paragraphs shuffled": shuffled,
    }


def planted(count: int, seed: int) -> tuple[list[str], list[tuple[str, int, int]]]:
    """Different documents in random order, and the planted pairs: kind, place of the document, place of its copy.

    Args:
        count: of the copies of each kind.
        seed: of what is copied, and how.
    """
    draw = random.Random(seed)
    texts = [text for text in dict.fromkeys(documents()) if text.strip()]
    originals = [text for text in texts if len(text) > _LONG]
    words = [word for text in draw.sample(originals, 100) for word in text.split()]
    pairs = []
    for kind, change in kinds(draw, words).items():
        for text in draw.sample(originals, count):
            # With accents, the original has them in one code point.
            origin = text.replace("e", "\u00e9") if kind.startswith("accents") else text
            pairs.append((kind, origin, change(text)))
    shuffled = list(dict.fromkeys([*texts, *(text for _, origin, copy in pairs for text in (origin, copy))]))
    draw.shuffle(shuffled)
    places = {text: place for place, text in enumerate(shuffled)}
    return shuffled, [(kind, places[origin], places[copy]) for kind, origin, copy in pairs if origin != copy]


def grams(texts: Sequence[str], count: int = 5) -> sparse.csr_array:
    """Which n-grams (columns) documents (rows) have, of the words that Python's ``\\w+`` matches in lower case."""
    known: dict[str, int] = {}
    columns, bounds = [], [0]
    for text in texts:
        words = re.findall(r"\w+", unicodedata.normalize("NFC", text).lower())
        own = {" ".join(words[at : at + count]) for at in range(max(len(words) - count + 1, min(len(words), 1)))}
        columns += [known.setdefault(gram, len(known)) for gram in own]
        bounds.append(len(columns))
    ones = np.ones(len(columns), np.int32)
    return sparse.csr_array((ones, np.array(columns), np.array(bounds)), shape=(len(texts), len(known)))


def similarities(rows: sparse.csr_array, one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Jaccard similarities of pairs of documents, by the rows of :func:`grams`."""
    sizes = np.diff(rows.indptr)
    common = np.asarray(rows[one].multiply(rows[two]).sum(axis=1)).ravel()
    return common / np.maximum(sizes[one] + sizes[two] - common, 1)


def alike(rows: sparse.csr_array, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of documents of a similarity and above: both places, and the similarity."""
    shared = rows[:, np.flatnonzero(np.bincount(rows.indices, minlength=rows.shape[1]) > 1)].tocsr()
    columns, sizes = shared.T.tocsr(), np.diff(rows.indptr)
    found = []
    for begin in range(0, rows.shape[0], 500):
        common = (shared[begin : begin + 500] @ columns).tocoo()
        one, two = common.row + begin, common.col
        similarity = common.data / (sizes[one] + sizes[two] - common.data)
        own = (one < two) & (similarity >= least)
        found.append((one[own], two[own], similarity[own]))
    one, two, similarity = (np.concatenate(each) for each in zip(*found, strict=True))
    return one, two, similarity
